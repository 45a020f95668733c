"""Erasures, retention, scoring and the log's own writer as processes that work at the same time: nothing comes back."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluation.evaluation_factories import request
from tests.monitoring.erasure.bytes_of_home import places_with, readings
from tests.monitoring.erasure.erasure_processes import (
    BUCKET,
    NAMES,
    PERSONA,
    item,
    lake_at,
    made,
    retain,
    score,
)
from tests.support.machine import PATIENCE
from tests.support.s3_double import s3_client, s3_server
from twin_assets.core.datasets.store import latest_version, read_rows
from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import read_items
from twin_assets.inference.twin import request_log
from twin_assets.inference.twin.request_log import RequestRecord, read_object, read_requests, write_object
from twin_assets.monitoring.erasure import finish_erasures
from twin_assets.monitoring.scores import scored
from twin_assets.settings import ROOT, Settings

OBJECTS, KEYS = 30, 20  # a row of each key is in every object
GONE = [f"gone{n:02}" for n in range(12)]
KEPT = [f"kept{n:02}" for n in range(KEYS - len(GONE))]


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "folder":
        yield "-"
        return
    with s3_server() as address:
        s3_client(address).create_bucket(Bucket=BUCKET)
        yield address


def logged(lake: Lake) -> None:
    """Half of the objects are of a day whose texts are past theirs."""
    for number in range(OBJECTS):
        rows = [
            request(number, request_id=f"{key}-{number}", key=key, prompt=f"asked {key}-{number}", answer=f"said {key}-{number}")
            for key in (*GONE, *KEPT)
        ]  # fmt: skip
        day = "2026-01-01" if number % 2 else "2026-01-02"
        write_object(lake, f"{request_log.FOLDER}/{PERSONA}/{day}", f"{number:012}-{number:06x}", rows)


def run(folder: Path, url: str, erasers: list[list[str]], others: list[list[str]]) -> None:
    """Processes from one signal on, until the erasers are done."""
    roles = erasers + others
    script, environment = (
        Path(__file__).with_name("erasure_processes.py"),
        os.environ | {"PYTHONPATH": str(ROOT)},
    )
    started = [
        subprocess.Popen([sys.executable, str(script), role, str(folder), url, *wanted], env=environment, stdout=subprocess.PIPE, text=True)
        for role, *wanted in roles
    ]  # fmt: skip
    try:
        for one in started:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        (folder / "go").touch()
        for one in started[: len(erasers)]:
            assert one.wait(PATIENCE) == 0
        (folder / "stop").touch()
        ended = [(role, one.wait(PATIENCE)) for (role, *_), one in zip(roles, started, strict=True)]
        assert ended == [(role, 0) for role, *_ in roles]
    finally:
        for one in started:
            one.kill()


def stored(lake: Lake) -> list[RequestRecord]:
    """Every row that lies in the log, whatever readers make of it."""
    keys = [key for key in lake.keys(f"{request_log.FOLDER}/{PERSONA}") if not key.endswith(request_log.NOTE)]
    return [row for key in keys for row in read_object(lake, key)]


def test_what_is_erased_at_the_same_time_stays_erased_and_the_rest_stays(tmp_path: Path, url: str) -> None:
    lake = lake_at(tmp_path, url)
    logged(lake)
    erasers = [["erase", *GONE[n::3]] for n in range(3)]
    run(tmp_path, url, erasers, [["retain"], ["score"], ["log", GONE[0], KEPT[0]]])

    assert {row.key for row in read_requests(lake, PERSONA)} <= set(KEPT)
    assert {row.key for row in scored.read_scored(lake, PERSONA)} <= set(KEPT)
    # The next hour's: a process that ended while it looked at the list has left rows that nobody is shown.
    finish_erasures(Settings(home=tmp_path), lake, PERSONA)
    left = stored(lake)
    assert {row.key for row in left} <= set(KEPT)
    assert not [row for row in left if "gone" in row.model_dump_json()]
    scores = [row for key in lake.keys(f"{scored.FOLDER}/{PERSONA}") for row in scored.read_part(lake, key)]
    assert scores
    assert {row.key for row in scores} <= set(KEPT)
    wanted = {f"{key}-{number}" for key in KEPT for number in range(OBJECTS)}
    seen = Counter(row.request_id for row in read_requests(lake, PERSONA))
    assert seen.keys() >= wanted
    assert max(seen.values()) == 1
    assert {name for name in seen if not name.startswith("late-")} == wanted
    assert any(name.startswith("late-kept") for name in seen)

    retain(lake)
    score(lake)
    left = stored(lake)
    assert Counter(row.request_id for row in left) == seen
    old = [rows for _, rows in request_log.day_objects(lake, PERSONA, "2026-01-01")]
    assert any(old)
    assert all(row.answer is None for rows in old for row in rows)
    assert Counter(row.request_id for row in scored.read_scored(lake, PERSONA)) == seen


def test_documents_that_are_erased_at_the_same_time_leave_every_object_and_every_mirror(
    tmp_path: Path, url: str
) -> None:
    lake = lake_at(tmp_path, url)
    for part in range(3):  # two of those that leave, and two that stay, in each
        lines = [item(name).model_dump_json() for name in NAMES[part::3]]
        lake.create(
            f"raw/web/{PERSONA}/2026010{part}T000000000000-aa.jsonl",
            "".join(f"{line}\n" for line in lines).encode(),
        )
    made(lake, 10_001)
    lake.write(f"reports/{PERSONA}/m.json", "".join(item(name).body for name in NAMES).encode())
    for prefix in ("raw", "datasets", "reports"):
        lake.local(prefix)
    assert places_with(tmp_path, "leaves")
    leave, stay = NAMES[:6], NAMES[6:]

    erasers = [["erase-documents", *(item(name).doc_id for name in leave[n::2])] for n in range(2)]
    run(tmp_path, url, erasers, [["make"]])

    assert places_with(tmp_path, "leaves") == set()
    stored = {key: lake.read(key) for key in lake.keys("")}
    assert not [key for key, data in stored.items() if any(b"leaves" in one for one in readings(data))]
    found = [one.item_id for key in lake.keys("raw") for one in read_items(lake, key)]
    assert sorted(found) == stay
    assert {chunk.chunk_id for chunk in FeatureStore(lake).read("chunks", PERSONA)} == set(stay)
    version = latest_version(lake, PERSONA, "instruct")
    assert version
    assert {row.row_id for row in read_rows(lake, PERSONA, "instruct", version, "train")} == {
        text_hash(name) for name in stay
    }
    for prefix in ("raw", "datasets", "reports"):
        lake.local(prefix)
    assert places_with(tmp_path, "leaves") == set()
    assert len(places_with(tmp_path, "stays")) > 5
