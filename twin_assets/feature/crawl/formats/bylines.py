"""The names in a byline, in the forms that feeds, pages and exports write them."""

import html
import re

# Accounts that every blog software makes: they sign for nobody, so what they sign is unsigned.
_NOBODY = re.compile(
    r"(?:site\s+)?(?:admin(?:istrator)?|web\s?master|root|unknown|blogger|wordpress|no-?reply|do-?not-?reply)"
    r"(?:@\S*)?",
    re.IGNORECASE,
)
_MAIL_AND_NAME = re.compile(
    r"^([^\s@(]++@[^\s@(]++)\s*+\((.*)\)$"
)  # the form of RSS: a@b.example (Ada Example)
# Who has a part in a text without having written it: a list of names with such a word is one line, of nobody's alone.
_OTHER_PART = re.compile(
    r"\b(?:translat(?:ed|ion|or)|übersetz\w*|traduit|traducid[oa]|traducción|traduzid[oa]|tradott[oa]|vertaald|översatt|oversatt|"
    r"przekład|перевод\w*|edited|interview\w*|conversation|in talk|ghost\s?written|as told to|on behalf of|reposted|via|about)\b"
    r"|翻訳|译|譯",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s*(?:[,;&|/+]|\b(?:and|und|et|och|og|en|with)\b)\s*", re.IGNORECASE)
_BLOGGERS_BLANK = re.compile(r"\(?\bunknown\)?$", re.IGNORECASE)
MAX_BYLINE = 300


def signed_by(*bylines: object, site: str | None = None) -> list[str]:
    """Everybody whom bylines name: each as given, and the parts of lists (`Ada Example and Kim Other`).

    Left out are the accounts that stand for nobody (`admin`), what is no text, and `site`, the
    publication's own name. Empty when a piece is unsigned.
    """
    names: list[str] = []
    for line in bylines:
        if not isinstance(line, str):
            continue
        text = " ".join(html.unescape(line[:MAX_BYLINE]).split())
        if mailed := _MAIL_AND_NAME.match(text):
            parts = [mailed.group(1), _BLOGGERS_BLANK.sub("", mailed.group(2))]
        elif "://" in text or "@" in text or _OTHER_PART.search(text):
            parts = [text]
        else:
            parts = [text, *_LIST.split(text)]
        names += [part for part in parts if _names_somebody(part, site)]
    return list(dict.fromkeys(names))


def _names_somebody(name: str, site: str | None) -> bool:
    if not name or _NOBODY.fullmatch(name):
        return False
    return not site or name.casefold() != " ".join(site.split()).casefold()
