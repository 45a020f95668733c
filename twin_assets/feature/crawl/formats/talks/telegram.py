"""Telegram Desktop's JSON export: of one chat, or of a whole account (result.json)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twin_assets.feature.crawl.formats.talks.conversations import Chat, Message, from_unix


def is_telegram(data: Any) -> bool:
    """Whether decoded JSON is such an export: of an account, or of one chat."""
    if not isinstance(data, dict):
        return False
    if isinstance(data.get("messages"), list):
        return "type" in data or any(isinstance(m, dict) and "from_id" in m for m in data["messages"][:50])
    lists = [data.get("chats"), data.get("left_chats")]
    return any(isinstance(part, dict) and isinstance(part.get("list"), list) for part in lists)


def telegram_chats(data: dict[str, Any]) -> Iterator[Chat]:
    """The chats of an export. Notes to oneself (Saved Messages) are marked as left out."""
    owner = data.get("personal_information")
    owner_id = str(owner["user_id"]) if isinstance(owner, dict) and owner.get("user_id") else ""
    chats = [data] if isinstance(data.get("messages"), list) else []
    for part in (data.get("chats"), data.get("left_chats")):
        if isinstance(part, dict) and isinstance(part.get("list"), list):
            chats += [chat for chat in part["list"] if isinstance(chat, dict)]
    for chat in chats:
        rows = chat.get("messages")
        notes = chat.get("type") == "saved_messages"
        yield Chat(
            "telegram",
            str(chat.get("id") or "chat"),
            str(chat.get("name") or ""),
            [_message(row, owner_id) for row in rows] if isinstance(rows, list) else [],
            "a note to oneself" if notes else None,
        )


def _message(row: Any, owner_id: str) -> Message:
    if not isinstance(row, dict):
        return Message("?", None, "", (), "", left_out="an unreadable message")
    sender = str(row.get("from_id") or row.get("from") or row.get("actor_id") or "")
    names = tuple(str(row[key]) for key in ("from", "author", "from_id") if row.get(key))
    given = row.get("text") or row.get("text_entities") or ""
    return Message(
        str(row.get("id", "?")),
        from_unix(row.get("date_unixtime")) or _local(row.get("date")),
        sender,
        names,
        (text := _text(given)),
        own=bool(owner_id) and sender.removeprefix("user") == owner_id,
        left_out=_reason(row, text),
    )


def _reason(row: dict[str, Any], text: str) -> str | None:
    if row.get("type", "message") != "message":
        return "a system message"
    if "forwarded_from" in row or "forwarded_from_id" in row or "saved_from" in row:
        return "a forwarded message"
    if row.get("via_bot"):
        return "a bot's message"
    if not text:
        return "a message without words"
    return None


def _text(given: Any) -> str:
    """A text as its sender saw it; code in backticks, and without what they marked as a quotation."""
    parts = given if isinstance(given, list) else [given]
    shown: list[str] = []
    for part in parts:
        if isinstance(part, str):
            shown.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text = part["text"]
            kind = part.get("type")
            if kind == "code":
                text = f"`{text}`"
            elif kind == "pre":
                text = f"\n```{part.get('language') or ''}\n{text.strip(chr(10))}\n```\n"
            shown.append("" if kind == "blockquote" else text)
    return "".join(shown).strip()


def _local(text: Any) -> datetime | None:
    """The exporter's local time, taken as UTC: older exports have no other."""
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    except ValueError:
        return None
