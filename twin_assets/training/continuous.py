"""When a new dataset version is worth a training: once a version, not too often, and not for next to nothing."""

from datetime import datetime, timedelta

from twin_assets.core.models.version import ModelVersion
from twin_assets.core.records import Record
from twin_assets.settings import Settings


class Change(Record):
    """How far a dataset version is from the one that trained the newest model: rows that differ, of how many."""

    before: str
    after: str
    changed: int
    rows: int

    @property
    def share(self) -> float:
        return self.changed / max(self.rows, 1)


class Verdict(Record):
    """Whether to train, and why, in words for a person."""

    train: bool
    reason: str


def at_once(newest: ModelVersion | None, version: str, asked: str | None) -> Verdict | None:
    """The verdict where no rule holds training back; None where the rules decide.

    `newest` is the newest SFT model of persona and profile, `asked` why a rebuild was asked for since, if it was.
    """
    if newest is None:
        return Verdict(train=True, reason="there is no model yet")
    if newest.lineage.datasets.get("instruct") == version:
        return Verdict(train=True, reason=f"{newest.tag} was trained from {version}, what follows it was not")
    if asked:
        return Verdict(train=True, reason=f"a rebuild was asked for since the last training: {asked}")
    return None


def cooling_down(settings: Settings, newest: ModelVersion, now: datetime) -> Verdict | None:
    """The verdict while the last training is too recent; None afterwards."""
    ready = newest.created_at + timedelta(hours=settings.train_cooldown_hours)
    if now >= ready:
        return None
    return Verdict(
        train=False,
        reason=f"{newest.tag} was trained at {_at(newest.created_at)}; training waits until {_at(ready)} "
        f"(TWIN_TRAIN_COOLDOWN_HOURS={settings.train_cooldown_hours:g})",
    )


def enough_changed(settings: Settings, newest: ModelVersion, change: Change) -> Verdict:
    """Whether the new version differs by as many rows, or by as large a share, as the setting asks for."""
    least = settings.train_min_changed_rows
    enough = (change.share if least < 1 else change.changed) >= least
    threshold = f"{least:.1%}" if least < 1 else f"{least:g} rows"
    return Verdict(
        train=enough,
        reason=f"dataset {change.after} differs from {change.before}, which trained {newest.tag}, in "
        f"{change.changed} of {change.rows} rows ({change.share:.1%}); training starts at {threshold} "
        "(TWIN_TRAIN_MIN_CHANGED_ROWS)",
    )


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
