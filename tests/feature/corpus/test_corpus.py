"""Cleaning keeps the voice and loses the page; duplicates cluster; nothing crosses the split."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import CleanedDocument, Document, UniqueDocument, set_aside
from twin_assets.feature.corpus.cleaning.clean import clean_document, clean_documents
from twin_assets.feature.corpus.cleaning.markdown import markdown_blocks
from twin_assets.feature.corpus.duplicates.dedup import find_duplicates
from twin_assets.feature.corpus.ngrams import HeldoutNgrams, shared_ngrams, word_ngrams
from twin_assets.feature.corpus.split import sides_of, split_corpus

STORY = (
    "I don't trust a green tick. It says the job ran (it didn't say what it ran on), and that's the whole trick: "
    "the tide table was yesterday's, the boat was on the mud, and thirty-one people had tea while we waited for water. "
    "Write it in the log, I said, and then I wrote a check that reads the date before it reads anything else. "
    "It took an hour, it's 28 lines, and it has refused 23 tables since we put it in front of the printers. "
    "None of the skippers has noticed, which is how I know it's working."
)


def document(body: str, mime: str = "text/plain", **changes: object) -> Document:
    fields: dict[str, object] = {
        "persona": "runa", "source": "medium", "category": "article", "doc_id": text_hash(body + mime), "url": "https://x/1",
        "fetched_at": datetime.now(UTC), "mime": mime, "body": body, "content_hash": text_hash(body),
    }  # fmt: skip
    return Document.model_validate(fields | changes)


def test_voice_text_keeps_punctuation_case_line_breaks_emoji_and_code() -> None:
    body = "Don't panic: it's *fine* ⛴\n\n- one\n- two\n\n```python\ndef f(x):\n    return  x  # two spaces\n```\n\nThe end."
    voice = clean_document(document(body, "text/markdown")).voice_text
    for kept in ("Don't panic: it's", "⛴", "- one\n- two", "def f(x):\n    return  x  # two spaces"):
        assert kept in voice


def test_a_page_loses_its_furniture_and_keeps_its_body() -> None:
    page = f"""<html><body><nav><a href=/>Home</a> <a href=/about>About</a></nav><article><h1>Mud</h1>
    <p>{STORY}</p><h2>What I did</h2><ul><li>Checked the date.</li><li>Rang Aud.</li></ul>
    <pre><code>select 1
  from tides</code></pre><p>Share this post</p><p>Follow me on Twitter</p></article>
    <div class="subscribe-widget"><p>Subscribe for free to receive new posts</p></div>
    <div class="cookie-consent">We use cookies to improve your experience.</div><footer>Copyright</footer></body></html>"""
    cleaned = clean_document(document(page, "text/html"))
    assert STORY in cleaned.voice_text
    assert "## What I did" in cleaned.voice_text
    assert "select 1\n  from tides" in cleaned.voice_text
    for gone in ("Home", "Share this post", "Subscribe", "cookies", "Follow me", "Copyright"):
        assert gone not in cleaned.voice_text
    assert {"share", "follow"} <= set(cleaned.removed)


def test_every_dropped_document_has_a_reason() -> None:
    documents = [
        document(STORY),
        document("Too short."),
        document(STORY + " Part.", partial=True),
        document(
            "<html><title>Just a moment...</title>Enable JavaScript and cookies to continue</html>",
            "text/html",
        ),
    ]
    result = clean_documents(documents, ["en"])
    assert len(result.documents) + sum(map(len, result.dropped.values())) == len(documents)
    assert set(result.dropped) == {"too_short", "partial", "block_page"}


@pytest.mark.parametrize("secret", ["sk-" + "a1B2" * 8, "ghp_" + "Zz09" * 9, "AKIA" + "ABCD1234" * 2])
def test_secrets_and_addresses_are_masked_in_both_views(secret: str) -> None:
    cleaned = clean_document(document(f"{STORY} The key is {secret}, mail runa@ferry.example."))
    for view in (cleaned.voice_text, cleaned.search_text):
        assert secret not in view
        assert "runa@ferry.example" not in view
        assert "[secret]" in view


def clean(text: str, **changes: object) -> CleanedDocument:
    return clean_document(document(text, **changes))


def test_exact_and_near_duplicates_cluster_and_different_posts_do_not() -> None:
    near = (
        STORY.replace("an hour", "two hours").replace("28 lines", "30 lines").replace("thirty-one", "thirty")
    )
    other = (
        "Our timetable is a spreadsheet with seventeen tabs, and I've grown fond of it. Jory counts bicycles on deck, "
        "Ines restores backups on the first Tuesday, and Peder has kept a logbook since before either boat had radar. "
        "I learnt to read it upside down, across the chart table, with a kettle going."
    )
    documents = [clean(STORY), clean(STORY.upper(), url="https://y/2"), clean(near), clean(other)]
    result = find_duplicates(documents, load_embedder("offline-minilm").embed)
    assert len(result.documents) == 2
    (cluster,) = result.clusters
    assert len(cluster.members) == 3
    assert sum(len(d.duplicates) for d in result.documents) == 2


def unique(number: int, category: str = "article") -> UniqueDocument:
    words = " ".join(f"w{number}x{i}" for i in range(30))
    cleaned = clean(words, category=category)
    return UniqueDocument(**cleaned.model_dump(), cluster_id=text_hash(str(number)))


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 400), min_size=20, max_size=60), st.sets(st.integers(401, 600), max_size=40))
def test_a_document_never_changes_side_as_the_corpus_grows(first: set[int], later: set[int]) -> None:
    def nothing_alike(texts: list[str]) -> np.ndarray:
        return np.zeros((len(texts), 2), dtype=np.float32)

    before = split_corpus([unique(n) for n in first], nothing_alike)
    # A new copy may change which document stands for a cluster, and the cluster's id with it.
    grown = [unique(n).model_copy(update={"cluster_id": f"new{n}"}) for n in first | later]
    replaced = grown[0].model_copy(update={"doc_id": "a longer copy", "duplicates": [grown[0].doc_id]})
    after = split_corpus([replaced, *grown[1:]], nothing_alike, before=sides_of(before.documents))
    sides = sides_of(after.documents)
    assert [d.doc_id for d in before.documents if sides[d.doc_id] != d.split] == []


def test_a_copy_that_joins_both_sides_is_held_out() -> None:
    both = unique(1).model_copy(update={"doc_id": "both", "duplicates": ["a", "b"]})
    side = {"a": "train", "b": "heldout"}
    result = split_corpus([both], lambda texts: np.zeros((len(texts), 2)), before=side)  # type: ignore[arg-type]
    assert result.documents[0].split == "heldout"


def test_train_text_shared_with_the_heldout_side_is_taken_out_and_named() -> None:
    documents = [unique(n) for n in range(20)]
    copied = max(documents, key=lambda d: d.doc_id)
    result = split_corpus(documents, lambda texts: np.zeros((len(texts), 2), dtype=np.float32))
    heldout = next(d for d in result.documents if d.split == "heldout")
    twin = copied.model_copy(
        update={"doc_id": "copy", "cluster_id": heldout.cluster_id + "x", "voice_text": heldout.voice_text}
    )
    again = split_corpus([*documents, twin], lambda texts: np.zeros((len(texts), 2), dtype=np.float32))
    train = [d.voice_text for d in again.documents if d.split == "train"]
    held = [d.voice_text for d in again.documents if d.split == "heldout"]
    assert shared_ngrams(train, held) == set()
    assert again.contaminated.get("copy", "shares_a_13gram") == "shares_a_13gram"


def test_shared_ngrams_are_those_of_both_sides_as_sets() -> None:
    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 9, count)) for count in rng.integers(0, 60, 80)]
    sides = [texts[:40], texts[40:]]
    for n in (2, 4, 13):
        train, heldout = ({gram for text in side for gram in word_ngrams(text, n)} for side in sides)
        assert shared_ngrams(*sides, n) == train & heldout
        asked = HeldoutNgrams(sides[1], n)
        assert [asked.in_any([text]) for text in sides[0]] == [
            not heldout.isdisjoint(word_ngrams(text, n)) for text in sides[0]
        ]
    assert shared_ngrams(*sides, 4)
    assert shared_ngrams([*sides[0], sides[1][0] + " last"], sides[1]) >= set(word_ngrams(sides[1][0], 13))


def test_where_notes_and_links_lead_is_no_writing() -> None:
    body = (
        "Tides are late[^1], as [the log][log] says.\n\n"
        '[^1]: https://tide.example/late\n[log]: <https://tide.example> "The log"\n[^2]: A note in her own words.\n\n'
        "```\narray[^1]: https://code.example\n```\n"
    )
    assert markdown_blocks(body) == [
        "Tides are late, as the log says.",
        "```\narray[^1]: https://code.example\n```",
        "A note in her own words.",
    ]


def test_what_ends_or_begins_text_after_text_in_the_same_words_is_no_writing() -> None:
    invitation = (
        "If this made you laugh, follow me there and I will write whenever a boat goes aground again."
    )
    bio = "Runa Hollis keeps the tables of eleven boats.\n\nShe answers letters on Thursdays and reads every one of them."
    story = [
        f"{word.capitalize()} came in late. {STORY} So much for {word}."
        for word in ("monday", "tuesday", "sunday")
    ]
    pages = [document(f"{bio}\n\n{text}\n\nCheers, R.\n\n{invitation}", "text/markdown") for text in story]
    posts = [document(f"{text}\n\n\n{invitation}", category="post") for text in story]
    cleaned = clean_documents([*pages, *posts], ["en"])
    assert {d.voice_text for d in cleaned.documents} == {
        *(f"{text}\n\nCheers, R." for text in story), *(text for text in story)
    }  # fmt: skip
    assert cleaned.removed == {"repeated": 12}


def test_an_ending_with_an_address_or_a_number_of_each_text_is_still_the_same_ending() -> None:
    texts = [f"{STORY} So much for {word}." for word in ("Monday", "Tuesday", "Sunday")]
    pages = [
        document(f"{text}\n\n> Repository: the boats\n> Follow: Runa on her page\n> Source: https://runa.example/{n}/\n\nPart {n} of 3.", "text/markdown")
        for n, text in enumerate(texts)
    ]  # fmt: skip
    assert {d.voice_text for d in clean_documents(pages, ["en"]).documents} == set(texts)


def test_copies_of_one_text_and_short_goodbyes_keep_their_ends() -> None:
    end = "And that is the whole story of the boat, the mud, the tea and the table."
    copies = [document(f"{STORY}\n\n{end}", "text/markdown", doc_id=f"copy{n}") for n in range(4)]
    others = [document(f"{STORY} Take {n}.\n\nHappy sailing, all!", "text/markdown") for n in range(4)]
    cleaned = clean_documents([*copies, *others], ["en"])
    assert all(d.voice_text.endswith((end, "Happy sailing, all!")) for d in cleaned.documents)
    assert cleaned.removed == {}


def test_what_the_split_takes_out_of_training_is_still_there_to_be_found() -> None:
    told = [
        UniqueDocument(**clean_document(document(f"{STORY} {n}")).model_dump(), cluster_id=str(n))
        for n in range(12)
    ]
    split = split_corpus(told, lambda texts: np.zeros((len(texts), 3), dtype=np.float32))
    aside = set_aside(told, split.documents)
    assert {d.doc_id for d in aside} == set(split.contaminated) != set()
    assert {d.split for d in aside} == {"heldout"}
