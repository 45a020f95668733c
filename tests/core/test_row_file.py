"""Rows in a file are the rows of a list: the same records, the same version, the same erasure, whatever their number."""

import io
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from tests.support.s3_double import s3_lake, s3_server
from twin_assets.core.hashing import bytes_hash
from twin_assets.core.records import CleanedDocument, Exchange, SplitDocument, to_table
from twin_assets.core.row_file import GROUP, PAGE, RowFile, table_version
from twin_assets.core.storage.feature_store import FeatureStore, StoredVersion
from twin_assets.core.storage.lake import LocalLake


def document(number: int) -> CleanedDocument:
    return CleanedDocument(
        persona="runa", source="web", category="post", doc_id=f"{number:06d}", url="https://x", content_hash="h",
        title=None if number % 3 else "Tïdes", published_at=datetime(2024, 1, 1, tzinfo=UTC) if number % 2 else None,
        voice_text="v" * (number % 50), search_text="s", words=number, removed=["code"] * (number % 3),
        exchanges=[Exchange(asked="a", answered="v")] * (number % 2),
    )  # fmt: skip


def version_of_one_batch(table: pa.Table) -> str:
    """As versions were named before rows were written in groups."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes_hash(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 1, GROUP + PAGE + 1])
def test_rows_and_their_version_are_those_of_a_list(size: int) -> None:
    rows = [document(number) for number in range(size)]
    found = RowFile[CleanedDocument].of(iter(rows))
    assert (len(found), list(found), list(found)) == (size, rows, rows)
    assert found == rows
    table = to_table(rows, CleanedDocument)
    assert found.version == table_version(table)
    if size <= GROUP:
        assert found.version == version_of_one_batch(table)
    assert list(found.values("doc_id", "words")) == [(row.doc_id, row.words) for row in rows]
    assert found[:2] == rows[:2]
    assert not rows or found[-1] == rows[-1]


def test_two_walks_over_a_file_do_not_disturb_each_other() -> None:
    rows = RowFile[CleanedDocument].of(document(number) for number in range(2 * PAGE))
    first, second = iter(rows), iter(rows.texts("doc_id"))
    assert all(a.doc_id == b for a, b in zip(first, second, strict=True))


def test_a_version_is_stored_and_read_by_pages_without_what_was_erased(tmp_path: Path) -> None:
    with s3_server() as url:
        for lake in (LocalLake(tmp_path / "lake"), s3_lake(url, tmp_path)):
            store = FeatureStore(lake)
            rows = [document(number) for number in range(3)]
            store.write(
                "cleaned_documents", "runa", RowFile[CleanedDocument].of(rows), RowFile[CleanedDocument]
            )
            name = store.latest("cleaned_documents", "runa")
            store.write("cleaned_documents", "runa", rows, list[CleanedDocument])
            assert [version.name for version in store.versions("cleaned_documents", "runa")] == [name]
            found = store.load("cleaned_documents", "runa", RowFile[CleanedDocument])
            assert isinstance(found, RowFile)
            assert found == rows == store.read("cleaned_documents", "runa")
            assert found.without({"000001"}) == [rows[0], rows[2]]
            with pytest.raises(KeyError):
                lake.open("feature_store/nothing")


def test_rows_of_no_document_are_none_that_was_erased() -> None:
    made = StoredVersion(name="one", made_at=datetime(2025, 1, 1, tzinfo=UTC), rows=1)
    assert [*RowFile[StoredVersion].of([made]).without({"000001"})] == [made]


def test_rows_from_before_they_said_who_may_see_them_are_private() -> None:
    old = to_table([document(1)], CleanedDocument).drop_columns(["visibility"])
    file = io.BytesIO()
    pa.parquet.write_table(old, file)
    rows = RowFile[CleanedDocument](file, "old")
    assert [*rows.values("visibility", "doc_id")] == [("private", "000001")]
    assert rows[0].visibility == "private"


def test_dagster_tells_files_of_two_kinds_apart() -> None:
    rows = RowFile[CleanedDocument].of([document(1)])

    @dg.op
    def wrong() -> RowFile[SplitDocument]:
        return rows  # type: ignore[return-value]

    @dg.job
    def handed_on() -> None:
        wrong()

    with pytest.raises(dg.DagsterTypeCheckDidNotPass, match="SplitDocument"):
        handed_on.execute_in_process()
