"""Tells a challenge or block page from content. Such a page is counted, never stored.

A page is one by its structure and its length, never by words alone: an article may speak of captchas, and a normal page
may carry the script of a bot check or a captcha in its comment form.
"""

import re

# What the challenges' own scripts and forms are called.
_MARKS: list[tuple[str, re.Pattern[str]]] = [
    ("cloudflare challenge", re.compile(r"cf-chl-|_cf_chl_opt|cf-browser-verification|challenge-platform", re.I)),
    ("captcha", re.compile(r"g-recaptcha|h-captcha|px-captcha|captcha-delivery\.com|awsWafCookieDomainList", re.I)),
    ("bot check", re.compile(r"_Incapsula_Resource|ddos-guard|ak-challenge|sec-if-cpt-container", re.I)),
]  # fmt: skip
# Whole titles of such pages; what follows may be the name of the service.
_TITLES: list[tuple[str, re.Pattern[str]]] = [
    ("cloudflare challenge", re.compile(r"just a moment\W*|attention required!?", re.I)),
    ("access denied", re.compile(
        r"access denied|(?:error )?403(?: -)? forbidden|forbidden|request blocked|access to this page has been denied", re.I)),
    ("captcha", re.compile(r"(?:.{0,20} )?captcha(?: .{0,20})?|human verification|are you (?:a )?(?:human|robot)\??", re.I)),
    ("bot check", re.compile(
        r"checking your browser|one more step|security check(?:point)?|robot check|verify(?:ing)? you are (?:a )?human", re.I)),
]  # fmt: skip
# What such a page says to its reader, as a sentence of its own.
_WORDS: list[tuple[str, re.Pattern[str]]] = [
    ("bot check", re.compile(
        r"(?:^|[.!?>]\s*)(?:please )?(?:verify(?:ing)? (?:that )?you are (?:a )?human|(?:please )?enable (?:javascript|js) and "
        r"(?:cookies|disable any ad blocker)|checking (?:if the site connection is secure|your browser before)|"
        r"press (?:&|&amp;|and) hold to confirm|request unsuccessful\. incapsula)", re.I)),
    ("access denied", re.compile(
        r"(?:^|[.!?>]\s*)(?:sorry, )?you (?:have been blocked|don['’]t have permission to access)|"
        r"(?:^|[.!?>]\s*)access to this page has been denied", re.I)),
]  # fmt: skip
_REFUSALS = {403: "refused (HTTP 403)", 429: "too many requests (HTTP 429)", 999: "refused (HTTP 999)"}

_PAGE_LETTERS = 60_000  # of a whole interstitial, scripts included
# Of its text, under a title of such pages; Cloudflare explains itself at some length.
_TITLED_LETTERS = {"cloudflare challenge": 1_500, "access denied": 700, "captcha": 700, "bot check": 700}
_TEXT_LETTERS = 400  # of its text otherwise: less than any article says

_PAGE = re.compile(r"<(?:!doctype html|html|head|body|title)[\s>]", re.I)
_TITLE = re.compile(r"<title\b[^<>]*+>([^<]*+)<", re.I)
_UNSEEN = re.compile(r"<(script|style|svg|head|template)\b.*?(?:</\1\s*+>|\Z)", re.I | re.S)
_TAG = re.compile(r"<[^>]*+(?:>|\Z)")


def block_reason(status: int, content_type: str, text: str, mitigated: bool = False) -> str | None:
    """Why this answer is a block page, or None when it is content.

    `mitigated` says whether the server sent Cloudflare's `cf-mitigated: challenge` header.
    """
    if mitigated:
        return "cloudflare challenge"
    looks_html = "html" in content_type or bool(_PAGE.match(text.lstrip()[:20]))
    if looks_html and (sign := _sign(text, refused=status >= 400)):
        return sign
    return _REFUSALS.get(status)


def is_block_page(body: str) -> bool:
    """Whether a collected HTML body is a challenge or block page rather than content."""
    return bool(_PAGE.search(body[:2_000])) and _sign(body, refused=False) is not None


def _sign(page: str, refused: bool) -> str | None:
    """The kind of block page that a page is by its title, scripts and words, given how much it says."""
    if len(page) > _PAGE_LETTERS:
        return None
    seen = " ".join(_TAG.sub(" ", _UNSEEN.sub(" ", page)).split())
    match = _TITLE.search(page)
    title = re.split(r" [|–—-] ", " ".join(match[1].split()))[0] if match else ""
    kind = next((kind for kind, sign in _TITLES if sign.fullmatch(title)), None)
    if kind and (refused or len(seen) <= _TITLED_LETTERS[kind]):
        return kind
    if len(seen) > _TEXT_LETTERS and not refused:
        return None
    words = _TAG.sub(">", _UNSEEN.sub(" ", page))
    signs = [kind for kind, sign in _MARKS if sign.search(page)]
    return next(iter([*signs, *(kind for kind, sign in _WORDS if sign.search(words))]), None)
