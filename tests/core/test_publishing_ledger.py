"""The ledger of posts keeps what happened, and lets no text go to a place twice."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.s3_double import lake_in
from twin_assets.core.errors import TwinError
from twin_assets.core.publishing import AlreadyPosted, NoSuchPost, PostLedger
from twin_assets.core.storage.lake import Lake


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    with lake_in(request.param, tmp_path) as made:
        yield made


def test_of_many_who_send_a_text_at_once_one_begins(lake: Lake) -> None:
    ledger = PostLedger(lake, "runa")

    def begin(n: int) -> bool:
        try:
            ledger.begin("x", "The same text.", draft_id=str(n), by="ann", mine=False)
        except AlreadyPosted:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(begin, range(6))).count(True) == 1
    assert ledger.begin("linkedin", "The same text.", draft_id="1", by="ann", mine=True).outcome == "begun"
    assert PostLedger(lake, "ola").posts() == []


def test_a_post_that_began_and_never_ended_is_not_sent_again_and_every_event_stays(lake: Lake) -> None:
    ledger = PostLedger(lake, "runa")
    post = ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)
    with pytest.raises(AlreadyPosted, match="isn't known"):
        ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)
    ledger.end(post.number, "unknown", "ann", reason="no answer")
    ledger.end(post.number, "refused", "bob", reason="said by bob")
    with pytest.raises(NoSuchPost):
        ledger.end(post.number, "made", "ann")
    with pytest.raises(NoSuchPost):
        ledger.end(99, "made", "ann")
    again = ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)
    ledger.end(again.number, "made", "ann", post_id="7", address="https://x.com/i/web/status/7")
    with pytest.raises(AlreadyPosted, match="status/7"):
        ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)
    assert [(p.outcome, p.by, p.text) for p in ledger.posts()] == [
        ("refused", "ann", "Text."),
        ("made", "ann", "Text."),
    ]
    assert len(list(lake.keys("publishing/runa"))) == 5


def test_a_text_that_is_in_a_composer_may_be_opened_again(lake: Lake) -> None:
    ledger = PostLedger(lake, "runa")
    for _ in range(2):
        ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False, outcome="opened")
    ledger.end(2, "made", "ann")
    with pytest.raises(AlreadyPosted):
        ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)


def test_nothing_is_posted_while_the_ledger_is_damaged(lake: Lake) -> None:
    ledger = PostLedger(lake, "runa")
    ledger.begin("x", "Text.", draft_id="d", by="ann", mine=False)
    lake.write("publishing/runa/00000002.json", b"{")
    with pytest.raises(TwinError, match="damaged: publishing/runa/00000002"):
        ledger.begin("x", "Another.", draft_id="d", by="ann", mine=False)
