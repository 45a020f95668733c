"""What on a page is not the author's writing: navigation, share bars, subscribe boxes, cookie notices."""

import re

# Elements that never hold an author's text, whatever they say.
DROPPED_TAGS = {
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "button",
    "script",
    "style",
    "noscript",
    "iframe",
    "svg",
}

_DROPPED_CLASS = re.compile(
    r"(^|[-_\s])(nav|navbar|menu|share|sharing|social|subscribe|subscription|newsletter|signup|cookie|consent|"
    r"comments?|related|recommended|author-?bio|byline|footer|sidebar|breadcrumbs?|paywall|widget)([-_\s]|$)",
    re.IGNORECASE,
)

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

_BLOCK_PAGE = re.compile(
    r"checking if the site connection is secure|attention required! \| cloudflare|cf-browser-verification|"
    r"enable javascript and cookies to continue|verify(ing)? (that )?you are (a )?human",
    re.I,
)


def boilerplate_kind(text: str) -> str | None:
    """The kind of boilerplate that a block of text is, or None for the author's own."""
    text = text.strip()
    if len(text.split()) > MAX_BLOCK_WORDS:
        return None
    return next((kind for kind, pattern in _BLOCKS.items() if pattern.search(text)), None)


def is_dropped_class(value: str) -> bool:
    """Whether an element's class or id marks it as no part of the text."""
    return bool(_DROPPED_CLASS.search(value))


def is_block_page(body: str) -> bool:
    """Whether a page is a bot challenge rather than content."""
    return len(body) < 20_000 and bool(_BLOCK_PAGE.search(body))
