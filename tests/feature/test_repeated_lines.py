"""What a site sets round every article of a source is no writing; what recurs by the author's own choice inside is."""

from datetime import UTC, datetime

import pytest

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Category, Document
from twin_assets.core.text.boilerplate import boilerplate_kind
from twin_assets.feature.corpus.clean import clean_documents

PROSE = (
    "The {n}. clock of the harbour was late again, and nobody on the quay had wound it since the {n}. of May, "
    * 8
)


def article(
    n: int, above: str = "", below: str = "", category: Category = "article", source: str = "web"
) -> Document:
    body = "\n\n".join(filter(None, [above, PROSE.format(n=n), f"So the {n}. ferry waited.", below]))
    return Document(
        persona="runa", source=source, category=category, doc_id=f"d{n}", url=f"https://r.example/{n}", title=f"Clock {n}",
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC), mime="text/markdown", body=body, content_hash=text_hash(body),
        language="en",
    )  # fmt: skip


NOTE = "Runa keeps the tide tables of a small ferry company. Her letters go out on Fridays."


def texts(documents: list[Document]) -> list[str]:
    return [d.voice_text for d in clean_documents(documents, ["en"]).documents]


def test_a_line_below_every_article_is_left_out_and_counted() -> None:
    found = clean_documents([article(n, above="Filed under: clocks", below=NOTE) for n in range(4)], ["en"])
    assert not [d for d in found.documents if NOTE in d.voice_text or "Filed under" in d.voice_text]
    assert all("ferry waited." in d.voice_text for d in found.documents)
    assert found.removed["repeated_line"] == 8
    assert all(NOTE not in d.search_text for d in found.documents)


def test_a_line_of_two_articles_or_of_another_source_or_inside_a_text_stays() -> None:
    assert (
        sum(NOTE in text for text in texts([article(n, below=NOTE if n < 2 else "") for n in range(5)])) == 2
    )
    mixed = [article(n, below=NOTE, source="web" if n < 2 else "medium") for n in range(4)]
    assert sum(NOTE in text for text in texts(mixed)) == 4
    inside = [
        article(n, below="\n\n".join([NOTE, *(f"Then the {n}.{k} tide." for k in range(4))]))
        for n in range(4)
    ]
    assert sum(NOTE in text for text in texts(inside)) == 4


def test_what_recurs_under_posts_is_their_authors() -> None:
    posts = [article(n, below="Written on the quay.", category="post") for n in range(5)]
    assert all("Written on the quay." in text for text in texts(posts))


@pytest.mark.parametrize(
    "line",
    ["If you enjoyed this, follow me on Medium and subscribe to get an email whenever I publish.",
     "If you liked this post, please share it on Twitter.", "Thanks for reading! Subscribe for free to receive new posts.",
     "Don't forget to subscribe to my newsletter"],
)  # fmt: skip
def test_calls_with_a_reason_before_them_are_no_writing(line: str) -> None:
    assert boilerplate_kind(line)


@pytest.mark.parametrize(
    "line",
    ["If you enjoyed the ferry, follow the coast road north and leave before the tide.",
     "Follow the signs and subscribe to nothing.", "Thanks for reading the gauge, Jory.",
     "If you found a clock, tell Magnus and leave it where it is."],
)  # fmt: skip
def test_sentences_that_only_begin_like_a_call_stay(line: str) -> None:
    assert boilerplate_kind(line) is None
