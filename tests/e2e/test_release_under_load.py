"""Deploying, a canary, and rollbacks under constant requests to the real services: no request fails."""

import json
import shutil
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.released_twin import ReleasedTwin, evaluation
from tests.e2e.under_load import Load
from tests.e2e.web_browser import LLM, TWIN, services
from tests.support.machine import PATIENCE, until
from tests.support.releases import decision_of_ines
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.approval import decide, deploy, last_release
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SWAP_SECONDS = PATIENCE  # nothing here is timed


class Person:
    """A person at the red button of a released twin."""

    def __init__(self, twin: ReleasedTwin, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger(twin.lake, "runa")
        self.registry = Registry(settings)

    def press(self) -> Event:
        waiting = self.ledger.waiting()
        assert waiting is not None
        self._decide("approve", waiting)
        event = deploy(self.ledger, self.registry, self.settings)
        assert event is not None
        return event

    def roll_back(self) -> Event:
        return self._decide("roll_back", last_release(self.ledger.history()))

    def _decide(self, decision: str, about: Event) -> Event:
        return decide(
            self.ledger, self.registry, self.settings, decision_of_ines(decision, about), "page login"
        )

    def propose(self, model: str) -> None:
        self.ledger.append(model, "proposed", "pipeline", "new candidate")
        self.ledger.append(model, "evaluated", "pipeline", "passed every gate", passed=True)

    def wait_for(self, kind: str, model: str, seconds: float) -> Event:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            last = self.ledger.history().last(model)
            if last and last.kind == kind:
                return last
            time.sleep(0.1)
        raise AssertionError(f"{model} did not become {kind} in {seconds} s")


def without_chat_template(twin: ReleasedTwin, folder: Path) -> str:
    """A version that loads and then fails at every request: a broken training left it no chat template."""
    shutil.copytree(twin.released.path, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    lineage = twin.released.lineage.model_copy(update={"seed": 99})
    return Registry(twin.settings).save(folder, lineage).tag


def _wait_until_served(engine: str, models: list[str]) -> None:
    deadline = time.monotonic() + SWAP_SECONDS
    while [m["id"] for m in httpx.get(f"{engine}/v1/models", timeout=60).json()["data"]] != models:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_no_request_fails_while_versions_are_swapped_tried_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))  # the embedder is made ready once, for the services too
        twin = ReleasedTwin(home)
    broken = without_chat_template(twin, tmp_path / "broken")
    assert evaluation(broken).candidate == broken
    old, new = twin.released.tag, twin.candidate.tag
    limits = {
        "TWIN_LATENCY_LIMIT": "50",
        "TWIN_CANARY_REQUESTS": "30",
    }  # one machine is slow for many reasons
    with services(twin, LLM, TWIN, **limits) as business:
        engine = twin.environment["TWIN_LLM_URL"].removesuffix("/v1")
        person = Person(twin, twin.settings)
        said = []
        with Load([engine, engine, engine, business, business]) as load:
            for address in (engine, business):  # the first request of a service may take long
                load.wait_for(old, address, SWAP_SECONDS)
            pressed = time.monotonic()
            assert person.press().kind == "deployed"
            first = load.wait_for(new, engine, SWAP_SECONDS)
            said.append(
                f"first answer from the new version {first.ended - pressed:.2f} s after the deployment"
            )
            load.wait_for(new, business, SWAP_SECONDS)
            until(
                lambda: {o.streamed for o in load.outcomes if o.models == {new}} == {True, False},
                "both kinds",
            )
            last_old = max(o.ended for o in load.outcomes if o.models == {old}) - pressed
            said.append(f"last answer from the old version {last_old:.2f} s after the deployment")
            pressed = time.monotonic()
            assert person.roll_back().model == new
            seen = len(load.outcomes)
            while not any(o.models == {old} and o.began > pressed for o in load.outcomes[seen:]):
                assert time.monotonic() - pressed < SWAP_SECONDS, load.summary()
                time.sleep(0.05)
            said.append(f"first answer after the rollback {time.monotonic() - pressed:.2f} s after it")
        said.append(load.summary())
        with capsys.disabled():
            print("\n  " + "\n  ".join(said))
        assert load.troubles() == []
        assert all(len(o.models) == 1 and o.models <= {old, new} for o in load.outcomes)
        assert all(o.pieces for o in load.outcomes), "no answer was empty"
        assert {o.streamed for o in load.outcomes if o.models == {new}} == {True, False}

        # A canary that can't be asked is taken back by the service itself, and no request is hurt.
        person.settings = twin.settings.model_copy(update={"canary_share": 0.3})
        person.propose(broken)
        with Load([engine, engine, engine]) as load:
            canary = person.press()
            assert (canary.kind, canary.share) == ("canary_started", 0.3)
            rolled = person.wait_for("rolled_back", broken, SWAP_SECONDS)
            _wait_until_served(engine, [old])
            began = time.monotonic()
            until(lambda: sum(o.began > began for o in load.outcomes) >= 6, "requests after the rollback")
        assert rolled.actor == "release-watch"
        with capsys.disabled():
            print(f"  broken canary: {rolled.reason}\n  {load.summary()}")
        assert load.troubles() == []
        assert any(o.began > began and o.models == {old} for o in load.outcomes)
        assert person.ledger.production() == old
    logged = {r.model for r in read_requests(twin.lake, "runa") if not r.request_id.startswith("seed-")}
    assert logged == {old, new}
