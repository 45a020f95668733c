"""Makes a page's tree plain before its text is chosen: what shows other people's words, formulae drawn twice, marks of
footnotes, numbers of code lines. It changes the tree in place and says nothing about what the article is."""

import json
import re

from lxml import etree, html

# Never text, on a page or in a fragment: also the readings that stand over words in ruby. JSON-LD stays: the extractor reads the article from it where nothing else has it.
_NO_TEXT = frozenset([
    "style", "template", "iframe", "svg", "object", "embed", "canvas", "audio", "video", "button", "input", "select",
    "textarea", "dialog", "link", "meta", "noscript", "map", "rt", "rp",
])  # fmt: skip
# Parts of a page, as HTML names them, that stand around its text; in a fragment they are the author's.
AROUND = frozenset(["nav", "footer", "aside", "menu"])
# What publishers' own embed codes and editors call the words of others, and boxes that ask for a subscription. These
# are formats (oEmbed answers; Substack's, Medium's, Ghost's, WordPress's and dev.to's editors), not a guess at themes.
_EMBEDS = frozenset([
    "twitter-tweet", "twitter-video", "twitter-quote", "tweet", "instagram-media", "tiktok-embed", "bluesky-embed",
    "mastodon-embed", "text-post-media", "fb-post", "fb-video", "reddit-embed-bq", "reddit-card", "imgur-embed-pub",
    "embedded-post-wrap", "embedded-post", "embedded-publication-wrap", "digest-post-embed", "comment-embed",
    "poll-embed", "community-chat", "directMessage", "install-substack-app-embed", "graf--mixtapeEmbed",
    "kg-bookmark-card", "bookmark-card", "wp-embedded-content", "wp-block-embed", "ltag__link", "ltag__user",
    "subscription-widget-wrap", "subscription-widget-wrap-editor", "subscription-widget", "subscribe-widget",
    "captioned-button-wrap", "button-wrapper", "paywall-jump", "kg-signup-card", "kg-cta-card",
    "sharedaddy", "jp-relatedposts", "yarpp-related", "feedflare",
    "gist-meta", "MathJax_Preview", "MJX_Assistive_MathML", "mw-editsection", "screen-reader-text", "sr-only", "visually-hidden",
])  # fmt: skip
_POST = re.compile(
    r"https?://(?:www\.|mobile\.)?(?:(?:twitter|x)\.com/\w+/status(?:es)?/\d|bsky\.app/profile/[^/]+/post/|instagram\.com/p/)"
)
_MATH_SCRIPT = re.compile(r"math/(?:tex|latex)|math/asciimath")
_DRAWN = frozenset(["katex", "katex-display", "MathJax", "MathJax_Display", "MathJax_SVG", "MathJax_CHTML"])
_FORMULAE = frozenset(["katex", "mwe-math-element", "latex", "latex-rendered"])
_NAMED = _EMBEDS | _FORMULAE
_PLAIN = frozenset(["html", "body", "main", "article"])
_PREFORMATTED = frozenset(["pre", "xmp", "listing", "plaintext"])
_NOTE_ROLES = ("doc-noteref", "doc-backlink")
_NOTE_CLASSES = frozenset([
    "footnote-ref", "footnote-anchor", "footnote-reference", "footnote-backref", "footnote-back-ref",
    "reversefootnote", "footnote-return", "footnote-number", "headerlink", "header-anchor", "heading-anchor",
    "anchor-link", "anchorjs-link", "zola-anchor",
])  # fmt: skip
_NOTE_TARGET = re.compile(
    r"#(?:_?fn|_?ftn|footnote|cite_note|note|endnote|easy-footnote|sdfootnote)", re.IGNORECASE
)
_NOTE_TEXT = re.compile(r"\W*(?:\d{1,3}|[a-z]|note \d+)?\W*", re.IGNORECASE)
_SIGNS = re.compile(r"[\W_]+")
_NUMBERED = re.compile(
    r"(?:^|[\s_-])(?:line-?no|line-?num|lnt?(?:$|\s)|lnum|hljs-ln-n)|LineNr", re.IGNORECASE
)
_GUTTER = re.compile(r"line-?no|line-?num|gutter", re.IGNORECASE)
_annotation = etree.XPath(
    './/*[local-name()="annotation"][@encoding="application/x-tex" or @encoding="TeX" or @encoding="LaTeX"]'
)
_texts = etree.XPath("string()")
_holds_page = etree.XPath("boolean(.//h1 or .//article or .//main)")
# Notion's callouts, and what a figure that nobody closes takes in to the page's end.
_is_box = etree.XPath(
    "boolean(.//h1 or .//h2 or .//h3 or .//p[not(ancestor::figcaption)][3]) or not(.//img or .//picture or .//svg"
    " or .//video or .//iframe or .//table or .//pre or .//blockquote or .//figcaption)"
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")


def tidy(root: html.HtmlElement, around: frozenset[str] = frozenset()) -> None:
    """Take out of a tree, in place, what is no text of its author's whatever the page is about.

    `around` names tags that go with all that is in them.
    """
    pres, tables = [], []
    whole = len(_texts(root))
    for element in list(root.iter(etree.Element)):
        tag = element.tag
        if tag in _PLAIN or element.getparent() is None or element is root:
            continue
        if tag in _NO_TEXT or tag in around:
            remove(element)
        elif tag == "script":
            _script(element)
        elif tag == "math":
            _replace_formula(element)
        else:
            if tag in _PREFORMATTED:
                element.tag = "pre"
                pres.append(element)
            elif tag == "figure" and _is_box(element):
                element.tag = "div"
            elif tag == "table":
                tables.append(element)
            elif tag == "blockquote" and _is_post(element):
                remove(element)
                continue
            if attributes := element.attrib:
                _by_attributes(element, tag, attributes, whole)
    for table in tables:
        _unnumber_table(table)
    for pre in pres:
        _unnumber_lines(pre)


def remove(element: html.HtmlElement) -> None:
    """Take an element out of its tree but not the text after it; what was below it counts as gone."""
    for inner in element.iterdescendants(etree.Element):
        inner.attrib.clear()
    element.drop_tree()


def classes(element: html.HtmlElement) -> frozenset[str]:
    return frozenset(element.get("class", "").split())


def _is_post(quote: html.HtmlElement) -> bool:
    """Whether a quotation is an embedded post whose class a feed has taken off: it ends in the post's address."""
    links = quote.findall(".//a[@href]")
    return bool(links) and bool(_POST.match(links[-1].get("href", ""))) and "@" in _texts(quote)


def _by_attributes(element: html.HtmlElement, tag: str, attributes: dict[str, str], whole: int) -> None:
    named = attributes.get("class")
    style = attributes.get("style")
    own: list[str] = []
    if attributes.get("aria-hidden") == "true" or "hidden" in attributes or (style and _HIDDEN.search(style)):
        # Among these is a formula drawn for the eye. A page hidden until its script runs is none of them.
        if 2 * len(_texts(element)) <= whole:
            remove(element)
    elif named and not _NAMED.isdisjoint(own := named.split()):
        if not _EMBEDS.isdisjoint(own):
            if not _holds_page(element):
                remove(element)
        else:
            _drawn_formula(element)
    elif tag == "a" and (
        "#" in attributes.get("href", "")
        or (named and not _NOTE_CLASSES.isdisjoint(own))
        or "role" in attributes
    ):
        _note_mark(element)
    elif tag == "mjx-container":
        _drawn_formula(element)
    elif named and tag == "div" and _GUTTER.search(named):
        numbers = element.text_content().split()
        if numbers and all(map(_is_number, numbers)) and _count_up([int(number) for number in numbers]):
            remove(element)


def _script(element: html.HtmlElement) -> None:
    kind = element.get("type", "")
    if _MATH_SCRIPT.match(kind):
        drawn = element.getprevious()
        while drawn is not None and (
            drawn.get("id", "").startswith("MathJax") or not _DRAWN.isdisjoint(classes(drawn))
        ):
            before = drawn.getprevious()
            remove(drawn)
            drawn = before
        _write(element, element.text or "", "mode=display" in kind)
    elif kind != "application/ld+json":
        remove(element)


def _drawn_formula(element: html.HtmlElement) -> None:
    """A formula as KaTeX, MathJax, Wikipedia, WordPress or Substack writes it: its TeX once."""
    named = classes(element)
    if "latex-rendered" in named:
        try:
            source = json.loads(element.get("data-attrs", "")).get("persistentExpression")
        except (ValueError, AttributeError):
            source = None
        if isinstance(source, str):
            _write(element, source, True)
    elif element.tag == "img":
        _write(element, element.get("alt", ""), False)
    elif annotations := _annotation(element):
        display = (
            "katex-display" in classes(element.getparent())
            or element.get("display") in ("true", "block")
            or element.find(".//math[@display='block']") is not None
        )
        _write(element, annotations[0].text or "", display)


def _replace_formula(element: html.HtmlElement) -> None:
    annotations = _annotation(element)
    source = (annotations[0].text or "") if annotations else element.get("alttext", "")
    if source.strip():
        _write(element, source, element.get("display") == "block")
    elif not element.text_content().strip():
        remove(element)


def _write(element: html.HtmlElement, source: str, display: bool) -> None:
    """Put TeX in an element's place. Wikipedia wraps it in `{\\displaystyle ...}`."""
    source = " ".join(source.split())
    if wrapped := re.fullmatch(r"\{\\(?:displaystyle|textstyle)\s*+(.*)\}", source):
        source = wrapped[1].strip()
    sign = "$$" if display else "$"
    tail = element.tail
    for inner in list(element.iterdescendants(etree.Element)):
        inner.attrib.clear()
        if inner.tag == "math":
            inner.tag = "span"
    element.clear()
    element.tag, element.tail = "span", tail
    element.text = f"{sign}{source}{sign}" if source else None


def _note_mark(link: html.HtmlElement) -> None:
    """Take out a footnote's mark in the text, its way back, and a heading's sign that links to itself."""
    named = classes(link)
    target = link.get("href", "")
    noted = (
        link.get("role") in _NOTE_ROLES
        or not named.isdisjoint(_NOTE_CLASSES)
        or ("#" in target and (bool(_NOTE_TARGET.search(target)) or link.getparent().tag == "sup"))
    )
    text = "".join(link.itertext()).strip()
    if noted and _NOTE_TEXT.fullmatch(text):
        parent = link.getparent()
        alone = parent.tag in ("sup", "span") and not _SIGNS.sub("", (parent.text or "") + (link.tail or ""))
        remove(parent if alone and len(parent) == 1 and parent.getparent() is not None else link)
    elif target.startswith("#") and text and not _SIGNS.sub("", text):
        remove(link)


def _unnumber_table(table: html.HtmlElement) -> None:
    """Of a table that sets line numbers beside code, leave a `pre` of the code."""
    rows = [[c for c in row if c.tag in ("td", "th")] for row in table.iter("tr")]
    rows = [row for row in rows if row]
    if not rows or any(len(row) != 2 for row in rows) or table.getparent() is None:
        return
    numbers = [_number_column(row[0]) for row in rows]
    code = [row[1] for row in rows]
    marked = any(
        "code" in c.get("class", "") or c.find(".//pre") is not None or c.find(".//code") is not None
        for c in code
    )
    if not marked or not all(numbers):
        return
    flat = [number for column in numbers for number in column or ()]
    if any(flat) and not _count_up(flat):
        return
    for row in rows:
        remove(row[0])
    if table.find(".//pre") is None and not any(up.tag in ("pre", "code") for up in table.iterancestors()):
        table.tag = "pre"


def _number_column(cell: html.HtmlElement) -> list[int] | None:
    """The line numbers in a cell, [0] for a cell without text that is named after them; None for other text."""
    text = cell.text_content().split() or cell.get("data-line-number", "").split()
    if not text:
        marked = cell.find(".//*[@data-line-number]")
        text = [marked.get("data-line-number", "")] if marked is not None else []
    if not text:
        return [0] if "num" in cell.get("class", "") else None
    return [int(word) for word in text] if all(_is_number(word) for word in text) else None


def _unnumber_lines(pre: html.HtmlElement) -> None:
    """Take out numbers that stand in elements of their own before each line of code."""
    marked = [
        e for e in pre.iter("span", "a", "div", "i") if not len(e) and _NUMBERED.search(e.get("class", ""))
    ]
    numbers = [(e.text or "").strip() for e in marked]
    if numbers and all(map(_is_number, numbers)) and _count_up([int(number) for number in numbers]):
        for element in marked:
            element.text = None


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 7


def _count_up(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
