"""Kept threads on a disk and on S3: several writers at once, and what is deleted while it is written to."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.s3_double import lake_in
from twin_assets.core.persona.definition import Persona
from twin_assets.core.storage.erased import add_erased, settle
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.threads import Threads, ThreadTurn, UnknownThread, kept, removal
from twin_assets.inference.twin.threads.stored import FOLDER

RUNA = Persona.model_validate(
    {"name": "runa", "full_name": "Runa Skov", "about": "Keeps the boats' data.", "license": "MIT",
     "medium": {"feed": "https://medium.com/feed/@x"}}
)  # fmt: skip
WRITERS, TURNS = 4, 5


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    with lake_in(request.param, tmp_path) as made:
        yield made


def turn(request_id: str, time: datetime | None = None, **more: str) -> ThreadTurn:
    given = {
        "model": "m",
        "outcome": "answered",
        "prompt": f"Asked {request_id}",
        "answer": "So.",
        "key": "ann",
    } | more
    return ThreadTurn.model_validate(given | {"request_id": request_id, "time": time or datetime.now(UTC)})


def test_of_several_that_write_and_rename_one_thread_none_loses_anything(lake: Lake) -> None:
    thread, ready = Threads(lake, RUNA, "ann").begin().id, threading.Barrier(WRITERS)

    def write(number: int) -> None:
        threads = Threads(lake, RUNA, "ann")
        ready.wait()
        for at in range(TURNS):
            assert threads.add(thread, turn(f"{number}-{at}"))
            threads.rename(thread, f"Title {number}")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    whole = Threads(lake, RUNA, "ann").open(thread)
    assert {one.request_id for one in whole.exchanges} == {
        f"{n}-{at}" for n in range(WRITERS) for at in range(TURNS)
    }
    assert whole.title.startswith("Title ")
    assert whole.characters == sum(len(one.prompt or "") + len(one.answer or "") for one in whole.exchanges)


def test_a_list_of_many_is_read_page_by_page_each_thread_once(lake: Lake) -> None:
    now = datetime.now(UTC)
    for n in range(7):
        begun = Threads(lake, RUNA, "ann", now=now - timedelta(days=n))
        begun.add(
            begun.begin().id,
            turn(str(n), now - timedelta(days=n), prompt=f"Question {n}\nand " + "more " * 40),
        )
    threads, seen, before = Threads(lake, RUNA, "ann", now=now), list[str](), None
    while True:
        page = threads.page(3, before)
        seen += [one.title for one in page.threads]
        if (before := page.next) is None:
            break
    assert [title[:14] for title in seen] == [f"Question {n} and" for n in range(7)]
    assert {len(title) for title in seen} == {kept.TITLE_CHARACTERS}
    assert threads.page(3, "0").threads == []


def test_what_is_deleted_while_it_is_written_to_leaves_nothing(lake: Lake) -> None:
    threads = Threads(lake, RUNA, "ann")
    for n in range(10):
        thread, together = threads.begin().id, threading.Barrier(2)

        def add(thread: str = thread, n: int = n, together: threading.Barrier = together) -> bool:
            together.wait()
            return threads.add(thread, turn(str(n)))

        with ThreadPoolExecutor(1) as pool:
            adding = pool.submit(add)
            together.wait()
            threads.delete(thread)
            adding.result()
        with pytest.raises(UnknownThread):
            threads.open(thread)
        with pytest.raises(UnknownThread):
            threads.rename(thread, "Back")
        assert list(lake.keys(FOLDER)) == []


def test_an_erasure_that_meets_a_writer_takes_out_what_the_writer_keeps(lake: Lake) -> None:
    threads = Threads(lake, RUNA, "ann")
    thread = threads.begin("Of ann").id
    assert threads.add(thread, turn("a"))
    add_erased(lake, "runa", key="ann")
    # From here no reader is shown it, though nothing was taken out yet.
    assert threads.page(10).threads == []
    with pytest.raises(UnknownThread):
        threads.open(thread)
    assert settle(lake, "runa", lambda listed: removal.take_out(lake, "runa", listed)) == 2
    assert list(lake.keys(FOLDER)) == []
    later = Threads(lake, RUNA, "ann")
    assert later.add(later.begin("After it").id, turn("b"))
    assert [one.title for one in Threads(lake, RUNA, "ann").page(10).threads] == ["After it"]
