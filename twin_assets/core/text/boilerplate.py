"""What on a page is not the author's writing: navigation, share bars, subscribe boxes, cookie notices."""

import re
from typing import Any

from twin_assets.core.text.words import count_words

# Elements that never hold an author's text, whatever they say.
DROPPED_TAGS = {
    "nav", "header", "footer", "aside", "form", "button", "script", "style", "noscript", "iframe",
    "svg", "template", "input", "textarea", "select", "option", "dialog", "object", "canvas", "audio",
    "video", "link", "meta",
}  # fmt: skip
DROPPED_ROLES = frozenset(
    [
        "navigation",
        "banner",
        "contentinfo",
        "complementary",
        "search",
        "dialog",
        "alertdialog",
        "button",
        "menu",
    ]
)

_DROPPED_CLASS = re.compile(
    r"(?:^|[-_\s])(?:nav|navbar|navigation|menu|share|sharing|shariff|sharedaddy|social|subscribe|subscription|newsletter|"
    r"signup|cookies?|consent|gdpr|comments?|commentlist|respond|discussion|disqus|webmentions?|related|relatedposts|"
    r"recommended|recommendations|read-more|more-(?:stories|posts|from)|author-?(?:bio|box|info|card)|about-author|byline|"
    r"footer|sidebar|breadcrumbs?|pagination|pager|paywall|widget|promo|advert|ad-slot|sponsor|banner|popup|modal|"
    r"masthead|topbar|top-bar|skip-link|screen-reader-text|sr-only|visually-hidden|(?:post|entry|article|page)-?meta|"
    r"lastmod|posted|posted-on|tags?|tag-?(?:list|cloud)|toc|feedback|reactions?|claps?|speechify-ignore|lineno|line-numbers|"
    r"headerlink|permalink|copy-button|print-none|cta|cta-caption|button-wrapper|comentarios?|compartir|etiquetas|"
    r"kommentare?|teilen|commentaires?|partager)(?:[-_\s]|$)",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"(?:(?<=\s)|(?<=[-_])|^)(?:has|with|without|no|hide|show|is)-\S+", re.IGNORECASE)
# Names for the body of the text alone, from common themes and microformats.
_BODY_CLASS = re.compile(
    r"(?:^|\s)(?:entry-content|post-content|article-content|e-content|post-body|article-body|article__body|"
    r"markdown-body|available-content|blogbody|gh-content|td-content|story-body)(?:\s|$)"
)

# A heading or line after which a page's own matter has no more of the text.
_END = re.compile(
    r"^(?:#+ )?(?:\d+ (?:comments?|responses?|replies|thoughts on|kommentare?|comentarios?|commentaires?)\b.*|"
    r"(?:responses|comments) \(\d+\)|(?:leave|post|add|write) a (?:comment|reply|response)|"
    r"(?:related|similar|recent|popular) (?:posts|articles|stories|reading)|you (?:may|might) also (?:like|enjoy).*|"
    r"recommended (?:from|for you).*|more (?:from|stories|posts)\b.*|read next|up next|about the author|"
    r"written by(?: \w+){1,3}|ähnliche (?:beiträge|artikel)|schreibe einen kommentar|über den autor|"
    r"también te puede interesar|artículos relacionados|articles similaires|à lire aussi|関連記事)\W*$",
    re.IGNORECASE,
)
_MAX_END_WORDS = 14

# Whole short blocks, by kind. A long paragraph that happens to hold such words is the author's.
_BLOCKS = {
    "share": re.compile(
        r"^(share( this)?( post| article| story)?( on .*)?|tweet( this)?|copy link|clap|pin it|"
        r"share on (x|twitter|facebook|linkedin).*|like|restack)\W*$", re.I,
    ),
    "subscribe": re.compile(
        r"(subscribe (now|for free|to )|sign up (for|to) .*(newsletter|list|free)|thanks for reading.*subscribe|"
        r"join \S+ (readers|subscribers)|this post is for (paid|paying) subscribers|type your email|"
        r"become a (paid )?(member|subscriber)|get .* in your inbox)", re.I,
    ),
    "follow": re.compile(r"^(follow|connect with|find) me (on|at)\b|^follow \w+( \w+)? on\b", re.I),
    "cookies": re.compile(r"\b(we use cookies|this (site|website) uses cookies|accept (all )?cookies|cookie policy)\b", re.I),
    "comments": re.compile(r"^(\d+ )?(comments?|responses?|replies|likes?|claps)\W*$|^(leave|post|add) a comment\W*$|^discussion about this post", re.I),
    "navigation": re.compile(
        r"^(home|about|archive|next|previous|older|newer|menu|search|sign in|log in|open in app|top|latest|"
        r"back to (top|home)|skip to content|read more( .*)?|continue reading.*|privacy policy|terms( of service)?|all rights reserved.*|"
        r"(copyright|©).*)\W*$", re.I,
    ),
    "origin": re.compile(r"(was )?originally published (in|on|at) .* on (medium|substack)|appeared first on", re.I),
    "reading_time": re.compile(r"^\d+ min(ute)?s? read\W*$", re.I),
}  # fmt: skip

MAX_BLOCK_WORDS = 40
_BAR = re.compile(r"\s+[·•|]\s+")

_BLOCK_PAGE = re.compile(
    r"checking if the site connection is secure|attention required! \| cloudflare|cf-browser-verification|"
    r"enable javascript and cookies to continue|verify(ing)? (that )?you are (a )?human",
    re.I,
)


def boilerplate_kind(text: str) -> str | None:
    """The kind of boilerplate that a block of text is, or None for the author's own.

    A bar ("5 min read · Listen · Share") is boilerplate when half of what it lists is.
    """
    text = text.strip()
    if count_words(text) > MAX_BLOCK_WORDS:
        return None
    if kind := _block_kind(text):
        return kind
    parts = _BAR.split(text)
    kinds = [kind for part in parts if (kind := _block_kind(part))]
    return kinds[0] if kinds and 2 * len(kinds) >= len(parts) else None


def _block_kind(text: str) -> str | None:
    return next((kind for kind, pattern in _BLOCKS.items() if pattern.search(text)), None)


def is_dropped_class(value: str) -> bool:
    """Whether an element's class or id marks it as no part of the text."""
    # "has-sidebar" says what stands beside an element, not what it is.
    return bool(_DROPPED_CLASS.search(value)) and bool(_DROPPED_CLASS.search(_BESIDE.sub(" ", value)))


def is_body_class(element: Any) -> bool:
    """Whether an element's class, id or microdata names it the body of the text."""
    get = element.attrib.get
    marks = f"{get('class', '')} {get('id', '')}".lower()
    return get("itemprop") == "articleBody" or bool(_BODY_CLASS.search(marks))


def ends_the_text(block: str) -> bool:
    """Whether a block opens what a site puts after the text: comments, related posts, the author's card."""
    if len(block) > 120 or count_words(block) > _MAX_END_WORDS or block.endswith((".", "!", ":")):
        return False
    return bool(_END.match(block))


def is_block_page(body: str) -> bool:
    """Whether a page is a bot challenge rather than content."""
    return len(body) < 20_000 and bool(_BLOCK_PAGE.search(body))
