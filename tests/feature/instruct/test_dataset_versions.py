"""Shares, nested subsets, the difference between versions, and what Hugging Face datasets makes of a folder."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.datasets.erasure import erase_rows
from twin_assets.core.datasets.rows import InstructRow, Manifest, ThumbRow, dataset_folder
from twin_assets.core.datasets.store import (
    latest_version,
    nested_order,
    read_rows,
    refuse_closed_rows,
    stored_version,
    write_dataset,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message
from twin_assets.core.storage.erased import add_erased
from twin_assets.core.storage.lake import LocalLake
from twin_assets.feature.instruct.shares import KEEP_AT_LEAST, over_share, within_shares

TASKS = ["write_post", "continue", "answer", "refuse"]
FACTS: dict[str, Any] = {
    "parents": {}, "prompts": "p", "dropped": {}, "seed": 1, "license": "MIT", "visibility": "public",
    "summary": "By Ada.",
}  # fmt: skip


def row(number: int, task: str, split: str = "train", answer: str = "") -> InstructRow:
    return InstructRow.model_validate({
        "row_id": f"r{number}", "doc_id": f"d{number % 9}", "task": task, "split": split,
        "messages": [
            Message(role="user", content=f"Write about {number}."),
            Message(role="assistant", content=answer or f"Answer {number}."),
        ],
    })  # fmt: skip


def seen_by(row: InstructRow, visibility: str) -> InstructRow:
    return row.model_copy(update={"visibility": visibility})


def test_a_version_is_as_closed_as_its_most_closed_row_and_its_persona(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    rows = [row(1, "answer"), seen_by(row(2, "answer"), "connections"), row(3, "answer", "heldout")]
    made = write_dataset(lake, "ada", "instruct", rows, **FACTS)
    assert (made.visibility, made.declared, made.visibilities) == (
        "connections",
        "public",
        {"connections": 1, "public": 2},
    )
    card = lake.read(f"{dataset_folder('ada', 'instruct', made.version)}/README.md").decode()
    assert "| connections | 1 |" in card
    assert "Visibility: connections." in card
    stored = read_rows(lake, "ada", "instruct", made.version, "train")
    assert [r.visibility for r in stored] == ["public", "connections"]
    assert (
        write_dataset(lake, "ada", "instruct", rows[:1], **FACTS | {"visibility": "private"}).visibility
        == "private"
    )


def test_documents_to_read_lie_by_themselves_and_are_part_of_the_version(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    rows = [row(1, "answer"), row(2, "answer", "heldout")]
    documents = [seen_by(row(n, "documents"), "connections" if n > 4 else "public") for n in (3, 4, 5)]
    plain = write_dataset(lake, "ada", "instruct", rows, **FACTS)
    made = write_dataset(lake, "ada", "instruct", rows, documents=documents, **FACTS)
    assert made.counts == {"train": 1, "test": 1, "documents": 3}
    assert made.tasks == plain.tasks
    assert (made.visibility, made.visibilities) == ("connections", {"connections": 1, "public": 4})
    assert made.version != plain.version
    assert stored_version(lake, made) == made.version
    assert read_rows(lake, "ada", "instruct", made.version, "documents") == documents
    assert read_rows(lake, "ada", "instruct", plain.version, "documents") == []
    with pytest.raises(TwinError, match="of its 5 rows, 1 is for connections only"):
        refuse_closed_rows(lake, made)
    add_erased(lake, "ada", rows={"r3"})
    assert erase_rows(lake, "ada", "instruct") == {made.version: 1}
    assert b"Answer 3" not in lake.read(f"{dataset_folder('ada', 'instruct', made.version)}/documents.jsonl")


def test_public_rows_make_the_version_that_they_made_before_they_said_so(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    made = write_dataset(lake, "ada", "instruct", [row(1, "answer"), row(2, "continue", "heldout")], **FACTS)
    assert made.version == "7a70cfcc341b2515"  # as written by the release before
    assert stored_version(lake, made) == made.version
    closed = write_dataset(lake, "ada", "instruct", [seen_by(row(1, "answer"), "private")], **FACTS)
    assert stored_version(lake, closed) == closed.version != made.version


def test_rows_of_a_version_from_before_are_as_closed_as_the_version(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    made = write_dataset(lake, "ada", "instruct", [row(1, "answer")], **FACTS | {"visibility": "connections"})
    folder = dataset_folder("ada", "instruct", made.version)
    lines = lake.read(f"{folder}/train.jsonl").decode()
    lake.write(f"{folder}/train.jsonl", lines.replace(',"visibility":"public"}', "}").encode())
    [old] = read_rows(lake, "ada", "instruct", made.version, "train")
    assert old.visibility == "connections"


@given(
    st.lists(st.sampled_from(TASKS), max_size=80),
    st.fixed_dictionaries({t: st.floats(0.1, 1) for t in TASKS[:3]}),
)
def test_shares_are_kept_or_the_floor_is_reached(tasks: list[str], most: dict[str, float]) -> None:
    rows = [row(n, task) for n, task in enumerate(tasks)] + [row(999, "answer", "heldout")]
    kept = within_shares(rows, most, 17)
    assert rows[-1] in kept
    counts = Counter(r.task for r in kept if r.split == "train")
    floor = len(tasks) - int(len(tasks) * (1 - KEEP_AT_LEAST))
    assert sum(counts.values()) >= floor
    if sum(counts.values()) > floor:
        total = sum(counts.values())
        assert all(counts[t] <= most[t] * total + 1 for t in most)
    assert within_shares(rows[::-1], most, 17) == kept[::-1]
    # What was cut to its shares could not be mended by cutting more, or has nothing to be mended.
    over = over_share(counts, most, len(rows) - len(kept))
    assert not (over.groups and over.can_be_mended and sum(counts.values()) > 50)


def test_a_task_over_its_share_is_named_and_said_to_be_mendable_or_not() -> None:
    over = over_share({"continue": 60, "answer": 40}, {"continue": 0.5, "answer": 0.5})
    assert (over.groups, over.can_be_mended) == ({"continue": 0.6}, True)
    assert over_share({"continue": 51, "answer": 49}, {"continue": 0.5}).groups == {}
    # 30 of 100 were left out already: the rest stays, whatever the shares say.
    assert over_share({"continue": 70}, {"continue": 0.5}, left_out=30) == ({"continue": 1.0}, False)
    assert over_share({}, {"continue": 0.5}).groups == {}


def test_every_beginning_of_the_nested_order_is_stratified() -> None:
    rows = [row(n, TASKS[0] if n % 4 else TASKS[1]) for n in range(400)]
    ordered = nested_order(rows)
    assert sorted(r.row_id for r in ordered) == sorted(r.row_id for r in rows)
    for n in (40, 100, 200):
        assert abs(sum(r.task == TASKS[1] for r in ordered[:n]) - n / 4) <= 1
    assert nested_order(rows[::-1]) == ordered


def store(lake: LocalLake, rows: list[InstructRow]) -> Manifest:
    return write_dataset(lake, "ada", "instruct", rows, **FACTS)


def test_the_difference_between_two_versions_names_rows(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    assert latest_version(lake, "ada", "instruct") is None
    first = store(lake, [row(1, "answer"), row(2, "answer"), row(3, "continue")])
    edited = row(2, "answer", answer="Another answer.").model_copy(update={"row_id": "new"})
    second = store(lake, [row(1, "answer"), edited, row(4, "continue", "heldout")])
    assert latest_version(lake, "ada", "instruct") == second.version
    found = diff_versions(lake, "ada", "instruct", first.version, second.version)
    assert (found.added, found.removed, found.changed, found.unchanged) == (1, 1, 1, 1)
    [change] = [s for s in found.samples if s.change == "changed"]
    assert (change.asked, change.before, change.after) == ("Write about 2.", "Answer 2.", "Another answer.")


def test_single_thumbs_are_compared_by_the_request_that_they_answer(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")

    def thumb(request: str, label: bool) -> ThumbRow:
        said = Message(role="user", content="Write about tides.")
        text = Message(role="assistant", content=f"Text {request}.")
        return ThumbRow(
            row_id=request,
            task="write_post",
            messages=[said],
            completion=text,
            label=label,
            request_id=request,
        )

    def stored(*thumbs: ThumbRow) -> str:
        return write_dataset(lake, "ada", "preference", [], thumbs=list(thumbs), **FACTS).version

    first = stored(thumb("a", True), thumb("b", True), thumb("c", False))
    second = stored(thumb("a", True), thumb("b", False), thumb("d", True))
    found = diff_versions(lake, "ada", "preference", first, second)
    assert (found.added, found.removed, found.changed, found.unchanged) == (1, 1, 1, 1), (
        "the same words were asked for"
    )
    [change] = [one for one in found.samples if one.change == "changed"]
    assert (change.asked, change.before, change.after) == (
        "Write about tides.", "liked: Text b.", "not liked: Text b.",
    )  # fmt: skip


def test_hugging_face_datasets_loads_a_version_and_its_subsets(tmp_path: Path) -> None:
    from datasets import load_dataset

    lake = LocalLake(tmp_path / "lake")
    rows = [row(n, TASKS[n % 3]) for n in range(1_200)] + [row(5_000, "answer", "heldout")]
    manifest = store(lake, rows)
    assert manifest.subsets == {"1k": 1_000}
    folder = str(lake.local(dataset_folder("ada", "instruct", manifest.version)))
    whole = load_dataset(folder, cache_dir=str(tmp_path / "cache"))
    assert {side: len(part) for side, part in whole.items()} == {"train": 1_200, "test": 1}
    assert whole["train"][0]["messages"][0]["role"] == "user"
    small = load_dataset(folder, "1k", cache_dir=str(tmp_path / "cache"))
    assert len(small["train"]) == 1_000
    assert set(small["train"]["row_id"]) <= set(whole["train"]["row_id"])
