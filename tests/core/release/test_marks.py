"""Marks of persons hold on every machine that shares the lake, and looking at them costs one small object."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.s3_double import BadLine, s3_client, s3_lake, s3_server
from twin_assets.core.errors import TwinError
from twin_assets.core.release import marks
from twin_assets.core.release.marks import PAUSED, pause
from twin_assets.core.storage.lake import LocalLake, S3Lake


def test_those_who_pause_at_once_take_nothing_from_each_other(tmp_path: Path) -> None:
    names = [f"p{n:02d}" for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: pause(LocalLake(tmp_path), name, "Ines", ""), names))
        assert sorted(PAUSED.all(LocalLake(tmp_path))) == names
        gone = list(pool.map(lambda name: PAUSED.take(LocalLake(tmp_path), name), names[:12]))
    assert all(gone)
    assert sorted(PAUSED.all(LocalLake(tmp_path))) == names[12:]
    assert not PAUSED.take(LocalLake(tmp_path), "p00")


def test_on_s3_another_machine_sees_a_mark_after_a_while_and_ticks_ask_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as url, BadLine(url) as line:
        one = s3_lake(url, tmp_path / "one")
        other = S3Lake(s3_client(line.url), one.bucket, one.prefix, tmp_path / "other")
        assert PAUSED.lately(other) == {}
        pause(one, "runa", "Ines", "on leave")
        PAUSED._looked[other.uri(PAUSED.key)] = time.monotonic(), {}  # as a process of its own knows it
        line.asked.clear()
        assert [dict(PAUSED.lately(other)) for _ in range(50)] == [{}] * 50
        assert not line.asked
        monkeypatch.setattr(marks, "LOOK_SECONDS", 0.0)
        assert PAUSED.lately(other)["runa"].reason == "on leave"
        assert sum(line.asked.values()) == 1, line.asked
        assert PAUSED.take(other, "runa")
        assert PAUSED.all(one) == {}


def test_a_damaged_object_and_a_reason_without_end_are_refused(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    with pytest.raises(TwinError, match="300 characters at most"):
        pause(lake, "runa", "Ines", "x" * 301)
    lake.write(PAUSED.key, b'{"runa": 1}')
    for act in (lambda: PAUSED.all(lake), lambda: pause(lake, "ola", "Ines", "")):
        with pytest.raises(TwinError, match="is damaged, so nobody knows whom it names"):
            act()
