"""Times and titles as sources write them."""

import html
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

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
