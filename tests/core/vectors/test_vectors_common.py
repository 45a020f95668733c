"""What the vector stores share: the difference of what is stored and what is wanted."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tests.support.chunks import CHUNKS, chunk
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.vectors.common import FACTS, FILTERABLE, difference, facts

ids = st.sampled_from("abcdefgh")
texts = st.sampled_from(["x", "y"])
corpora = st.lists(st.builds(lambda i, t: chunk(i, t, 0), ids, texts), max_size=12)


def stored(chunks: list[EmbeddedChunk]) -> dict[str, dict[str, object]]:
    return {c.chunk_id: c.model_dump(exclude={"vector"}) for c in chunks}


@given(before=corpora, wanted=corpora)
def test_doing_the_difference_gives_what_is_wanted_and_touches_nothing_else(
    before: list[EmbeddedChunk], wanted: list[EmbeddedChunk]
) -> None:
    rows, goal = stored(before), stored(wanted)
    todo = difference(rows, wanted)
    untouched = {i: r for i, r in rows.items() if i not in todo.deleted}
    assert untouched | stored(todo.changed) == goal
    assert all(rows[c.chunk_id] != goal[c.chunk_id] for c in todo.updated)
    assert all(c.chunk_id not in rows for c in todo.added)
    report = todo.report()
    assert report.added + report.updated + report.unchanged == len(goal)
    assert report.updated + report.unchanged + report.deleted == len(rows)


@given(corpora)
def test_the_difference_to_itself_is_nothing(wanted: list[EmbeddedChunk]) -> None:
    todo = difference(stored(wanted), wanted)
    assert not todo.changed
    assert not todo.deleted


def test_times_are_compared_as_instants_and_missing_fields_as_none() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    same = [noon, noon.replace(tzinfo=None), noon.astimezone(timezone(timedelta(hours=2)))]
    assert len({facts({"published_at": t})["published_at"] for t in same}) == 1
    sparse = {k: v for k, v in stored(CHUNKS)["a"].items() if v is not None}
    assert difference({"a": sparse}, CHUNKS[:1]).unchanged == 1


def test_facts_and_filters_are_read_off_the_record() -> None:
    assert {*FACTS, "vector"} == set(EmbeddedChunk.model_fields)
    assert {"split", "doc_id", "category", "embedder"} <= set(FILTERABLE)
    assert not {"text", "tokens", "vector", "published_at"} & set(FILTERABLE)
