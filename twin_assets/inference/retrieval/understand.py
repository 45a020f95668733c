"""What a question asks to be searched: nothing, everything, or what was written where and when. By rules.

A rule has to be sure: a question about the ferry of March 2021 is no question about what was published
then. So a date counts only beside a verb of writing, and a source only by its own name.
"""

import re
from datetime import UTC, datetime

from twin_assets.core.persona.definition import SOURCES, source_part
from twin_assets.core.records import Record
from twin_assets.core.text.content_words import is_function_word
from twin_assets.core.text.words import UNSPACED, count_words, spaced
from twin_assets.core.vectors.base import Filters

SMALL_TALK = re.compile(
    r"\W*+((hi|hello|hey|thanks|thank you|good (morning|afternoon|evening)|bye|goodbye|how are you|nice to meet you)"
    r"[\s,!.?]*+){1,3}(there|today|everyone|again|so much|very much|doing)?\W*",
    re.IGNORECASE,
)
# The text to work on is there already, after a colon or on its own lines.
OWN_TEXT = re.compile(
    r"\s*(please )?(translate|proofread|rephrase|shorten|rewrite|summari[sz]e|edit|polish)\b[^:\n]{0,80}[:\n]\s*\S.{40,}",
    re.IGNORECASE | re.DOTALL,
)
NAMED_SOURCES = tuple(source for source in SOURCES if source_part(source).telling_name)
CATEGORIES = {
    "post": r"\b(in|among|from) (your|her|his|their) (short |social )?posts\b",
    "article": r"\b(in|among|from) (your|her|his|their) (long |longer )?(articles|essays)\b",
    "code": r"\b(in|from) (your|her|his|their) (source )?code\b",
}
WRITING = re.compile(
    r"\b(write|wrote|written|writing|posts?|posted|publish|published|articles?|essays?|say|said|describe|described|"
    r"blog|blogged|thoughts|argue|argued)\b",
    re.IGNORECASE,
)
_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december"]  # fmt: skip
_WHEN = re.compile(
    rf"\b(?P<how>in|during|since|after|before|until|from)\s+(?:(?P<month>{'|'.join(_MONTHS)})\s+)?(?P<year>20\d\d)\b",
    re.IGNORECASE,
)
FEWEST_WORDS = 3
_WORD = re.compile(rf"[{UNSPACED}]+|[\w'-]+")


class ParsedQuery(Record):
    """What to search. `needed` is False when no passage is; `queries` are wordings, the best first."""

    needed: bool = True
    queries: list[str]
    filters: Filters = {}


def by_rules(question: str, *, route: bool, self_query: bool, expand: bool) -> ParsedQuery:
    """Read a question without a model, with the parts that are on."""
    if route and (SMALL_TALK.fullmatch(question) or OWN_TEXT.match(question)):
        return ParsedQuery(needed=False, queries=[])
    filters = wanted(question) if self_query else {}
    return ParsedQuery(queries=wordings(question) if expand else [question], filters=filters)


def wanted(question: str) -> Filters:
    """Filters that a question names: source, category, and when it was written."""
    filters: Filters = {}
    sources = [
        source
        for source in NAMED_SOURCES
        if re.search(rf"\b(on|in|from|your|to) {source}\b", question, re.IGNORECASE)
    ]
    if sources and WRITING.search(question):
        filters["source"] = sources
    categories = [c for c, pattern in CATEGORIES.items() if re.search(pattern, question, re.IGNORECASE)]
    if categories:
        filters["category"] = categories
    period = _WHEN.search(question)
    if period and WRITING.search(question):
        filters |= _period(period["how"].lower(), int(period["year"]), (period["month"] or "").lower())
    return filters


def wordings(question: str) -> list[str]:
    """The question, its telling words alone, and the questions that an "and" joins."""
    words = [word for word in _WORD.findall(spaced(question)) if not is_function_word(word.lower())]
    parts = [p.strip() for p in re.split(r"[?;？；]|,? and (?=how|what|when|where|which|who|why)", question)]
    others = [p for p in parts if count_words(p) >= FEWEST_WORDS] if len(parts) > 1 else []
    return list(dict.fromkeys([question, " ".join(words) or question, *others]))


def _period(how: str, year: int, month: str) -> Filters:
    """Bounds of a time of writing, as ISO dates; the upper one is left out of the period."""
    first = datetime(year, _MONTHS.index(month) + 1 if month else 1, 1, tzinfo=UTC)
    whole_year = datetime(year + 1, 1, 1, tzinfo=UTC)
    end = whole_year if not month or first.month == 12 else first.replace(month=first.month + 1)
    if how in ("since", "from"):
        return {"published_from": first.isoformat()}
    if how == "after":
        return {"published_from": end.isoformat()}
    if how in ("before", "until"):
        return {"published_until": (end if how == "until" else first).isoformat()}
    return {"published_from": first.isoformat(), "published_until": end.isoformat()}
