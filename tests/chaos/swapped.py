"""Versions that are released, taken back and released again under constant requests to the real services: no request may
fail, none may be answered by two versions, and the last release must be what serves."""

import time
from collections import Counter

import pytest

from tests.chaos.report import Part
from tests.support.machine import until

SWAPS = 12


def run(part: Part) -> None:
    if not part.full:
        part.note(
            "only in the full form: it starts both services. tests/e2e/test_release_under_load.py has two swaps"
        )
        return
    from tests.e2e.released_twin import ReleasedTwin
    from tests.e2e.test_release_under_load import Person
    from tests.e2e.under_load import Load
    from tests.e2e.web_browser import LLM, TWIN, services

    home = part.home / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))  # the embedder is made ready once, for the services too
        twin = ReleasedTwin(home)
    old, new = twin.released.tag, twin.candidate.tag
    # One machine is slow for many reasons: no version may be taken back for its latency.
    with services(twin, LLM, TWIN, TWIN_LATENCY_LIMIT="1000", TWIN_ERROR_LIMIT="0.9") as business:
        engine = twin.environment["TWIN_LLM_URL"].removesuffix("/v1")
        person = Person(twin, twin.settings)
        serving, pauses = old, []
        with Load([engine, engine, engine, business, business]) as load:
            for address in (engine, business):
                load.wait_for(old, address, 600)
            for number in range(SWAPS):
                time.sleep(part.rng.random())  # anywhere between two requests
                pressed = time.monotonic()
                if serving == old:
                    if number:
                        person.propose(new)
                    person.press()
                    serving = new
                    part.tried["releases under load"] += 1
                else:
                    person.roll_back()
                    serving = old
                    part.tried["rollbacks under load"] += 1
                until(lambda: _served(load.outcomes, serving, pressed), f"swap {number}")  # noqa: B023
                pauses.append(time.monotonic() - pressed)
                if person.ledger.production() != serving:
                    part.broken.append(
                        f"swap {number}: the ledger has {person.ledger.production()}, not {serving}"
                    )
        part.tried["requests under load"] += len(load.outcomes)
        part.note(load.summary())
        part.note(f"first answer of the other version after {min(pauses):.1f} to {max(pauses):.1f} s")
        part.broken += [f"{times} requests: {trouble}" for trouble, times in Counter(load.troubles()).items()]
        for outcome in load.outcomes:
            if not outcome.trouble and (len(outcome.models) != 1 or not outcome.models <= {old, new}):
                part.broken.append(f"one answer names {outcome.models}")
            if not outcome.trouble and not outcome.pieces:
                part.lost.append(f"an empty answer of {outcome.models}")


def _served(outcomes: list, model: str, since: float) -> bool:
    """Whether every address has answered with that version in a request that began since."""
    answered = {o.address for o in list(outcomes) if o.began > since and o.models == {model}}
    return answered == {o.address for o in list(outcomes)}
