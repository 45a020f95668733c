"""The package of one's data that Discord prepares: one's own messages by channel, as JSON or (older) CSV."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twin_assets.feature.crawl.formats.talks.conversations import Chat, Message, load_json

MEMBERS = r"(^|/)[Mm]essages/c?\d+/messages\.(json|csv)$"
_CHANNEL = re.compile(r"/c?(\d+)/messages\.(json|csv)$")


def is_discord(names: list[str]) -> bool:
    """Whether the paths of an archive or folder are those of such a package."""
    return any(re.search(MEMBERS, name) for name in names)


def discord_chats(files: dict[str, bytes]) -> Iterator[tuple[Chat, list[str]]]:
    """Each channel with what the package's owner wrote there, and its file when that could not be read.

    A package holds nobody else's messages, so these conversations have one side.
    """
    for path, data in sorted(files.items()):
        channel = _CHANNEL.search(path)
        if not channel:
            continue
        try:
            rows = load_json(data) if channel.group(2) == "json" else _csv(data)
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            yield Chat("discord", channel.group(1), channel.group(1)), [path]
            continue
        messages = [_message(row) for row in rows if isinstance(row, dict)]
        yield Chat("discord", channel.group(1), channel.group(1), messages), []


def _csv(data: bytes) -> list[dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(str(error)) from None


def _message(row: dict[str, Any]) -> Message:
    text = re.sub(r"(?m)^>(?:>>)? .*\n?", "", str(row.get("Contents") or "")).strip()
    reason = None if text else "a message without words"
    return Message(
        str(row.get("ID") or "?"), _time(row.get("Timestamp")), "self", (), text, own=True, left_out=reason
    )


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
