"""When a canary is promoted and a version rolled back by itself, and how seldom that is a false alarm."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.releases import Office
from twin_assets.core.betting import e_value
from twin_assets.core.release.canary import (
    FALSE_ALARM,
    Asked,
    Seen,
    Tally,
    apply_verdict,
    breaks_limit,
    evaluate_canary,
    read_seen,
    write_seen,
)
from twin_assets.core.release.history import Event
from twin_assets.settings import Settings

LIMITS = Settings(error_limit=0.05, latency_limit=2.0)


def tally(requests: int = 0, errors: int = 0, seconds: Sequence[float] = ()) -> Tally:
    """So many requests, each of a caller of its own."""
    took = [[s] for s in seconds] + [[] for _ in range(requests - len(seconds))]
    return Tally(
        callers={str(n): Asked(requests=1, errors=n < errors, seconds=took[-1 - n]) for n in range(requests)}
    )


def steps_until_alarm(rate: float, allowed: float, most: int, rng: random.Random) -> int | None:
    """Requests until the evidence is beyond chance, looking after every one; None when it never is."""
    bad = 0
    for n in range(1, most + 1):
        bad += rng.random() < rate
        if e_value(bad, n, allowed) > 1 / FALSE_ALARM:
            return n
    return None


def test_looking_after_every_request_raises_few_false_alarms_and_finds_real_ones_soon() -> None:
    rng = random.Random(7)
    false = sum(steps_until_alarm(0.05, 0.05, 300, rng) is not None for _ in range(400))
    assert false <= 0.03 * 400, "one in a hundred is promised; three leave room for the sample"
    found = sorted(steps_until_alarm(0.4, 0.05, 300, rng) or 300 for _ in range(50))
    assert found[25] < 20
    assert found[-1] < 60
    assert steps_until_alarm(1.0, 0.05, 300, rng) == 2


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0, 1))
@example(0, 199, 0.96875)
@example(0, 10_000, 0.9)
def test_evidence_is_a_number_and_grows_with_what_went_wrong(bad: int, good: int, allowed: float) -> None:
    value = e_value(bad, bad + good, allowed)
    assert 0 <= value < float("inf")
    assert e_value(bad + 1, bad + good + 1, allowed) >= value * (1 - 1e-6)
    assert e_value(bad, bad + good + 1, allowed) <= value * (1 + 1e-6)


def test_one_failure_says_nothing_and_neither_do_a_few_long_answers() -> None:
    old = tally(requests=100, errors=0, seconds=[1.0] * 100)
    assert breaks_limit(tally(requests=1, errors=1), old, LIMITS) is None
    assert breaks_limit(tally(requests=40, errors=0, seconds=[1.0] * 30 + [9.0] * 10), old, LIMITS) is None
    assert breaks_limit(tally(requests=12, errors=0, seconds=[9.0] * 12), tally(), LIMITS) is None
    slow = breaks_limit(tally(requests=12, errors=0, seconds=[2.1] * 12), old, LIMITS)
    assert slow == "12 of 12 answers took longer than 2 times a median latency of 1.00 s"
    failing = tally(requests=200, errors=100)
    assert breaks_limit(tally(requests=50, errors=26), failing, LIMITS) is None, "production fails as much"


def canary(tmp_path: Path, **settings: float) -> tuple[Office, Event, Event]:
    office = Office(tmp_path, canary_share=0.5, canary_minutes=10, canary_requests=50, **settings)
    return office, office.release(), office.release()


def see(office: Office, since: Event, process: str, **models: Tally) -> None:
    write_seen(office.lake, "runa", since.number, process, Seen(models=models))


def settle_after(office: Office, minutes: float) -> Event | None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    return apply_verdict(office.ledger, office.registry, office.settings, now)


def test_what_several_processes_saw_is_added_up(tmp_path: Path) -> None:
    office, first, second = canary(tmp_path)
    for process in ("a", "b"):
        see(office, second, process, **{second.model: tally(requests=20, seconds=[1.0] * 20)})
    both = read_seen(office.lake, "runa", second.number)[second.model]
    assert (both.votes, len(both.seconds)) == (20, 40), "the same callers, in two processes"
    assert read_seen(office.lake, "runa", second.number)[second.model].requests == 40
    assert settle_after(office, 1) is None
    see(office, second, "b", **{second.model: tally(requests=30, seconds=[1.0] * 30)})
    promoted = settle_after(office, 1)
    assert promoted
    assert (promoted.kind, promoted.actor, promoted.follows) == ("deployed", "release-watch", second.number)
    assert promoted.reason.startswith("after 50 requests in the canary, 0 beside it: 0 of 50 requests failed")
    assert office.ledger.history().predecessor() == first.model


def test_a_canary_without_requests_ends_with_its_time(tmp_path: Path) -> None:
    office, _, second = canary(tmp_path)
    assert settle_after(office, 9) is None
    promoted = settle_after(office, 11)
    assert promoted
    assert (promoted.kind, promoted.model) == ("deployed", second.model)


def test_a_failing_canary_is_rolled_back_at_once_and_a_doubtful_one_at_its_end(tmp_path: Path) -> None:
    office, first, second = canary(tmp_path)
    see(office, second, "a", **{second.model: tally(requests=1, errors=1), first.model: tally(requests=9)})
    assert settle_after(office, 1) is None, "one request is no evidence"
    rolled = settle_after(office, 11)
    assert rolled
    assert rolled.kind == "rolled_back"
    assert "1 of 1 requests failed, of the version before 0 of 9 requests failed" in rolled.reason
    third = office.release()
    see(office, third, "a", **{third.model: tally(requests=3, errors=3), first.model: tally(requests=9)})
    at_once = settle_after(office, 0)
    assert at_once
    assert (at_once.kind, at_once.model) == ("rolled_back", third.model)
    assert office.ledger.production() == first.model
    assert settle_after(office, 100) is None, "what a rollback brought back is not judged again"


def test_a_slow_canary_is_rolled_back(tmp_path: Path) -> None:
    office, first, second = canary(tmp_path)
    see(office, second, "a", **{
        second.model: tally(requests=12, seconds=[3.0] * 12), first.model: tally(requests=12, seconds=[1.0] * 12),
    })  # fmt: skip
    rolled = settle_after(office, 0)
    assert rolled
    assert rolled.kind == "rolled_back"
    assert "12 of 12 answers took longer than 2 times a median latency of 1.00 s" in rolled.reason


@pytest.mark.parametrize(("minutes", "kind"), [(5, "rolled_back"), (25, None)])
def test_a_deployed_version_is_watched_for_a_while(tmp_path: Path, minutes: float, kind: str | None) -> None:
    office = Office(tmp_path, watch_minutes=20)
    first, second = office.release(), office.release()
    see(office, first, "a", **{first.model: tally(requests=40, errors=1)})
    see(office, second, "a", **{second.model: tally(requests=6, errors=5)})
    event = settle_after(office, minutes)
    assert (event.kind if event else None) == kind
    assert office.ledger.production() == (first.model if kind else second.model)


def test_the_only_version_is_never_rolled_back_by_itself(tmp_path: Path) -> None:
    office = Office(tmp_path)
    first = office.release()
    see(office, first, "a", **{first.model: tally(requests=50, errors=50)})
    assert settle_after(office, 1) is None
    assert office.ledger.production() == first.model


def test_of_many_who_judge_one_writes_it_down(tmp_path: Path) -> None:
    office, _, second = canary(tmp_path)
    late = datetime.now(UTC) + timedelta(minutes=30)
    verdicts = [
        evaluate_canary(office.lake, "runa", office.ledger.history(), office.settings, late) for _ in range(3)
    ]
    assert {v.act for v in verdicts if v} == {"promote"}
    events = [apply_verdict(office.ledger, office.registry, office.settings, late) for _ in range(3)]
    assert [e.kind for e in events if e] == ["deployed"]
    assert sum(e.kind == "deployed" and e.model == second.model for e in office.ledger.events()) == 1


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_whatever_was_seen_no_version_within_the_limits_is_rolled_back(
    a: int, b: int, c: int, d: int
) -> None:
    new, old = tally(requests=a + b, errors=a), tally(requests=c + d, errors=c)
    if new.error_rate <= old.error_rate + LIMITS.error_limit:
        assert breaks_limit(new, old, LIMITS) is None


HONEST = {f"honest {n}": Asked(requests=5, seconds=[1.0] * 5) for n in range(4)}


@pytest.mark.parametrize("others", [{}, HONEST], ids=["alone", "among others"])
def test_nobody_takes_a_version_back_alone(others: dict[str, Asked]) -> None:
    old = tally(requests=100, seconds=[1.0] * 100)
    failing = Tally(callers=others | {"one": Asked(requests=500, errors=500)})
    slow = Tally(callers=others | {"one": Asked(requests=500, seconds=[60.0] * 50)})
    assert breaks_limit(failing, old, LIMITS) is None
    assert breaks_limit(slow, old, LIMITS) is None


def test_several_callers_take_it_back_however_often_each_asked() -> None:
    old = tally(requests=100, seconds=[1.0] * 100)
    failing = Tally(callers={"one": Asked(requests=9, errors=9), "two": Asked(requests=1, errors=1)})
    assert breaks_limit(failing, old, LIMITS) == "10 of 10 requests failed, of 2 callers, of the version before 0 of 100 requests failed"  # fmt: skip
    slow = Tally(callers={str(n): Asked(requests=6, seconds=[9.0] * 6) for n in range(2)})
    assert "12 of 12 answers took longer" in str(breaks_limit(slow, old, LIMITS))
    assert breaks_limit(Tally(unloaded=2), old, LIMITS) == "2 of 2 requests failed, 2 of them to load it, of the version before 0 of 100 requests failed"  # fmt: skip
