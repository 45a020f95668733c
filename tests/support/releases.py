"""Ledgers and registries in the states that the tests of releases begin with."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.models import lineage, save
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.approval import Decision, decide, deploy
from twin_assets.core.release.callers import NOBODY
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings


def decision_of_ines(decision: str, about: Event, **changes: str) -> Decision:
    given = {
        "decision": decision, "about": about.number, "model": about.model, "reviewer": "Ines", "reason": "why",
    }  # fmt: skip
    return Decision.model_validate(given | changes)


class Office:
    """One persona's ledger, a registry with real versions, and a person who decides."""

    def __init__(self, home: Path, **settings: float | bool) -> None:
        self.home = home
        self.settings = Settings.model_validate({"home": home, **settings})
        self.lake = LocalLake(home / "lake")
        self.ledger = Ledger(self.lake, "runa")
        self.registry = Registry(self.settings)
        self.versions = 0
        self.ready: list[str] = []

    def candidate(self, passed: bool = True) -> Event:
        """A new version, or the next of `ready`, evaluated; its evaluation."""
        self.versions += 1
        if self.ready:
            return self.evaluated(self.ready.pop(0), passed)
        model = save(
            self.registry, self.home / f"weights{self.versions}", lineage("dpo", number=self.versions)
        ).tag
        return self.evaluated(model, passed)

    def evaluated(self, model: str, passed: bool = True) -> Event:
        self.ledger.append(model, "proposed", "pipeline", "new candidate")
        return self.ledger.append(model, "evaluated", "pipeline", "report", passed=passed)

    def approve(self, about: Event, days_later: float = 0, **changes: str) -> Event:
        return self.decide("approve", about, days_later, **changes)

    def decide(self, decision: str, about: Event, days_later: float = 0, **changes: str) -> Event:
        now = datetime.now(UTC) + timedelta(days=days_later)
        return decide(
            self.ledger,
            self.registry,
            self.settings,
            decision_of_ines(decision, about, **changes),
            NOBODY,
            now,
        )

    def deploy(self, hours_later: float = 0) -> Event | None:
        return deploy(
            self.ledger, self.registry, self.settings, datetime.now(UTC) + timedelta(hours=hours_later)
        )

    def release(self) -> Event:
        """A new version, approved and deployed; its deployment, or the start of its canary."""
        self.approve(self.candidate())
        event = self.deploy()
        assert event is not None
        return event
