"""What people said of answers becomes pairs: with consent, reviewed, and up to a share."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twin_assets.core.feedback.pairs import PairReview, accepted, find_pairs, pair_reviews, review_pair
from twin_assets.core.feedback.store import Feedback
from twin_assets.core.records import Message
from twin_assets.core.storage.lake import LocalLake
from twin_assets.feature.preference.feedback_rows import feedback_rows

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
    assert find_pairs([said(thumb="down"), said(1, thumb="up", answer=PLAIN, prompt="Boats?")]).pairs == []


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
