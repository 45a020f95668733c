"""Text from outside that is made to cost time: every reader takes time in proportion to its length."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from twin_assets.feature.crawl.formats.exports import x
from twin_assets.feature.crawl.formats.exports.wxr import shown_html
from twin_assets.feature.crawl.formats.feeds import read_feed
from twin_assets.feature.crawl.formats.forge_words import own_words
from twin_assets.feature.crawl.formats.talks.quoted_mail import own_part
from twin_assets.feature.crawl.formats.xml_text import LOOSE_BYTES
from twin_assets.feature.crawl.spiders.social.x import _TAIL

LENGTH = 100_000
SECONDS = 2.0


def seconds(read: Callable[..., Any], *given: Any) -> float:
    began = time.process_time()
    read(*given)
    return time.process_time() - began


def feed(body: str) -> bytes:
    channel = f"<title>T</title><link>/t</link><description>{body}</description>"
    return f'<rss version="2.0"><channel><item>{channel}</item></channel></rss>'.encode()


@pytest.mark.parametrize("unit", ["<![CDATA[", "<p>", "<!--", "&a", "<a ", "]]>"])
def test_a_broken_feed_is_read_in_time(unit: str) -> None:
    assert seconds(read_feed, feed(unit * (LENGTH // len(unit)))) < SECONDS


def test_a_large_broken_feed_is_mended_by_a_parser_that_has_a_bound() -> None:
    """The kind: two megabytes of marks that nothing closes took feedparser's loose parser 26 seconds."""
    prose = "The harbour clock ran late. " * 10
    whole = f"<item><title>First</title><link>/1</link><dc:creator>Kim</dc:creator><description>{prose}</description></item>"
    data = (
        f'<rss version="2.0"><channel>{whole}<item><title>T</title><description>'.encode() + b"<p>" * 700_000
    )
    assert len(data) > LOOSE_BYTES
    began = time.process_time()
    entries = read_feed(data, "", "https://clock.example/feed").entries
    assert time.process_time() - began < 10
    assert (entries[0].title, entries[0].authors) == ("First", ["Kim"])
    assert prose.strip() in entries[0].body


@pytest.mark.parametrize(
    "unit", [" ", "\t", "[e.g.", "# ", "**a", "<!--", "> ", "- [ ] ", "On 2 Mar 2020, a wrote\n"]
)
def test_a_comment_is_read_in_time(unit: str) -> None:
    text = unit * (LENGTH // len(unit))
    for read in (own_words, own_part):
        assert seconds(read, f"# {text}x") < SECONDS


@pytest.mark.parametrize("unit", ["[python]", "[code]", "<pre>", "[a=", "<!-- wp:"])
def test_a_body_with_marks_that_nothing_closes_is_shown_in_time(unit: str) -> None:
    text = unit * (LENGTH // len(unit))
    assert seconds(shown_html, text) < SECONDS
    assert seconds(shown_html, text + "[/x]" * (LENGTH // len(unit))) < SECONDS


@pytest.mark.parametrize("unit", [" ", "\n", "https://x.com/a/status/1", "https://x.com/a/status/1 ", "@a "])
def test_a_post_is_read_in_time(unit: str) -> None:
    text = unit * (LENGTH // len(unit)) + "z"
    assert seconds(x.NAMES.sub, "", text) < SECONDS
    assert seconds(_TAIL.sub, "", text) < SECONDS
