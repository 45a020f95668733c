"""One scale from open to closed: what a thing made of others may be shown as, and who sees it."""

import pytest

from tests.support.chunks import CHUNKS
from twin_assets.core.records import Chunk, EmbeddedChunk, from_table, may_see, most_closed, seen_by, to_table


def test_a_thing_is_as_closed_as_the_most_closed_of_what_it_is_made_of() -> None:
    assert most_closed(["public", "connections", "public"]) == "connections"
    assert most_closed(["private", "connections"]) == "private"
    assert most_closed([]) == "public"


@pytest.mark.parametrize(
    ("audience", "sees"),
    [("public", ["public"]), ("connections", ["public", "connections"]), ("private", ["public", "connections", "private"])],
)  # fmt: skip
def test_an_audience_sees_what_is_open_to_it_and_everything_more_open(audience: str, sees: list[str]) -> None:
    assert seen_by(audience) == sees  # type: ignore[arg-type]
    assert [v for v in ("public", "connections", "private") if may_see(audience, v)] == sees  # type: ignore[arg-type]


def test_stored_rows_that_never_said_who_may_see_them_are_shown_to_nobody_else() -> None:
    old = to_table(CHUNKS, EmbeddedChunk).drop_columns(["visibility"])
    assert {c.visibility for c in from_table(old, EmbeddedChunk)} == {"private"}
    assert {c.visibility for c in from_table(to_table(CHUNKS, EmbeddedChunk), Chunk)} == {"public"}
