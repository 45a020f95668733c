"""Objects that never change are read once by whoever holds what they say, and no more of them are kept than was said."""

from pathlib import Path

import pytest

from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.storage.read_once import ReadOnce


def test_each_object_is_understood_once_and_those_used_last_are_kept(tmp_path: Path) -> None:
    lake, understood = LocalLake(tmp_path), list[bytes]()

    def understand(data: bytes) -> int:
        understood.append(data)
        return int(data)

    for name in ("1", "2", "3"):
        lake.write(f"numbers/{name}", name.encode())
    numbers = ReadOnce(understand, most=2)
    reads = [numbers.read(lake, f"numbers/{name}") for name in ("1", "2", "1", "3", "1", "2")]
    assert reads == [1, 2, 1, 3, 1, 2]
    assert understood == [b"1", b"2", b"3", b"2"]
    assert numbers.read(LocalLake(tmp_path), "numbers/2") == 2
    assert len(understood) == 4, "by address, whichever lake was opened for it"


def test_nothing_is_kept_of_an_object_that_is_not_there_or_can_not_be_understood(tmp_path: Path) -> None:
    lake, numbers = LocalLake(tmp_path), ReadOnce(int, most=2)
    with pytest.raises(KeyError):
        numbers.read(lake, "numbers/1")
    lake.write("numbers/1", b"one")
    with pytest.raises(ValueError, match="one"):
        numbers.read(lake, "numbers/1")
    lake.write("numbers/1", b"1")
    assert numbers.read(lake, "numbers/1") == 1
