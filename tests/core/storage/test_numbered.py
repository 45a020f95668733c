from pathlib import Path

from twin_assets.core.storage.lake import LocalLake
from twin_assets.core.storage.numbered import Numbered, NumberedLog, next_number


class Note(Numbered):
    text: str


def test_a_number_is_taken_once_and_the_order_is_theirs(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    log, other = (NumberedLog(lake, "notes/runa", Note, digits=6) for _ in range(2))
    assert next_number(log.all()) == 1
    for n in range(1, 12):
        assert log.add(Note(number=n, text=f"{n}"))
    assert not other.add(Note(number=11, text="late"))
    assert [note.number for note in other.all()] == list(range(1, 12))
    assert other.all()[-1].text == "11"
    assert next_number(log.all()) == 12
    assert lake.exists("notes/runa/000011.json")


def test_a_record_is_replaced_under_its_number(tmp_path: Path) -> None:
    log = NumberedLog(LocalLake(tmp_path), "notes/runa", Note)
    log.add(Note(number=1, text="before"))
    log.replace(Note(number=1, text="after"))
    assert [note.text for note in log.all()] == ["after"]
    assert log.keys() == ["notes/runa/00000001.json"] == [log.key(1)]
