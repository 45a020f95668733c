"""Places in the queue that all replicas count together, in a real PostgreSQL that dies, freezes and comes back."""

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access import shared_limits
from serving.access.limits import Admission, Elsewhere, QueueFull
from serving.access.shared_limits import Limits
from tests.serving.twin_server import twin
from tests.support.machine import PATIENCE, until
from tests.support.postgres.server import PASSWORD, Postgres
from twin_assets.core.storage.database import ask, connect
from twin_assets.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Rows of the test before count for a moment yet.
    assert shared_limits.Counter(settings).ask("delete from twin_places", ()) == []
    return settings


def elsewhere(places: int, running: dict[str, int], waiting: dict[str, int] | None = None) -> Elsewhere:
    return Elsewhere(places, Counter(running), Counter(waiting or {}))


class Line:
    """A queue in the loop of a test, and who was let in, in order."""

    def __init__(self, running: int, waiting: int) -> None:
        self.queue, self.began = Admission(running, waiting, PATIENCE), []  # type: ignore[var-annotated]

    async def ask(self, caller: str, times: int = 1) -> list[asyncio.Task[None]]:
        """Ask for places, and let all that can go on go on."""
        tasks = [asyncio.create_task(self._enter(caller)) for _ in range(times)]
        await self.settle()
        return tasks

    async def _enter(self, caller: str) -> None:
        await self.queue.enter(caller)
        self.began.append(caller)

    async def leave(self, caller: str) -> None:
        self.queue.leave(caller)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def test_the_next_free_place_goes_to_who_has_fewest_at_all_replicas() -> None:
    async def scene() -> None:
        line = Line(running=4, waiting=4)
        await line.ask("greedy")
        await line.ask("modest", 2)
        await line.ask("third")
        await line.ask("greedy")
        await line.ask("modest")
        line.queue.heed(elsewhere(8, {"greedy": 5}))
        await line.leave("third")
        assert line.began[-1] == "modest", "greedy has fewer here, and more in all"
        line.queue.heed(Elsewhere())
        await line.leave("modest")
        assert line.began[-1] == "greedy"

    asyncio.run(scene())


def test_in_a_full_line_who_waits_most_at_all_replicas_makes_room() -> None:
    async def scene() -> None:
        line = Line(running=1, waiting=4)
        await line.ask("somebody")
        (greedy,) = await line.ask("greedy")
        modest = await line.ask("modest", 3)
        line.queue.heed(elsewhere(1, {}, {"greedy": 6}))
        await line.ask("third")
        assert isinstance(greedy.exception(), QueueFull), "modest has more here, and fewer in all"
        (late,) = await line.ask("greedy")
        assert isinstance(late.exception(), QueueFull)
        assert not any(task.done() for task in modest)
        line.queue.heed(Elsewhere())
        await line.ask("greedy")
        assert [task.done() for task in modest] == [False, False, True]

    asyncio.run(scene())


def test_of_all_replicas_places_some_are_left_while_others_ask() -> None:
    async def scene() -> None:
        line = Line(running=1, waiting=4)
        line.queue.heed(elsewhere(3, {"greedy": 2, "modest": 1}))
        await line.ask("greedy")
        assert line.began == ["greedy"], "three of four"
        await line.leave("greedy")
        line.queue.heed(elsewhere(3, {"greedy": 3}, {"modest": 1}))
        await line.ask("greedy")
        assert line.queue.in_hand == {"running": 0, "waiting": 1}, "the fourth is left"
        await line.ask("modest")
        assert line.began[-1] == "modest"
        await line.leave("modest")
        assert line.queue.in_hand == {"running": 0, "waiting": 1}
        line.queue.heed(elsewhere(3, {"greedy": 3}))
        await line.settle()
        assert line.began[-1] == "greedy", "nobody else wants it"

    asyncio.run(scene())


def test_a_caller_who_has_much_elsewhere_takes_what_nobody_else_wants_and_leaves_a_place_here() -> None:
    async def scene() -> None:
        line = Line(running=4, waiting=4)
        line.queue.heed(elsewhere(12, {"greedy": 9}))
        await line.ask("greedy", 5)
        assert line.began == ["greedy"] * 3
        await line.ask("modest")
        assert line.began[-1] == "modest"

    asyncio.run(scene())


class Replica:
    """A process's queue, in an event loop of its own."""

    def __init__(self, settings: Settings, running: int) -> None:
        self.here = Admission(running, 16, PATIENCE)
        self._shared = Limits(settings).admission(self.here)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def ask(self, caller: str) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self._shared.enter(caller), self.loop)

    def take(self, caller: str, times: int = 1) -> None:
        for _ in range(times):
            self.ask(caller).result(PATIENCE)

    def leave(self, caller: str) -> None:
        self.loop.call_soon_threadsafe(self._shared.leave, caller)

    def wait_for(self, running: int, waiting: int = 0) -> None:
        """Until so many are known to be in hand elsewhere."""
        until(
            lambda: (
                (self.here.elsewhere.running.total(), self.here.elsewhere.waiting.total())
                == (running, waiting)
            )
        )

    @property
    def at_rest(self) -> bool:
        return not asyncio.all_tasks(self.loop)

    def close(self) -> None:
        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


@contextmanager
def replicas(settings: Settings, *running: int) -> Iterator[list[Replica]]:
    made = [Replica(settings, places) for places in running]
    try:
        yield made
    finally:
        for replica in made:
            replica.close()


def told(settings: Settings) -> list[tuple[Any, ...]]:
    connection = connect(settings, 60)
    rows = ask(connection, 60, "select places, callers from twin_places")
    connection.close()
    return rows


def test_who_floods_all_replicas_keeps_nobody_out_of_any_and_is_last_where_a_place_comes_free(
    settings: Settings,
) -> None:
    with replicas(settings, 8, 8) as (one, two):
        flood = [one.ask("greedy") for _ in range(9)]
        two.take("greedy")
        one.take("modest")
        two.take("modest", 5)
        two.take("third", 2)
        until(lambda: sum(asked.done() for asked in flood) == 6)
        greedy, modest = two.ask("greedy"), two.ask("modest")
        one.wait_for(8, 2)
        two.wait_for(7, 3)
        two.leave("third")
        modest.result(PATIENCE)
        assert not greedy.done(), "it has one here, and seven in all"


def test_no_name_stands_in_the_table_and_a_replica_at_rest_tells_nothing(settings: Settings) -> None:
    with replicas(settings, 4, 4) as (one, two):
        one.take("anybody 203.0.113.7", 2)
        two.take("key 7")
        one.wait_for(1)
        two.wait_for(2)
        assert sorted(places for places, _ in told(settings)) == [4, 4]
        assert not [row for row in told(settings) if "203" in str(row) or "key" in str(row)]
        one.leave("anybody 203.0.113.7")
        one.leave("anybody 203.0.113.7")
        two.wait_for(0)
        until(lambda: one.at_rest)
        assert len(told(settings)) == 1
        assert one.here.elsewhere == Elsewhere(), "what it knew grows old"
        one.take("key 7")
        one.wait_for(1)
        two.wait_for(1)


HOLDS = """
import asyncio, sys
from pathlib import Path
from serving.access.limits import Admission
from serving.access.shared_limits import Limits
from twin_assets.settings import Settings

async def hold():
    queue = Limits(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2])).admission(Admission(1, 4, 3600))
    await queue.enter("greedy")
    await queue.enter("modest")

asyncio.run(hold())
"""


def test_the_places_of_a_replica_that_was_killed_come_free(settings: Settings, server: Postgres) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(settings.home), server.url])
    try:
        with replicas(settings, 1) as (here,):
            here.take("third")
            here.wait_for(1, 1)
            asked = here.ask("greedy")
            here.leave("third")
            until(lambda: here.here.in_hand == {"running": 0, "waiting": 1})
            assert not asked.done(), "one of two places is left for modest"
            other.kill()
            other.wait(PATIENCE)
            asked.result(PATIENCE)
            assert here.here.elsewhere == Elsewhere()
            assert len(told(settings)) == 2, "by its age, while its row is there yet"
    finally:
        other.kill()
        other.wait(PATIENCE)


@pytest.mark.parametrize("ill", ["dead", "frozen"])
def test_while_the_database_is_away_each_replica_counts_places_for_itself(
    settings: Settings,
    server: Postgres,
    ill: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger=shared_limits.__name__)
    monkeypatch.setattr(shared_limits, "REST_SECONDS", 0.2)

    def said(level: int) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == level]

    async def turns_of_the_loop() -> int:
        turns = 0
        while not said(logging.WARNING):
            turns += 1
            await asyncio.sleep(0.01)
        return turns

    with replicas(settings, 4, 4) as (one, two):
        one.take("greedy", 2)
        two.take("greedy")
        one.wait_for(1)
        two.wait_for(2)
        if ill == "dead":
            server.stop()
        else:
            server.signal(signal.SIGSTOP)
        try:
            turns = asyncio.run_coroutine_threadsafe(turns_of_the_loop(), one.loop)
            one.take("modest")
            one.wait_for(0)
            two.wait_for(0)
            one.take("greedy")
            assert ill == "dead" or turns.result(PATIENCE) > 10, "the loop went on while a thread waited"
        finally:
            if ill == "dead":
                server.start()
            else:
                server.signal(signal.SIGCONT)
        one.wait_for(1)
        two.wait_for(4)
    assert len(said(logging.WARNING)) == 2, "each said it once"
    assert all("each replica counts limits for itself" in line for line in said(logging.WARNING))
    assert not any(PASSWORD in line or "p%40ss" in line for line in said(logging.WARNING))
    assert said(logging.INFO) == ["limits are counted in the database again"] * 2


def test_a_service_tells_of_its_places_while_it_answers(settings: Settings, tmp_path: Path) -> None:
    with twin(tmp_path, max_running=4, database_url=settings.database_url) as (server, engine):
        engine.hold.clear()
        body = {"persona": "runa", "topic": "tides"}
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(httpx.post, f"{server.url}/v1/write", json=body, timeout=PATIENCE)
            until(
                lambda: any(
                    (places, [*callers.values()]) == (4, [[1, 0]]) for places, callers in told(settings)
                )
            )
            engine.hold.set()
            assert held.result().status_code == 200
        until(lambda: not any(places == 4 and callers for places, callers in told(settings)))
