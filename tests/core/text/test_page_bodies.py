"""The body of a page: what the page's author wrote, whatever the theme calls its elements."""

import pytest

from twin_assets.core.text.html.blocks import html_blocks

A = (
    "Each morning before the water turned, the keeper of the harbour clock walked down to the quay with his ledger and "
    "wrote the height of the tide beside the hour, which nobody but the ferry crews had ever asked him to read."
)
B = (
    "When the new gauge came it wrote to a disk instead, and for eleven weeks nobody noticed that its own clock ran "
    "nine minutes late, because the ferries were late too and the two errors happened to hide each other quite well."
)
C = (
    "I found it on a Sunday with a wrist watch and a pot of paint, by putting a mark on the wall at what the gauge "
    "called noon, and I have not trusted a number without a second clock beside it since that day."
)
MONTHS = [f"Month {month} of {year}" for year in range(2001, 2012) for month in range(12)]
COMMENTS = [
    f"I have seen clock number {n} myself and I liked it far better than the one you show." for n in range(40)
]


def page(body: str, title: str = "The late clock") -> str:
    return f"<!doctype html><html><head><title>{title}</title></head><body>{body}</body></html>"


def both(template: str) -> list[str]:
    """A template with its paragraphs as `<p>` and as bare text."""
    texts = {"A": A, "B": B, "C": C}
    return [
        page(template.format(**{name: f"<p>{text}</p>" for name, text in texts.items()})),
        page(template.format(**texts)),
    ]


def one_text(blocks: list[str]) -> str:
    return " ".join(" ".join(blocks).split())


@pytest.mark.parametrize(
    ("kind", "template", "wanted"),
    [
        ("page builder", '<div class="elementor-widget-wrap">{A}</div><div class="elementor-widget-wrap">{B}</div>', [A, B]),
        ("one form round the page", '<form id="aspnetForm" method="post">{A} {B}</form>', [A, B]),
        (
            "class of a part that names another",
            '<div class="article-body pagination-first">{A}</div><ul>' + "".join(f"<li>{m}</li>" for m in MONTHS) + "</ul>",
            [A],
        ),
        (
            "linked list beside it",
            '<div class="article-body pagination-first">{A}</div><ul>'
            + "".join(f'<li><a href="/{n}">{m}</a></li>' for n, m in enumerate(MONTHS)) + "</ul>",
            [A],
        ),
        (
            "comments that outweigh the post",
            '<div class="post hentry tag-clocks"><div class="entry-content">{A} {B}</div></div><ol class="commentlist">'
            + "".join(f'<li class="comment"><p>{c}</p></li>' for c in COMMENTS) + "</ol>",
            [A, B],
        ),
        ("heading whose id says feedback", '<article>{A}<h2 id="feedback-loops">Feedback loops</h2>{B}</article>', [A, "## Feedback loops", B]),
        ("section whose id says discussion", '<article>{A}<section id="results-and-discussion"><h2>Results</h2>{B}</section></article>', [A, "## Results", B]),
        ("section named after its heading", '<article>{A}<section id="related-work" class="level2"><h2>Related work</h2><p>B</p></section></article>'.replace("B", B), [A, "## Related work", B]),
        ("older sections in divs", '<div class="document"><p>A</p><div class="section" id="comments-on-time"><h2>Comments on time</h2><p>B</p></div></div>'.replace("<p>A", "<p>" + A).replace("<p>B", "<p>" + B), [A, "## Comments on time", B]),
        ("section whose class says social", '<article>{A}<section class="social"><h2>Gulls and their friends</h2><p>B</p></section></article>'.replace("B", B), [A, "## Gulls and their friends", B]),
        ("a text whose class says comment", '<div class="comment-on-clocks">{A} {B}</div>', [A, B]),
        ("a box of text in a figure", '<div class="page-body">{A}<figure class="callout"><div>{B}</div></figure>{C}</div>', [A, B, C]),
        ("a figure that nobody closes", '<article>{A}<figure><img src="/x.png"><h2>After</h2><p>B</p><p>C</p></article>'.replace("<p>B", "<p>" + B).replace("<p>C", "<p>" + C), [A, "## After", B, C]),
        ("a text that begins without a paragraph", "<center><font>A<p>B<p>C</font></center>".replace("A", A).replace("<p>B", "<p>" + B).replace("<p>C", "<p>" + C), [A, B, C]),
        ("two parts round an advertisement", '<div class="article-body">{A} {C}</div><div class="ad-break"></div><div class="article-body">{B}</div>', [A, C, B]),
        (
            "parts in rows of their own",
            '<div class="chunks"><div class="row"><div class="text">{A}</div></div><div class="row"><aside>Buy clocks</aside></div>'
            '<div class="row"><div class="text">{B}</div></div><div class="row"><div class="text">{C}</div></div></div>',
            [A, B, C],
        ),
        ("heading that counts responses", "<article>{A}<h2>5 responses to a late clock</h2>{B}</article>", [A, "## 5 responses to a late clock", B]),
    ],
)  # fmt: skip
def test_the_body_is_found_whatever_its_elements_are_called(
    kind: str, template: str, wanted: list[str]
) -> None:
    for source in both(template):
        assert one_text(html_blocks(source)) == one_text(wanted), kind


def test_lines_divided_by_breaks_outweigh_a_shop_s_paragraph() -> None:
    lines = [
        f"Entry {n}: the water stood a hand above the mark, and the wind was in the north." for n in range(30)
    ]
    source = page(f"<div>{'<br><br>'.join(lines)}</div><div><p>Our shop sells clocks.</p></div>")
    assert html_blocks(source) == lines


def test_the_title_above_the_text_is_a_field_and_no_part_of_the_body() -> None:
    source = page(f"<article><h1>The late clock</h1><p>{A}</p><h1>Part two</h1><p>{B}</p></article>")
    assert html_blocks(source) == [A, "## Part two", B]


def test_links_to_other_pages_that_stand_alone_are_left_out_and_linked_sentences_and_lists_are_kept() -> None:
    source = page(
        f"<article><p>{A}</p><p><a href='/x'>MORE: ten clocks to buy</a></p>"
        "<p><a href='/y'>I wrote about the other gauge on the north pier in March.</a></p>"
        f"<p>{B}</p><ul><li><a href='/1'>The gauge</a></li><li><a href='/2'>The ledger</a></li></ul>"
        f"<p>{C}</p><h3>You may also like</h3></article>"
    )
    found = html_blocks(source)
    assert "MORE" not in one_text(found)
    assert "You may also like" not in one_text(found)
    assert found[1] == "I wrote about the other gauge on the north pier in March."
    assert found[3:5] == ["- The gauge", "- The ledger"]


@pytest.mark.parametrize(
    "line",
    [
        "Each connection can subscribe to several channels.",
        "Follow up on every open question.",
        "Read more books",
        "Share the tide table with whoever owns a boat.",
        "We use cookies to keep the session.",
        "Copyright law is older than the clock.",
        "Print it.",
        "No comment.",
        "Search.",
    ],
)
def test_a_sentence_that_holds_a_site_s_words_is_the_author_s(line: str) -> None:
    assert html_blocks(page(f"<article><p>{A}</p><p>{line}</p><p>{B}</p></article>")) == [A, line, B]


def test_a_page_of_menus_alone_gives_little_and_a_broken_one_nothing() -> None:
    menu = page(
        "<nav><ul>" + "".join(f'<li><a href="/{n}">Shelf {n}</a></li>' for n in range(40)) + "</ul></nav>"
    )
    assert html_blocks(menu) == []
    assert html_blocks("<html><body>") == []
    assert html_blocks("<script>x()</script>") == []


def test_a_page_that_only_a_script_fills_is_read_from_its_declared_article() -> None:
    declared = f'{{"@type": "BlogPosting", "articleBody": "{A} {B} {C}"}}'
    source = page(f'<div id="root"></div><script type="application/ld+json">{declared}</script>')
    assert one_text(html_blocks(source)) == one_text([A, B, C])


def test_a_fragment_is_the_text_itself() -> None:
    fragment = (
        '<div class="post-meta sidebar">Short.</div><header><h1>On clocks</h1></header><aside><p>An aside of mine.</p></aside>'
        "<p><a href='/x'>All of it a link</a></p><figure><img src='/a.png'><figcaption>The north pier</figcaption></figure>"
    )
    assert html_blocks(fragment) == [
        "Short.",
        "## On clocks",
        "An aside of mine.",
        "All of it a link",
        "The north pier",
    ]


THEIRS = [
    '<blockquote class="twitter-tweet"><p>THEIRS</p>&mdash; Gus (@gus)</blockquote>',
    '<div class="tweet" data-attrs="{}"><p>THEIRS</p></div>',
    '<div class="embedded-post-wrap"><a class="embedded-post"><h3>THEIRS</h3><div>THEIRS</div></a></div>',
    '<div class="digest-post-embed"><h4>THEIRS</h4></div>',
    '<blockquote><p>THEIRS</p>&mdash; Gus (@gus) <a href="https://twitter.com/gus/status/12?ref=x">2 May</a></blockquote>',
    '<blockquote class="instagram-media"><p>THEIRS</p></blockquote>',
    '<blockquote class="bluesky-embed"><p>THEIRS</p></blockquote>',
    '<figure class="wp-block-embed is-type-wp-embed"><blockquote class="wp-embedded-content">THEIRS</blockquote></figure>',
    '<figure class="kg-card kg-bookmark-card"><a href="/x"><div>THEIRS</div></a></figure>',
    '<div class="graf--mixtapeEmbed"><a href="/x"><strong>THEIRS</strong></a></div>',
    '<iframe src="/player">THEIRS</iframe>',
    '<div class="subscription-widget-wrap"><p>THEIRS</p><form><input type="email"></form></div>',
    '<p class="button-wrapper"><a href="/s">THEIRS</a></p>',
]  # fmt: skip


@pytest.mark.parametrize("embed", THEIRS)
def test_what_others_wrote_is_out_of_pages_and_of_fragments(embed: str) -> None:
    body = f"<p>{A}</p>{embed}<p>{B}</p>"
    assert html_blocks(body) == [A, B]
    assert html_blocks(page(f"<article>{body}</article>")) == [A, B]


def test_a_quotation_stands_apart_from_own_words() -> None:
    body = f"<p>{A}</p><blockquote><p>Clocks lie.</p><p>Tides don't.</p></blockquote><p>He said <q>late</q>. {B}</p>"
    wanted = [A, "> Clocks lie.\n> Tides don't.", f"He said “late”. {B}"]
    assert html_blocks(body) == wanted
    assert html_blocks(page(f"<article>{body}</article>")) == wanted


def test_lists_tables_and_terms_keep_their_form_on_a_page() -> None:
    body = (
        f"<p>{A}</p><ol><li>Wind it.</li><li><p>Set it.</p><ul><li>By the sun.</li></ul></li></ol><p>{B}</p>"
        f"<table><tr><th>Hour</th><th>Height</th></tr><tr><td>6</td><td>1.2 m</td></tr></table><p>{C}</p>"
    )
    assert html_blocks(page(f"<article>{body}</article>")) == [
        A, "- Wind it.", "- Set it.", "  - By the sun.", B, "Hour | Height\n6 | 1.2 m", C,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fragment", ["<meta name='x' content='y'>", "<script>f()</script>", "<!-- nothing --><style>p {}</style>"]
)
def test_a_fragment_that_is_a_head_alone_has_no_text(fragment: str) -> None:
    assert html_blocks(fragment) == []


def test_comments_teasers_and_boxes_in_sections_of_an_article_are_none_of_it() -> None:
    source = page(
        f"<article><p>{A}</p><p>{B}</p><section id='comments'><h2>Comments</h2><ol><li><p>{COMMENTS[0]}</p></li></ol></section>"
        f"<section class='newsletter'><h2>Newsletter</h2><p>{COMMENTS[1]}</p><form><input></form></section></article>"
    )
    assert html_blocks(source) == [A, B]


@pytest.mark.parametrize(
    "odd",
    ["\x01", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\ufffe", "\uffff", "&#11;", "&#x0C;", "&#0;", "&#127"],
)
def test_a_character_that_xml_has_no_place_for_costs_no_text(odd: str) -> None:
    said = f"We kept the boats in the{odd} harbour all week, and <code>sail{odd}</code> said she, and she was right."
    page = f"<html><head><title>T</title></head><body><article><h1>T</h1>{f'<p>{said}</p>' * 5}</article></body></html>"
    for text in (page, f"<p>{said}</p>"):
        [first, *_] = html_blocks(text)
        assert " ".join(first.split()).startswith("We kept the boats in the harbour all week, and `sail")
        assert first.endswith("she was right.")
        assert "&#" not in first
