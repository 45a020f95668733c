"""Times and titles as sources write them."""

import html
import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import dateutil.parser

MAX_TITLE = 1_000


def parse_time(text: Any) -> datetime | None:
    """UTC time of an RFC 2822 or ISO 8601 string; None when there is none that can be read."""
    if not isinstance(text, str) or not text.strip() or "-0001" in text:  # WordPress's date of a draft
        return None
    padded = re.sub(r"([T ])(\d:\d\d)", r"\g<1>0\2", text.strip())  # bloggers write T8:09 too
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(padded)
            if not 1900 < moment.year < NO_YEAR:
                continue
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def as_time(value: Any) -> datetime | None:
    """UTC time of a date in any of its forms; None when it can't be read. One without a zone counts as UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, str) or len(value) > 100 or not re.search(r"\d{4}", value):
        return None
    text = re.sub(r"[<>\[\]]", "", value).strip()
    text = re.sub(r"^(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]$", r"\1-\2-\3", text)
    if day := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", text):
        try:
            return datetime(int(day[1]), int(day[2]), int(day[3]), tzinfo=UTC)
        except ValueError:
            return None
    try:
        return parse_time(text) or as_time(dateutil.parser.parse(text))
    except (ValueError, OverflowError):
        return None


NO_YEAR = 2200  # what can't be a date of writing: 9999 stands for "never", and for a date that can't be read


def plain_title(text: Any) -> str | None:
    """A title without markup and with its entities resolved; None when nothing is left of it."""
    if not isinstance(text, str):
        return None
    shown = " ".join(html.unescape(_INLINE.sub("", text[: 10 * MAX_TITLE])).split())
    return shown[:MAX_TITLE] or None


_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|br|cite|code|del|div|em|font|h[1-6]|i|img|ins|kbd|mark|p|q|s|small|span|strong|sub|sup|tt|u"
    r"|wbr)\b[^<>]*>",
    re.IGNORECASE,
)
