"""What a page says about itself, as publishing systems write it."""

import json

import pytest

from twin_assets.core.text.html.meta import page_meta


def linked(data: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(data)}</script>'


def head(inside: str, body: str = "<p>Text.</p>") -> str:
    return f"<html><head>{inside}</head><body>{body}</body></html>"


PERSON = {"@type": "Person", "name": "Ada Pier"}
GRAPH = {
    "@graph": [
        {"@type": "WebPage"},
        {"@type": "Article", "author": {"@id": "#ada"}},
        {"@id": "#ada", "@type": "Person", "name": "Ada Pier"},
    ]
}


@pytest.mark.parametrize(
    "page",
    [
        head(linked({"@type": "BlogPosting", "author": PERSON})),
        head(linked([{"@type": ["Article", "NewsArticle"], "author": [PERSON]}])),
        head(linked({"@type": "Article", "author": "Ada Pier"})),
        head(linked(GRAPH)),
        head(linked({"@type": "WebPage", "mainEntity": {"@type": "Article", "author": PERSON}})),
        head('<script type="application/ld+json">{broken</script>' + linked({"@type": "Article", "author": PERSON})),
        head('<meta name="author" content="Ada Pier">'),
        head('<meta name="DC.creator" content="Ada Pier">'),
        head('<meta property="article:author" content="https://social.example/ada"><meta name="parsely-author" content="Ada Pier">'),
        head("", '<a rel="author" href="/ada">Ada Pier</a><p>Text.</p>'),
        head("", '<a rel="nofollow author" href="/ada">by Ada Pier</a>'),
        head("", '<span itemprop="author" itemscope><span itemprop="name">Ada Pier</span>, keeper</span>'),
        head("", '<span itemprop="author">Ada Pier</span>'),
        head("", '<div class="h-entry"><a class="p-author h-card" href="/">Ada Pier</a></div>'),
    ],
)  # fmt: skip
def test_the_author_is_read_wherever_it_is_declared(page: str) -> None:
    meta = page_meta(page)
    assert (meta["author"], meta["authors"]) == ("Ada Pier", ["Ada Pier"])


def test_every_author_is_named() -> None:
    page = head(linked({"@type": "Article", "author": [PERSON, {"@type": "Person", "name": "Gus Guest"}]}))
    assert page_meta(page)["authors"] == ["Ada Pier", "Gus Guest"]
    metas = head(
        '<meta name="citation_author" content="Ada Pier"><meta name="citation_author" content="Gus Guest">'
    )
    assert page_meta(metas)["author"] == "Ada Pier, Gus Guest"


@pytest.mark.parametrize(
    "page",
    [
        head('<meta name="author" content="admin">'),
        head(linked({"@type": "Article", "author": {"@type": "Organization", "name": "Clock Ltd"}})),
        head(linked({"@type": "Article", "comment": [{"@type": "Comment", "author": PERSON}]})),
        head("", "".join(f'<a rel="author" href="/{n}">Writer {n}</a>' for n in range(9))),
        head(linked({"@type": "Article", "author": {"name": {"name": None}}})),
        head("", '<p class="author-box">Ada Pier also wrote this.</p>'),
        "", "<!-- -->", "\x00",
    ],
)  # fmt: skip
def test_what_names_nobody_gives_no_author(page: str) -> None:
    assert (page_meta(page)["author"], page_meta(page)["authors"]) == (None, [])


def test_title_time_and_address_are_read() -> None:
    page = head(
        '<title>On gauges | Notes</title><link rel="canonical" href="https://ada.example/gauges">'
        + linked(
            {"@type": "Article", "datePublished": "2021-03-04T05:06:07Z", "isAccessibleForFree": "False"}
        ),
        "<h1>On gauges</h1>",
    )
    meta = page_meta(page)
    assert (meta["title"], meta["published"], meta["canonical"], meta["free"]) == (
        "On gauges", "2021-03-04T05:06:07Z", "https://ada.example/gauges", False,
    )  # fmt: skip
    assert (
        page_meta(head('<meta property="og:title" content="Ada&amp;rsquo;s gauge">'))["title"]
        == "Ada’s gauge"
    )
    assert page_meta(head('<meta name="date" content="2020-01-02">'))["published"] == "2020-01-02"
    assert (
        page_meta(head("", '<article><time datetime="2019-05-06">May</time></article>'))["published"]
        == "2019-05-06"
    )
