"""Processes that release and are killed at any moment leave one consistent production version."""

import contextlib
import multiprocessing
import random
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.releases import Office
from twin_assets.core.errors import TwinError
from twin_assets.core.release.approval import approve_automatically, deploy, last_release
from twin_assets.core.release.canary import Seen, Tally, apply_verdict, write_seen
from twin_assets.core.release.history import Event, History

ACTS = [
    "release",
    "propose",
    "approve",
    "twice",
    "reject",
    "deploy",
    "roll_back",
    "fail",
    "settle",
    "automatic",
]
# One process trains and releases; the others, were they to propose too, would only supersede each other.
TRAINS = [*ACTS, *["release", "deploy", "settle"] * 4]
DECIDES = [*["approve", "deploy", "settle", "fail", "automatic"] * 4, "reject", "roll_back"]


def act(office: Office, what: str, rng: random.Random) -> None:
    """One step as a person, Dagster or a serving process takes it. Raises TwinError when it is refused."""
    history = office.ledger.history()
    waiting = history.waiting()
    if what == "release":
        for step in ("propose", "approve", "deploy"):
            act(office, step, rng)
    elif what == "propose":
        office.versions = rng.randrange(10**9)  # every process makes models of its own
        office.candidate(passed=rng.random() < 0.8)
    elif what in ("approve", "twice", "reject") and waiting:
        office.decide("reject" if what == "reject" else "approve", waiting)
        if what == "twice":
            office.approve(waiting)
    elif what == "deploy":
        deploy(office.ledger, office.registry, office.settings)
    elif what == "roll_back" and (history.predecessor() or rng.random() < 0.05):
        office.decide("roll_back", last_release(history))
    elif what == "fail" and (canary := history.canary()):
        seen = Seen(models={canary.model: Tally(unloaded=9)})
        write_seen(office.lake, "runa", history.served_since()[-1], f"p{rng.random()}", seen)
    elif what == "settle":
        apply_verdict(office.ledger, office.registry, office.settings)
    elif what == "automatic":
        approve_automatically(office.ledger, office.registry, office.settings)


def check(events: list[Event]) -> None:
    """What must hold of every ledger, after every event of it."""
    assert [e.number for e in events] == list(range(1, len(events) + 1))
    by_number = {e.number: e for e in events}
    used: list[int] = []
    serving: list[str] = []  # kept by hand, to hold the derived state against
    canary: str | None = None
    for event in events:
        before = by_number.get(event.follows or 0)
        assert before is None or (before.model == event.model and before.number < event.number)
        if event.kind == "canary_started":
            assert before is not None
            assert before.kind == "approved"
            assert canary is None
            canary = event.model
            used.append(before.number)
        if event.kind == "deployed":
            assert before is not None
            assert before.kind in ("approved", "canary_started")
            if before.kind == "approved":
                used.append(before.number)
            else:
                canary = None
            serving.append(event.model)
        if event.kind == "rolled_back":
            serving = [m for m in serving if m != event.model]
            canary = None if canary == event.model else canary
        if event.kind == "approved":
            assert before is not None
            assert before.passed
        history = History(events[: event.number])
        assert history.production() == (serving[-1] if serving else None)
        started = history.canary()
        assert (started.model if started else None) == canary
        assert canary is None or canary not in serving
    assert len(used) == len(set(used)), "an approval was used twice"


def work(home: Path, seed: int) -> None:
    rng = random.Random(seed)
    office = Office(home, canary_share=0.5, canary_requests=5, auto_approve=True)
    try:
        while True:
            with contextlib.suppress(TwinError):
                act(office, rng.choice(DECIDES if seed % 10 else TRAINS), rng)
    except BaseException:
        (home / f"trouble-{seed}.txt").write_text(traceback.format_exc())
        raise


def _wait_for_events(office: Office, more: int) -> None:
    """Until the workers have written so many more events; or for a while, as all may be refused."""
    wanted, deadline = len(office.ledger.events()) + more, time.monotonic() + 3
    while len(office.ledger.events()) < wanted and time.monotonic() < deadline:
        time.sleep(0.005)


def test_writers_that_are_killed_leave_one_production_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, fork = random.Random(11), multiprocessing.get_context("fork")
    office, killed = Office(tmp_path), 0
    office.release()  # so that all that is needed is imported before the processes begin
    for round_ in range(8):
        if office.ledger.production() is None:
            office.versions = 10**9 + round_
            office.release()  # or no canary could begin
        workers = [fork.Process(target=work, args=(tmp_path, 10 * round_ + n), daemon=True) for n in range(3)]
        for worker in workers:
            worker.start()
        _wait_for_events(office, rng.randrange(4, 12))
        for worker in rng.sample(workers, 3):
            time.sleep(rng.random() * 0.03)
            worker.kill()
        for worker in workers:
            worker.join(10)
            killed += worker.exitcode == -9
        assert [file.read_text() for file in tmp_path.glob("trouble-*.txt")] == []
        check(office.ledger.events())
        production = office.ledger.production()
        assert production is None or office.registry.get(production).tag == production
    assert killed == 24
    kinds = Counter(e.kind for e in office.ledger.events())
    with capsys.disabled():
        print(f"\n  {killed} processes killed; {dict(kinds)}", end=" ")
    assert kinds.total() > 30, "they came to do something"
    assert {"approved", "deployed"} <= set(kinds)
    # What the killed ones left behind is in nobody's way.
    while office.ledger.history().canary():
        office.decide("roll_back", last_release(office.ledger.history()))
    office.versions = 2 * 10**9
    released = office.release()
    assert office.ledger.production() == released.model
    check(office.ledger.events())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A registry with versions for all examples."""
    office = Office(tmp_path_factory.mktemp("made"))
    for _ in range(20):
        office.candidate()
    return office


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # every example writes files
@given(
    st.lists(st.sampled_from(ACTS), min_size=5, max_size=15),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.5]),
)
def test_whatever_is_tried_the_ledger_stays_whole(
    made: Office, acts: list[str], seed: int, share: float
) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder), canary_share=share, canary_requests=5)
        office.registry, office.ready = made.registry, [e.model for e in made.ledger.events() if e.passed]
        for what in ["release", *acts]:
            with contextlib.suppress(TwinError):
                act(office, what, rng)
        check(office.ledger.events())
