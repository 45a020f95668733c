"""The way of a candidate into production: proposed with its verdict, approved by a person, deployed. `canary` watches it.

The one place for it: the evaluation calls `propose`; the Dagster jobs, the web page, the command line and the runner call
`decide` and `deploy`. Every decision names the event it is about, so that one made on an old page, or made
twice, is refused.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from twin_assets.core.blind_readings import gate_problem, readings
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Record, StrictTypes
from twin_assets.core.release.history import Event, EventKind, History
from twin_assets.core.release.ledger import ConflictError, Ledger
from twin_assets.settings import Settings

# Names the platform itself writes under; no person may take them.
AUTOMATIC, PIPELINE, WATCH = "automatic", "pipeline", "release-watch"
_OWN_NAMES = {AUTOMATIC, PIPELINE, WATCH}

_KINDS: dict[str, EventKind] = {"approve": "approved", "reject": "rejected", "roll_back": "rolled_back"}


class Decision(StrictTypes, Record):
    """What a person decides, and why.

    `about` is the number of the ledger event that the person saw last of this version: its evaluation for an
    approval, its deployment or the start of its canary for a rollback.
    """

    decision: Literal["approve", "reject", "roll_back"]
    about: Annotated[int, Field(ge=0, lt=2**31)]
    model: Annotated[str, Field(max_length=200)]
    reviewer: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=2000)


class Expired(TwinError):
    """An evaluation or an approval is too old to act on."""


class NotReadBlind(TwinError):
    """The profile asks for blind readers, who have not found the version closer to the author than its base model."""


def propose(
    ledger: Ledger, candidate: str, failed: Sequence[str], note: str = "", plumbing: bool = False
) -> Event | None:
    """Put an evaluated candidate and the verdict of its gate into the ledger; the event, or None where the version has gone
    further by now, so that there is nothing to say.

    `failed` says which blocking gates it did not pass, `note` what whoever approves it should read besides, `plumbing` that
    it is of a size that writes noise.
    """
    if ledger.state(candidate) in (None, "rejected", "rolled_back"):
        ledger.append(candidate, "proposed", PIPELINE, "new candidate")
    if ledger.state(candidate) not in ("proposed", "evaluated"):
        return None
    reason = "; ".join(failed) or "passed every gate"
    reason += "; it only proves that the platform runs" if plumbing else ""
    reason += f"; {note}" if note else ""
    return ledger.append(candidate, "evaluated", PIPELINE, reason, passed=not failed, plumbing=plumbing)


def decide(
    ledger: Ledger,
    registry: Registry,
    settings: Settings,
    given: Decision,
    caller: str,
    now: datetime | None = None,
) -> Event:
    """Write a person's decision into the ledger: `caller`, what they were authenticated as, is the actor, and the name
    they give a claim.

    Raises ConflictError when something has happened to the version since the event that the decision is about,
    Expired when its evaluation is too old, NotReadBlind when the profile's gate asks for blind readers whose answers are
    not enough yet, and TwinError for everything else that can't be.
    """
    return _write(ledger, registry, settings, given, caller, now, person(given.reviewer))


def person(reviewer: str) -> str:
    """The name of who decides, without blanks around it. Raises TwinError for one of the platform's own."""
    name = reviewer.strip()
    if name.casefold() in _OWN_NAMES:
        raise TwinError(f"{name!r} is a name of the platform's own.", "give the name of a person.")
    return name


def approve_automatically(
    ledger: Ledger, registry: Registry, settings: Settings, now: datetime | None = None
) -> Event | None:
    """Approve what passed its gate and waits, when TWIN_AUTO_APPROVE says so; the actor is `automatic`."""
    waiting = ledger.waiting()
    if not settings.auto_approve or waiting is None or not may_be_released(waiting, settings):
        return None
    given = Decision(
        decision="approve",
        about=waiting.number,
        model=waiting.model,
        reviewer=AUTOMATIC,
        reason=f"TWIN_AUTO_APPROVE is set; {waiting.reason}",
    )
    try:
        return _write(ledger, registry, settings, given, AUTOMATIC, now)
    except (ConflictError, Expired, NotReadBlind):
        return None  # a person was faster, it must be evaluated again, or people must read it first


def deploy(
    ledger: Ledger, registry: Registry, settings: Settings, now: datetime | None = None
) -> Event | None:
    """Bring the approved version into production, or into its canary; None when no approval waits.

    An approval that may not be used any more is closed in the ledger as rejected, so that it never comes
    back, and TwinError is raised. TwinError too while another canary runs; then the approval stays.
    """
    history = ledger.history()
    approval = history.approved()
    if approval is None:
        return None
    if problem := refused(history, approval, settings, now):
        ledger.append(approval.model, "rejected", PIPELINE, problem.problem, follows=approval.number)
        raise problem
    registry.get(approval.model)  # never point production at a model that isn't there
    why = f"approved by {approval.who}: {approval.reason}"
    share = settings.canary_share if history.production() else 0.0
    try:
        if share > 0:
            return ledger.append(
                approval.model, "canary_started", PIPELINE, why, follows=approval.number, share=share
            )
        return ledger.append(approval.model, "deployed", PIPELINE, why, follows=approval.number)
    except ConflictError:
        return None  # another process deployed it, or a person rejected it, at this moment


def refused(
    history: History, approval: Event, settings: Settings, now: datetime | None = None
) -> TwinError | None:
    """Why an approval may not be deployed any more, if so: it is too old, or a newer candidate came."""
    age = (now or datetime.now(UTC)) - approval.at
    if age > timedelta(hours=settings.deploy_within_hours):
        return Expired(
            f"The approval of {approval.model} by {approval.who} is {_hours(age)} old, more than "
            f"{settings.deploy_within_hours:g} (TWIN_DEPLOY_WITHIN_HOURS).",
            "materialise evaluation_report again, and approve again.",
        )
    if newer := history.superseded_by(approval.model):
        return TwinError(
            f"The approved {approval.model} is superseded by {newer}, proposed since.",
            f"review {newer}; or materialise evaluation_report of {approval.model} again, and approve it.",
        )
    return None


def can_deploy(history: History, settings: Settings, now: datetime | None = None) -> bool:
    """Whether `deploy` has something to do now: to deploy an approval, or to refuse it for good."""
    approval = history.approved()
    if approval is None:
        return False
    return history.canary() is None or refused(history, approval, settings, now) is not None


def check_rollback(history: History, registry: Registry, model: str) -> None:
    """Raises TwinError when a version doesn't serve, or what would come after it isn't in the registry."""
    canary = history.canary()
    if model not in (history.production(), canary.model if canary else None):
        serving = history.production() or "nothing"
        raise TwinError(f"{model} is not in production.", f"production is {serving}; look again.")
    before = history.predecessor()
    if model == history.production() and before:
        registry.get(before)  # never point production at a model that isn't there


def last_release(history: History) -> Event:
    """What a rollback takes back when no version is named: the canary, else what is in production.

    Raises TwinError when nothing serves.
    """
    newest = history.canary() or next(reversed(history.releases()), None)
    if newest is None:
        raise TwinError("Nothing is in production.", "release a version first.")
    return newest


def expires(evaluated: Event, settings: Settings) -> datetime:
    """When an evaluation gets too old to be approved."""
    return evaluated.at + timedelta(days=settings.approval_days)


def may_be_released(evaluated: Event, settings: Settings) -> bool:
    """Whether a version may be approved at all: one that writes noise only where the settings say so."""
    return settings.release_plumbing or not evaluated.plumbing


def _write(
    ledger: Ledger,
    registry: Registry,
    settings: Settings,
    given: Decision,
    actor: str,
    now: datetime | None,
    claimed: str | None = None,
) -> Event:
    history = ledger.history()
    about = next((e for e in history.events if e.number == given.about and e.model == given.model), None)
    if about is None:
        raise ConflictError(
            f"Event {given.about} of the ledger is not about {given.model}.", "look at what is there now."
        )
    too_old = about.kind == "evaluated" and expires(about, settings) < (now or datetime.now(UTC))
    if given.decision == "approve" and too_old:
        raise Expired(
            f"The evaluation of {given.model} is of {about.at:%Y-%m-%d}, more than "
            f"{settings.approval_days:g} days old (TWIN_APPROVAL_DAYS).",
            "materialise evaluation_report again, and decide on the new one.",
        )
    if given.decision == "approve" and not may_be_released(about, settings):
        raise TwinError(
            f"{given.model} is of a size that only proves the plumbing: what it writes is noise.",
            "train with TWIN_PROFILE=pocket or above, or set TWIN_RELEASE_PLUMBING=true, and all that it writes is marked so.",
        )
    if given.decision == "approve":
        _check_read(ledger, settings, given.model)
    if given.decision == "roll_back" and history.last(given.model) is about:
        check_rollback(history, registry, given.model)
    return ledger.append(
        given.model, _KINDS[given.decision], actor, given.reason.strip(), follows=given.about, claimed=claimed
    )


def _check_read(ledger: Ledger, settings: Settings, model: str) -> None:
    least = load_profile(settings.profile).gate.blind_reader
    if least is None:
        return
    if problem := gate_problem(readings(ledger.lake, ledger.persona), model, least):
        raise NotReadBlind(problem, "read it blind under Review on the web page, or have others do so.")


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:.0f} hours"
