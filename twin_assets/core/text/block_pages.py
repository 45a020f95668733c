"""Tells a challenge or block page from content. Such a page is counted, never stored."""

import re

# Phrases of the interstitials themselves, matched near the top of short HTML pages only, so that an
# article *about* captchas is not taken for one.
_SIGNS: list[tuple[str, re.Pattern[str]]] = [
    (
        "cloudflare challenge",
        re.compile(
            r"cf-chl-|_cf_chl_opt|challenge-platform|<title>\s*(just a moment|attention required)", re.I
        ),
    ),
    ("captcha", re.compile(r"g-recaptcha|h-captcha|px-captcha|<title>[^<]*captcha", re.I)),
    ("access denied", re.compile(r"<title>\s*(access denied|403 forbidden|request blocked)", re.I)),
    ("bot check", re.compile(r"verify(ing)? (that )?you are (a )?human|enable javascript and cookies", re.I)),
]
# No sign can be there without one of these: a look that spares ordinary pages the patterns.
_HINTS = ("cf-chl", "_cf_chl", "challenge", "captcha", "just a moment", "attention required", "denied",
          "forbidden", "blocked", "human", "cookies")  # fmt: skip
_REFUSALS = {403: "refused (HTTP 403)", 429: "too many requests (HTTP 429)", 999: "refused (HTTP 999)"}
_INTERSTITIAL_BYTES = 60_000


def block_reason(status: int, content_type: str, text: str, mitigated: bool = False) -> str | None:
    """Why this answer is a block page, or None when it is content.

    `mitigated` says whether the server sent Cloudflare's `cf-mitigated: challenge` header.
    """
    if mitigated:
        return "cloudflare challenge"
    looks_html = "html" in content_type or text.lstrip()[:15].lower().startswith(("<!doctype html", "<html"))
    if looks_html and len(text) < _INTERSTITIAL_BYTES:
        head = text[:20_000].lower()
        hinted = any(hint in head for hint in _HINTS)
        signs = [name for name, sign in _SIGNS if sign.search(head)] if hinted else []
        # A normal page may carry a captcha widget in its comment form; an interstitial has no article.
        if signs and (status >= 400 or not re.search(r"<article|<p[\s>].{400}", text, re.I | re.S)):
            return signs[0]
    return _REFUSALS.get(status)
