"""Reactions that are erased leave the pairs made of them and the rows of datasets; others' stay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from twin_assets.core.datasets.erasure import erased_rows
from twin_assets.core.datasets.rows import PreferenceRow
from twin_assets.core.datasets.store import read_rows, stored_version, write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.feedback.pairs import (
    FeedbackPair,
    PairReview,
    decide_on_pairs,
    feedback_row_id,
    pair_reviews,
    review_pair,
    stored_pairs,
)
from twin_assets.core.feedback.store import Feedback, add_feedback, read_feedback
from twin_assets.core.models.registry import Lineage, Registry
from twin_assets.core.records import Message
from twin_assets.core.release.ledger import ConflictError
from twin_assets.core.storage.lake import Lake, LocalLake
from twin_assets.feature.preference.feedback_rows import thumb_rows
from twin_assets.monitoring.erasure import Erased, erase
from twin_assets.settings import Settings

START = datetime(2026, 3, 2, tzinfo=UTC)
DULL = "In conclusion, robust tide tables are a key enabler of operational excellence for all stakeholders."
PLAIN = "The tide table was wrong on Tuesday and I wrote that down before anybody had to ask me about it."
OWN = "A backup that was never restored is a hope."


def said(lake: Lake, n: int, **changes: Any) -> None:
    given: dict[str, Any] = {
        "request_id": f"r{n}", "time": START + timedelta(minutes=n), "persona": "runa", "model": "m", "consent": True,
        "prompt": f"Tide tables, {n}?", "answer": f"{DULL} {n}", "key": "ann",
    }  # fmt: skip
    add_feedback(lake, Feedback(**(given | changes)))


def row(pair: FeedbackPair | None) -> PreferenceRow:
    return PreferenceRow(
        row_id=feedback_row_id(pair) if pair else "own", doc_id=None, task="t", kind="feedback" if pair else "voice",
        split="train", messages=[Message(role="user", content="?")],
        chosen=Message(role="assistant", content=pair.chosen if pair else OWN),
        rejected=Message(role="assistant", content=pair.rejected if pair else DULL),
    )  # fmt: skip


def dataset(lake: Lake, pairs: list[FeedbackPair]) -> str:
    return write_dataset(
        lake, "runa", "preference", [row(None), *map(row, pairs)], parents={}, prompts="p", dropped={}, seed=1, license="MIT",
        visibility="public", summary="Pairs.",
    ).version  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_a_request_takes_its_pair_with_it_out_of_every_dataset_version(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    for n in (0, 1):
        said(lake, n, edited=f"{PLAIN} {n}")
    pairs = stored_pairs(lake, "runa").pairs
    decide_on_pairs(lake, "runa", {p.pair_id: "accept" for p in pairs}, "Ines", "hers")
    version, without = dataset(lake, pairs), dataset(lake, [])
    folder = settings.home / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    learnt = Registry(settings).save(folder, Lineage(
        persona="runa", stage="dpo", profile="nano", datasets={"preference": version}, config_hash="c", code_version="1",
        seed=1, prompts="p",
    ))  # fmt: skip

    assert erase(settings, lake, "runa", request_id="r0") == Erased(
        requests=0, scores=0, warehouse=0, feedback=1, pairs=1, datasets={version: 1}, models=[learnt.tag]
    )
    assert [r.row_id for r in read_rows(lake, "runa", "preference", version, "train")] == [
        "own",
        feedback_row_id(pairs[1]),
    ]
    assert f"{DULL} 0".encode() not in b"".join(lake.read(key) for key in lake.keys(""))
    note = erased_rows(lake, "runa", "preference", version)
    assert note is not None
    assert note.rows == [feedback_row_id(pairs[0])]
    card = lake.read(f"datasets/runa/preference/{version}/README.md").decode()
    assert card.count("1 rows were taken out of this version") == 1
    assert erased_rows(lake, "runa", "preference", without) is None
    assert [p.pair_id for p in stored_pairs(lake, "runa").pairs] == [pairs[1].pair_id]
    assert set(pair_reviews(lake, "runa")) == {pairs[1].pair_id}
    assert erase(settings, lake, "runa", request_id="r0") == Erased(requests=0, scores=0, warehouse=0)
    erase(settings, lake, "runa", request_id="r1")
    card = lake.read(f"datasets/runa/preference/{version}/README.md").decode()
    assert "2 rows were taken out" in card
    assert "1 rows" not in card


def test_either_side_of_a_pair_of_thumbs_takes_it_out_also_when_a_later_thumb_made_another(
    settings: Settings,
) -> None:
    lake = LocalLake(settings.lake_dir)
    said(lake, 0, prompt="Tides?", thumb="up", answer=PLAIN, key="ann")
    said(lake, 1, prompt="Tides?", thumb="down", key="bob")
    version = dataset(lake, stored_pairs(lake, "runa").pairs)
    said(lake, 2, prompt="Tides?", thumb="down", key="cyd")
    assert erase(settings, lake, "runa", request_id="r1").datasets == {version: 1}
    version = dataset(lake, stored_pairs(lake, "runa").pairs)
    found = erase(settings, lake, "runa", key="ann")
    assert (found.feedback, found.pairs, found.datasets) == (1, 1, {version: 1})
    assert {one.key for one in read_feedback(lake, "runa")} == {"cyd"}


@pytest.mark.parametrize("by", ["request", "person"])
def test_a_single_thumb_goes_with_its_request_and_out_of_every_dataset_version(
    settings: Settings, by: str
) -> None:
    lake = LocalLake(settings.lake_dir)
    said(lake, 0, thumb="up", key="ann")
    said(lake, 1, thumb="down", key="bob")
    pairs = stored_pairs(lake, "runa").pairs
    assert [pair.origin for pair in pairs] == ["thumb", "thumb"]
    decide_on_pairs(lake, "runa", {p.pair_id: "accept" for p in pairs}, "Ines", "hers")
    thumbs = thumb_rows(pairs, lambda pair: [Message(role="user", content=pair.prompt)], 10)
    assert {thumb.request_id for thumb in thumbs} == {"r0", "r1"}
    manifest = write_dataset(
        lake, "runa", "preference", [row(None)], parents={}, prompts="p", dropped={}, seed=1, license="MIT",
        visibility="public", summary="Pairs.", thumbs=thumbs,
    )  # fmt: skip
    assert (manifest.counts, stored_version(lake, manifest)) == (
        {"train": 1, "test": 0, "thumbs": 2}, manifest.version,
    )  # fmt: skip
    found = erase(settings, lake, "runa", **({"request_id": "r0"} if by == "request" else {"key": "ann"}))
    assert (found.feedback, found.pairs, found.datasets) == (1, 1, {manifest.version: 1})
    left = read_rows(lake, "runa", "preference", manifest.version, "thumbs")
    assert [(one.request_id, one.label) for one in left] == [("r1", False)]
    assert stored_version(lake, manifest) != manifest.version
    assert f"{DULL} 0".encode() not in b"".join(lake.read(key) for key in lake.keys(""))
    assert set(pair_reviews(lake, "runa")) == {pairs[1].pair_id}
    assert read_rows(lake, "runa", "preference", dataset(lake, []), "thumbs") == [], "a version without any"


def test_an_erasure_that_was_interrupted_is_finished_by_asking_again(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    said(lake, 0, edited=PLAIN)
    version = dataset(lake, stored_pairs(lake, "runa").pairs)
    key = f"datasets/runa/preference/{version}/train.jsonl"
    before = {one: lake.read(one) for one in [key, *lake.keys("feedback")]}
    erase(settings, lake, "runa", request_id="r0")
    for one, data in before.items():  # it was killed after the note
        lake.write(one, data)
    assert erased_rows(lake, "runa", "preference", version)
    assert erase(settings, lake, "runa", request_id="r0").datasets == {version: 1}
    assert [r.row_id for r in read_rows(lake, "runa", "preference", version, "train")] == ["own"]


def test_a_decision_on_what_was_decided_meanwhile_or_erased_is_refused(settings: Settings) -> None:
    lake = LocalLake(settings.lake_dir)
    said(lake, 0, edited=PLAIN)
    [pair] = stored_pairs(lake, "runa").pairs
    [first] = decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, " Ines ", "hers", {pair.pair_id: None})
    assert first.reviewer == "Ines"
    with pytest.raises(ConflictError, match="Ines has said accept"):
        decide_on_pairs(lake, "runa", {pair.pair_id: "reject"}, "Ola", "no", {pair.pair_id: None})
    decide_on_pairs(lake, "runa", {pair.pair_id: "reject"}, "Ola", "no", {pair.pair_id: first.at})
    assert pair_reviews(lake, "runa")[pair.pair_id].decision == "reject"
    for who, why in (("", "x"), ("Ines", " "), ("pipeline", "x")):
        with pytest.raises(TwinError):
            decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, who, why)
    erase(settings, lake, "runa", request_id="r0")
    with pytest.raises(TwinError, match="has no feedback pairs"):
        decide_on_pairs(lake, "runa", {pair.pair_id: "accept"}, "Ines", "hers")


def test_a_decision_by_a_clock_that_is_behind_still_counts_as_the_later_one(tmp_path: Path) -> None:
    """The first was made on a machine whose clock is three minutes ahead of this one's."""
    lake = LocalLake(tmp_path)
    said(lake, 0, edited=PLAIN)
    [pair] = stored_pairs(lake, "runa").pairs
    ahead = datetime.now(UTC) + timedelta(minutes=3)
    review_pair(lake, "runa", PairReview(pair_id=pair.pair_id, decision="accept", reviewer="Ines", reason="hers", at=ahead))  # fmt: skip
    decide_on_pairs(lake, "runa", {pair.pair_id: "reject"}, "Ines", "not hers", {pair.pair_id: ahead})
    assert pair_reviews(lake, "runa")[pair.pair_id].decision == "reject"
