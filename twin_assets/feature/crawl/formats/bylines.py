"""The names in a byline, in the forms that feeds, pages and exports write them."""

import html
import re

# Accounts that every blog software makes: they sign for nobody, so what they sign is unsigned.
_NOBODY = re.compile(
    r"(?:site\s+)?(?:admin(?:istrator)?|web\s?master|root|unknown|blogger|wordpress|no-?reply|do-?not-?reply)"
    r"(?:@\S*)?",
    re.IGNORECASE,
)
_MAIL_AND_NAME = re.compile(r"^(\S+@\S+)\s*\((.*)\)$")  # the form of RSS: a@b.example (Ada Example)
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
        elif "://" in text or "@" in text:
            parts = [text]
        else:
            parts = [text, *_LIST.split(text)]
        names += [part for part in parts if _names_somebody(part, site)]
    return list(dict.fromkeys(names))


def _names_somebody(name: str, site: str | None) -> bool:
    if not name or _NOBODY.fullmatch(name):
        return False
    return not site or name.casefold() != " ".join(site.split()).casefold()
