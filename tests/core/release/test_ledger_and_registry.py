"""The release ledger refuses impossible histories; the registry keeps lineage."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Lineage, Registry
from twin_assets.core.release.ledger import Damaged, Ledger
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings


def evaluated(ledger: Ledger, model: str, passed: bool = True) -> None:
    ledger.append(model, "proposed", "pipeline", "new candidate")
    ledger.append(model, "evaluated", "pipeline", "report", passed=passed)


def test_a_version_reaches_production_only_through_approval(tmp_path: Path) -> None:
    ledger = Ledger(LocalLake(tmp_path), "runa")
    evaluated(ledger, "a:1")
    with pytest.raises(TwinError, match="evaluated, so it can't become deployed"):
        ledger.append("a:1", "deployed", "pipeline", "skip the person")
    assert ledger.waiting() is not None
    ledger.append("a:1", "approved", "Ines", "reads well")
    assert ledger.approved() is not None
    assert ledger.production() is None
    ledger.append("a:1", "deployed", "pipeline", "approved by Ines")
    assert ledger.production() == "a:1"
    assert ledger.approved() is None


def test_a_failed_or_superseded_candidate_cannot_be_approved(tmp_path: Path) -> None:
    ledger = Ledger(LocalLake(tmp_path), "runa")
    evaluated(ledger, "a:1", passed=False)
    with pytest.raises(TwinError, match="did not pass"):
        ledger.append("a:1", "approved", "Ines", "please")
    evaluated(ledger, "a:2")
    evaluated(ledger, "a:3")
    with pytest.raises(TwinError, match="superseded by a:3"):
        ledger.append("a:2", "approved", "Ines", "older is fine")


def test_rollback_brings_back_the_version_before(tmp_path: Path) -> None:
    ledger = Ledger(LocalLake(tmp_path), "runa")
    for model in ("a:1", "a:2"):
        evaluated(ledger, model)
        ledger.append(model, "approved", "Ines", "good")
        ledger.append(model, "deployed", "pipeline", "approved")
    ledger.append("a:2", "rolled_back", "Ines", "sounds like a robot")
    assert ledger.production() == "a:1"
    assert [e.number for e in ledger.events()] == list(range(1, 10))


def test_events_name_who_and_why(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="actor and a reason"):
        Ledger(LocalLake(tmp_path), "runa").append("a:1", "proposed", " ", "")


def test_a_missing_event_is_named_and_nothing_is_added_after_it(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    evaluated(Ledger(lake, "runa"), "a:1")
    evaluated(Ledger(lake, "runa"), "a:2")
    lake.delete("ledger/runa/00000003.json")
    with pytest.raises(Damaged, match=r"no event 3, but later ones.*ledger/runa/00000003.json back"):
        Ledger(lake, "runa").append("a:2", "approved", "Ines", "good")
    assert len(list(lake.keys("ledger/runa"))) == 3


def test_a_name_that_is_taken_by_no_event_is_named(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    evaluated(Ledger(lake, "runa"), "a:1")
    (tmp_path / "ledger/runa/00000003.json").mkdir()
    with pytest.raises(Damaged, match=r"00000003.json is taken"):
        Ledger(lake, "runa").append("a:1", "approved", "Ines", "good")


@pytest.mark.parametrize("left", [b"", b'{"number":2,"persona":"runa","mod', b"\xff\x00"])
def test_a_truncated_event_is_named(tmp_path: Path, left: bytes) -> None:
    lake = LocalLake(tmp_path)
    evaluated(Ledger(lake, "runa"), "a:1")
    lake.write("ledger/runa/00000002.json", left)
    with pytest.raises(Damaged, match=r"00000002.json of the release ledger is damaged.*backup"):
        Ledger(lake, "runa").history()


def test_an_event_by_a_clock_that_is_behind_is_not_before_what_it_follows(tmp_path: Path) -> None:
    """The evaluation was written by a machine whose clock is three minutes ahead of this one's."""
    lake = LocalLake(tmp_path)
    ledger = Ledger(lake, "runa")
    ledger.append("a:1", "proposed", "pipeline", "new candidate")
    ahead = ledger.append("a:1", "evaluated", "pipeline", "report", passed=True)
    ahead = ahead.model_copy(update={"at": datetime.now(UTC) + timedelta(minutes=3)})
    lake.write("ledger/runa/00000002.json", ahead.model_dump_json().encode())
    approval = Ledger(lake, "runa").append("a:1", "approved", "Ines", "good")
    assert approval.at >= ahead.at
    events = Ledger(lake, "runa").events()
    assert [e.kind for e in sorted(events, key=lambda e: e.at)] == ["proposed", "evaluated", "approved"]


def test_the_registry_keeps_lineage_and_never_stores_the_same_inputs_twice(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"123")
    lineage = Lineage(
        persona="runa", stage="sft", profile="nano", parent="twin-runa-base:0", seed=1, prompts="p",
        datasets={"instruct": "abc"}, config_hash="c", code_version="1",
    )  # fmt: skip
    registry = Registry(Settings(home=tmp_path))
    saved = registry.save(folder, lineage, {"eval_loss": 1.5})
    (folder / "model.bin").write_bytes(b"other")
    again = registry.save(folder, lineage)
    assert again == saved
    assert (saved.path / "model.bin").read_bytes() == b"123"
    assert registry.get(saved.tag).lineage.datasets == {"instruct": "abc"}
    assert [v.tag for v in registry.list("runa")] == [saved.tag]
    assert registry.list("other") == []
    later = registry.save(folder, lineage.model_copy(update={"seed": 2}))
    registry.save(folder, lineage.model_copy(update={"seed": 3, "profile": "pocket"}))
    assert registry.newest("runa", "sft", "nano") == later
    assert registry.newest("runa", "dpo", "nano") is None
    assert registry.newest("run", "sft", "nano") is None
    with pytest.raises(TwinError, match="no model 'twin-runa-sft:nope'"):
        registry.get("twin-runa-sft:nope")


@pytest.mark.parametrize(
    "tag", ["../models", "twin-runa-sft:..", "..:..", "/etc", "twin-runa-sft:x/../y", "a b", ""]
)
def test_a_tag_that_is_a_path_is_no_model(tmp_path: Path, tag: str) -> None:
    with pytest.raises(TwinError, match="has no model"):
        Registry(Settings(home=tmp_path)).get(tag)
