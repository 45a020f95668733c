"""What people said of answers becomes pairs: with consent, reviewed, and up to a share."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twin_assets.core.feedback.pairs import PairReview, accepted, find_pairs, pair_reviews, review_pair
from twin_assets.core.feedback.store import Feedback
from twin_assets.core.records import Message
from twin_assets.core.storage.lake import LocalLake
from twin_assets.feature.preference.feedback_rows import feedback_rows, thumb_rows

START = datetime(2026, 3, 2, tzinfo=UTC)
DULL = "In conclusion, robust tide tables are a key enabler of operational excellence for all stakeholders."
PLAIN = "The tide table was wrong on Tuesday and I wrote that down before anybody had to ask me about it."


def said(n: int = 0, **changes: Any) -> Feedback:
    given: dict[str, Any] = {
        "request_id": f"r{n}", "time": START + timedelta(minutes=n), "persona": "runa", "model": "m", "consent": True,
        "prompt": "Tide tables?", "answer": DULL,
    }  # fmt: skip
    return Feedback(**(given | changes))


def test_an_edit_is_preferred_to_what_was_edited() -> None:
    [pair] = find_pairs([said(edited=PLAIN)]).pairs
    assert (pair.origin, pair.chosen, pair.rejected, pair.request_id) == ("edited", PLAIN, DULL, "r0")


def test_a_liked_answer_is_preferred_to_a_disliked_one_to_the_same_request() -> None:
    [pair] = find_pairs([said(thumb="down"), said(1, thumb="up", answer=PLAIN, prompt="tide  TABLES?")]).pairs
    assert (pair.origin, pair.chosen, pair.rejected) == ("thumbs", PLAIN, DULL)
    apart = find_pairs([said(thumb="down"), said(1, thumb="up", answer=PLAIN, prompt="Boats?")]).pairs
    assert [pair.origin for pair in apart] == ["thumb", "thumb"]


def test_a_thumb_without_its_opposite_is_half_a_pair() -> None:
    liked, disliked = find_pairs([said(thumb="up", key="ann"), said(1, thumb="down", prompt="Boats?")]).pairs
    assert (liked.origin, liked.chosen, liked.rejected, liked.request_id) == ("thumb", DULL, None, "r0")
    assert (disliked.chosen, disliked.rejected, disliked.texts) == (None, DULL, [DULL])
    assert liked.pair_id != disliked.pair_id
    alike = find_pairs([said(thumb="up", key="ann"), said(1, thumb="up", key="bob")]).pairs
    assert len({pair.pair_id for pair in alike}) == 2, "each goes with its own request"
    several = find_pairs([said(n, thumb="up", answer=f"{PLAIN} {n}") for n in range(3)]).pairs
    assert [pair.chosen for pair in several] == [f"{PLAIN} {n}" for n in range(3)], "one for each answer"


def test_a_persons_last_thumb_on_an_answer_counts_and_an_edit_says_more() -> None:
    changed = find_pairs([said(thumb="up", key="ann"), said(request_id="r0", thumb="down", key="ann")])
    assert [(p.origin, p.rejected) for p in changed.pairs] == [("thumb", DULL)]
    assert changed.dropped == {}
    for edit in ({"edited": PLAIN, "thumb": "down"}, {"edited": PLAIN, "thumb": "up"}):
        assert [p.origin for p in find_pairs([said(**edit)]).pairs] == ["edited"]
    later = [said(thumb="up"), said(request_id="r0", edited=PLAIN, key="bob")]
    assert [p.origin for p in find_pairs(later).pairs] == ["edited"]


def test_what_may_not_be_learnt_of_a_pair_may_not_of_a_thumb() -> None:
    found = find_pairs([
        said(thumb="up", consent=False), said(1, thumb="down", answer="Too short.", prompt="B?"),
        said(2, thumb="up", answer=f"{PLAIN} Write to ada.lovelace@ferries.co.uk.", prompt="C?"),
        said(3, thumb="down", answer=f"{PLAIN} Write to ada.lovelace@ferries.co.uk.", prompt="D?"),
    ])  # fmt: skip
    assert (found.pairs, found.dropped) == (
        [], {"no consent or no text": 1, "too short": 1, "personal data or secrets": 2},
    )  # fmt: skip


def test_rows_of_thumbs_have_their_label_and_request_and_no_more_than_their_share() -> None:
    thumbs = find_pairs([
        said(n, thumb="down" if n % 2 else "up", answer=f"{PLAIN} {n}", prompt=f"Boats, {n}?") for n in range(40)
    ]).pairs  # fmt: skip
    rows = thumb_rows(thumbs, lambda pair: [Message(role="user", content=pair.prompt)], others=80)
    assert len(rows) == 20
    for row in rows:
        n = int(row.request_id.removeprefix("r"))
        assert (row.completion.content, row.label, row.split) == (f"{PLAIN} {n}", n % 2 == 0, "train")
    assert feedback_rows(thumbs, lambda pair: [Message(role="user", content="?")], others=80) == [], "no pair"
    assert thumb_rows(thumbs, lambda pair: None, others=80) == []


def test_what_may_not_or_cannot_be_learnt_gives_no_pair_and_is_counted() -> None:
    found = find_pairs([
        said(consent=False, edited=PLAIN), said(1, edited="Too short."), said(2, edited=DULL),
        said(3, edited=f"{PLAIN} Write to ada.lovelace@ferries.co.uk for more."), said(4, answer=None, thumb="up"),
    ])  # fmt: skip
    assert found.pairs == []
    assert found.dropped == {
        "no consent or no text": 2, "too short": 1, "nothing changed": 1, "personal data or secrets": 1,
    }  # fmt: skip


def test_only_the_latest_decision_of_a_person_counts(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    pairs = find_pairs([said(edited=PLAIN), said(1, edited=f"{PLAIN} Twice.")]).pairs
    assert accepted(pairs, pair_reviews(lake, "runa")) == []
    for n, (pair, decision) in enumerate([(pairs[0], "accept"), (pairs[1], "accept"), (pairs[1], "reject")]):
        review_pair(lake, "runa", PairReview.model_validate({
            "pair_id": pair.pair_id, "decision": decision, "reviewer": "Ines", "reason": "hers", "at": START + timedelta(hours=n),
        }))  # fmt: skip
    assert accepted(pairs, pair_reviews(lake, "runa")) == [pairs[0]]


def test_feedback_is_a_kind_of_its_own_and_never_more_than_its_share() -> None:
    pairs = find_pairs([said(n, edited=f"{PLAIN} And again, {n} times.") for n in range(40)]).pairs
    rows = feedback_rows(pairs, lambda pair: [Message(role="user", content=pair.prompt)], others=80)
    assert len(rows) == 20
    assert {(r.kind, r.doc_id, r.split) for r in rows} == {("feedback", None, "train")}
    assert feedback_rows(pairs, lambda pair: None, others=80) == []
    assert feedback_rows(pairs, lambda pair: [Message(role="user", content="?")], others=0) == []
