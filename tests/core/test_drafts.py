"""Drafts keep every text that they had, whoever saves at the same time; differences say what was there before and after."""

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.machine import growth
from tests.support.s3_double import lake_in
from twin_assets.core.drafts import (
    MOST_DRAFTS,
    MOST_TEXT,
    MOST_VERSIONS,
    DraftFull,
    Drafts,
    NoSuchDraft,
    StaleDraft,
    difference,
    version_id,
)
from twin_assets.core.drafts.store import draft_keys, remove_old, take_out
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import Lake, LocalLake

TEXT = "The tide was late. We looked at the table twice before anybody believed it.\n\nThen the ferry left."


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    with lake_in(request.param, tmp_path) as made:
        yield made


def of(lake: Lake, owner: str = "ann", audience: str = "private") -> Drafts:
    return Drafts(lake, "runa", owner, audience)  # type: ignore[arg-type]


def test_of_saves_that_follow_the_same_text_one_wins_and_the_others_change_nothing(lake: Lake) -> None:
    drafts = of(lake)
    begun = drafts.begin(TEXT, "twin", request_id="r1")

    def save(n: int) -> bool:
        try:
            drafts.save(begun.id, begun.last.id, text=f"{TEXT} {n}")
        except StaleDraft:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(save, range(6)))
    assert won.count(True) == 1
    kept = drafts.get(begun.id)
    assert [v.text for v in kept.versions] == [TEXT, f"{TEXT} {won.index(True)}"]
    assert [(v.number, v.by, v.request_id) for v in kept.versions] == [(1, "twin", "r1"), (2, "person", None)]
    assert [draft.id for draft in drafts.all()[0]] == [begun.id]
    assert drafts.all()[0][0] == kept, "the list sees the change too"


def test_a_title_or_status_is_no_version_and_the_text_before_stays_the_one_that_was_seen(lake: Lake) -> None:
    drafts = of(lake)
    begun = drafts.begin("\n## The tide\n\nIt was late.", "person", status="idea")
    assert begun.title == "The tide"
    named = drafts.save(begun.id, begun.last.id, title="Tides", status="ready", text=begun.last.text)
    assert (named.title, named.status, named.versions) == ("Tides", "ready", begun.versions)
    assert drafts.save(begun.id, begun.last.id, text="Another.").last.number == 2
    drafts.delete(begun.id)
    with pytest.raises(NoSuchDraft):
        drafts.get(begun.id)
    assert drafts.all() == ([], [])


def test_drafts_are_their_owner_s_and_closed_ones_are_gone_for_who_may_be_shown_less(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    draft = of(lake).begin(TEXT, "person")
    for other in (of(lake, "bob"), of(lake, "ann", "public"), Drafts(lake, "ola", "ann", "private")):
        assert other.all() == ([], [])
        with pytest.raises(NoSuchDraft):
            other.get(draft.id)
        with pytest.raises(NoSuchDraft):
            other.save(draft.id, draft.last.id, text="mine")
        with pytest.raises(NoSuchDraft):
            other.delete(draft.id)
    for name in ("../../x", "", "0" * 15, "0" * 16):
        with pytest.raises(NoSuchDraft):
            of(lake).get(name)
    assert of(lake).get(draft.id) == draft


def test_what_is_full_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    drafts = of(lake)
    with pytest.raises(DraftFull, match="60,000"):
        drafts.begin("x" * (MOST_TEXT + 1), "person")
    draft = drafts.begin("0", "person")
    for n in range(1, MOST_VERSIONS):
        draft = drafts.save(draft.id, draft.last.id, text=str(n))
    with pytest.raises(DraftFull, match="100 versions"):
        drafts.save(draft.id, draft.last.id, text="one more")
    assert drafts.get(draft.id) == draft
    assert drafts.save(draft.id, draft.last.id, status="ready").status == "ready"
    large = drafts.begin("x" * MOST_TEXT, "person")
    for n in range(15):
        large = drafts.save(large.id, large.last.id, text=f"{n:02}" + "x" * (MOST_TEXT - 2))
    with pytest.raises(DraftFull, match="1,000,000"):
        drafts.save(large.id, large.last.id, text="y" * MOST_TEXT)
    assert len(drafts.get(large.id).versions) == 16
    for _ in range(MOST_DRAFTS - 2):
        drafts.begin("x", "person")
    with pytest.raises(DraftFull, match="200 drafts"):
        drafts.begin("x", "person")


def test_a_damaged_draft_is_named_and_in_nobody_s_way(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    drafts = of(lake)
    whole, broken = drafts.begin(TEXT, "person"), drafts.begin(TEXT, "person")
    [key] = [key for key in draft_keys(lake, "runa") if broken.id in key]
    lake.write(key, b"{")
    assert drafts.all() == ([whole], [broken.id])
    with pytest.raises(TwinError, match="damaged"):
        drafts.get(broken.id)
    with pytest.raises(TwinError, match="damaged"):
        drafts.save(broken.id, broken.last.id, text="mine")
    later = datetime.now(UTC) + timedelta(days=31)
    assert take_out(lake, "runa", {"r1"}) == 0
    assert remove_old(lake, "runa", 30, later) == 1, (
        "one that can't be read is kept: nobody knows how old it is"
    )
    drafts.delete(broken.id)
    assert draft_keys(lake, "runa") == []


def test_an_erased_request_takes_the_twin_s_text_and_a_key_all_of_its_drafts(lake: Lake) -> None:
    ann, bob = of(lake), of(lake, "bob")
    only, both = (
        ann.begin("Written.", "twin", request_id="r1"),
        ann.begin("Written.", "twin", request_id="r1"),
    )
    both = ann.save(both.id, both.last.id, text="Changed.")
    other = bob.begin("Kept.", "twin", request_id="r2")
    assert take_out(lake, "runa", {"r1"}) == 2
    assert [(d.id, [v.text for v in d.versions]) for d in ann.all()[0]] == [(both.id, ["Changed."])]
    with pytest.raises(NoSuchDraft):
        ann.get(only.id)
    assert ann.save(both.id, both.last.id, text="Again.").last.number == 3
    assert take_out(lake, "runa", set(), "ann") == 1
    assert ann.all() == ([], [])
    assert bob.all() == ([other], [])


def test_old_drafts_go_by_setting_only(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    of(lake).begin(TEXT, "person")
    now = datetime.now(UTC)
    assert remove_old(lake, "runa", 0, now + timedelta(days=999)) == 0
    assert remove_old(lake, "runa", 2, now + timedelta(days=1)) == 0
    assert remove_old(lake, "runa", 2, now + timedelta(days=3)) == 1
    assert draft_keys(lake, "runa") == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", []),
        ("", "New.", [("added", "New.")]),
        ("Old.", "", [("removed", "Old.")]),
        ("One. Two. Three.", "One. Three.", [("same", "One. "), ("removed", "Two. "), ("same", "Three.")]),
        ("It was very late.", "It was late.", [("same", "It was "), ("removed", "very "), ("same", "late.")]),
        ("It was late. ", "It was late.", [("same", "It was late."), ("removed", " ")]),
        ("We went by the old ferry.", "We sailed by her new ferry.", [("same", "We "), ("removed", "went by the old"), ("added", "sailed by her new"), ("same", " ferry.")]),
        ("The tide was late.", "Nobody expects rain in May, do they?", [("removed", "The tide was late."), ("added", "Nobody expects rain in May, do they?")]),
        ("潮は遅かった。見た。", "潮は早かった。見た。", [("same", "潮は"), ("removed", "遅"), ("added", "早"), ("same", "かった。見た。")]),
    ],
)  # fmt: skip
def test_a_difference_is_by_sentences_and_within_them_by_words(
    before: str, after: str, told: list[tuple[str, str]]
) -> None:
    assert [(piece.kind, piece.text) for piece in difference(before, after)] == told


def test_a_difference_has_every_character_of_both_texts() -> None:
    draw = random.Random(7)
    words = ["tide", "late", "the", "a\n\n", "  it", "was.", "潮は遅い。", "Why?", "\n", "no", "é́"]
    for _ in range(300):
        before = " ".join(draw.choices(words, k=draw.randrange(30)))
        kept = [word for word in before.split(" ") if draw.random() < 0.8]
        after = " ".join([*kept, *draw.choices(words, k=draw.randrange(4))])
        pieces = difference(before, after)
        assert "".join(p.text for p in pieces if p.kind != "added") == before
        assert "".join(p.text for p in pieces if p.kind != "removed") == after
        assert all(a.kind != b.kind for a, b in itertools.pairwise(pieces))


@pytest.mark.parametrize(("before", "after"), [("a ", "b "), ("a. ", "b. "), ("a b ", "b a "), ("あ", "い")])
def test_no_pair_of_texts_takes_long_to_tell_apart(before: str, after: str) -> None:
    assert growth(lambda n: difference(before * (n // len(before)), after * (n // len(after))), 5_000, 4) < 24


def test_a_version_is_named_by_its_words() -> None:
    assert version_id("a") == version_id("a") != version_id("b")
    assert len(version_id("a")) == 32
