"""A post that was published with the twin is not learnt from, unless the person called its text their own."""

from pathlib import Path

from twin_assets.core.publishing import PostLedger
from twin_assets.core.records import CleanedDocument
from twin_assets.core.storage.lake import LocalLake
from twin_assets.feature.corpus.published import not_their_own

TEXT = "The tide table for Stenna was a day old, since the import trusted the clock. We looked at it twice. https://runa.example/a"
COLLECTED = "The tide table for Stenna was a day old, since the import trusted the clock.\n\nWe looked at it twice. https://t.co/9xyz"


def document(doc_id: str, text: str, url: str = "https://elsewhere.example/1") -> CleanedDocument:
    return CleanedDocument(
        doc_id=doc_id, persona="runa", source="x", category="post", url=url, title=None, content_hash=doc_id, voice_text=text,
        search_text=text, words=len(text.split()),
    )  # fmt: skip


def test_a_collected_post_of_the_ledger_is_known_by_its_address_its_id_and_its_words(tmp_path: Path) -> None:
    ledger = PostLedger(LocalLake(tmp_path), "runa")
    post = ledger.begin("x", TEXT, draft_id="d", by="ann", mine=False)
    ledger.end(
        post.number,
        "made",
        "ann",
        post_id="1346889436626259968",
        address="https://x.com/i/web/status/1346889436626259968",
    )
    documents = [
        document("by-id", "Whatever became of it.", "https://twitter.com/runa/status/1346889436626259968"),
        document("by-words", COLLECTED),
        document("mended", COLLECTED.replace("twice", "three times")),
        document("own", "We rehearse restores on Tuesdays, since a backup that was never restored is a hope."),
        document("quotes", f"{COLLECTED} That is what they wrote last week, and I have something to say about how we came to trust a clock that nobody had looked at since the spring."),
        document("empty", ""),
    ]  # fmt: skip
    assert not_their_own(documents, ledger.posts()) == {"by-id", "by-words", "mended"}


def test_what_the_person_called_theirs_or_was_never_posted_stays(tmp_path: Path) -> None:
    ledger = PostLedger(LocalLake(tmp_path), "runa")
    refused = ledger.begin("x", COLLECTED, draft_id="d", by="ann", mine=False)
    ledger.end(refused.number, "refused", "ann")
    documents = [document("by-words", COLLECTED)]
    assert not_their_own(documents, ledger.posts()) == set()
    ledger.begin("x", COLLECTED, draft_id="d", by="ann", mine=False, outcome="opened")
    assert not_their_own(documents, ledger.posts()) == {"by-words"}, "it may have been posted by hand"
    mine = ledger.begin("linkedin", COLLECTED, draft_id="d", by="ann", mine=True)
    ledger.end(mine.number, "made", "ann")
    assert not_their_own(documents, ledger.posts()) == set()


def test_a_short_post_is_compared_whole(tmp_path: Path) -> None:
    ledger = PostLedger(LocalLake(tmp_path), "runa")
    ledger.begin("x", "Low tide again.", draft_id="d", by="ann", mine=False)
    documents = [
        document("same", "Low tide, again!"),
        document("other", "Low tide again, and the ferry waits."),
    ]
    assert not_their_own(documents, ledger.posts()) == {"same"}
