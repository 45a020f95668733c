"""Slack's export: users.json, lists of channels, and a JSON file for each channel's day.

Messages of apps, joins and the like are not anybody's words; text comes in Slack's own markup (mrkdwn).
"""

import html
import re
from collections.abc import Iterator
from typing import Any

from twin_assets.core.hashing import text_hash
from twin_assets.feature.crawl.formats.talks.conversations import Chat, Message, from_unix, load_json

MEMBERS = r"(^|/)(users|org_users|channels|groups|dms|mpims)\.json$|(^|/)[^/]+/\d{4}-\d\d-\d\d\.json$"
_DAY = re.compile(r"(?:^|/)([^/]+)/\d{4}-\d\d-\d\d\.json$")
# Subtypes of what people write; all others are Slack's and apps' own.
_WRITTEN = {None, "", "thread_broadcast", "me_message", "reply_broadcast"}
_REFERENCE = re.compile(r"<([@#!]?)([^<>|\n]{1,2000})(?:\|([^<>\n]*))?>")


def is_slack(names: list[str]) -> bool:
    """Whether the paths of an archive or folder are those of such an export."""
    return any(name.rsplit("/", 1)[-1] == "users.json" for name in names) and any(
        _DAY.search(n) for n in names
    )


def slack_chats(files: dict[str, bytes]) -> Iterator[tuple[Chat, list[str]]]:
    """Each channel, group and direct talk with the paths of its files that could not be read.

    Threads bear their first message's time; a thread of one message counts as part of the channel.
    """
    users: dict[str, tuple[str, ...]] = {}
    keys: dict[str, tuple[str, str]] = {}
    days: dict[str, list[tuple[str, bytes]]] = {}
    broken: dict[str, list[str]] = {}
    for path, data in sorted(files.items()):
        if day := _DAY.search(path):
            days.setdefault(day.group(1), []).append((path, data))
            continue
        rows = _rows(data)
        if rows is None:
            broken.setdefault("", []).append(path)
        for row in rows or []:
            if path.endswith("users.json"):
                users[str(row.get("id"))] = _names(row)
            elif row.get("id"):
                name = str(row.get("name") or row["id"])
                keys[name] = keys[str(row["id"])] = (str(row["id"]), name)
    if "" in broken:
        yield Chat("slack", "", ""), broken[""]
    for folder, parts in days.items():
        messages: list[Message] = []
        for path, data in parts:
            rows = _rows(data)
            if rows is None:
                broken.setdefault(folder, []).append(path)
            messages += [_message(row, users) for row in rows or []]
        key, name = keys.get(folder, (text_hash(folder, 12), folder))
        yield Chat("slack", key, name, messages), broken.get(folder, [])


def _rows(data: bytes) -> list[dict[str, Any]] | None:
    try:
        rows = load_json(data)
    except ValueError:
        return None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _names(user: dict[str, Any]) -> tuple[str, ...]:
    """Name shown first, then all that the person may be known by."""
    profile = user.get("profile") if isinstance(user.get("profile"), dict) else {}
    assert isinstance(profile, dict)
    given = [
        profile.get("display_name"), profile.get("real_name"), user.get("real_name"), user.get("name"),
        profile.get("email"), user.get("id"),
    ]  # fmt: skip
    return tuple(dict.fromkeys(str(name) for name in given if name))


def _message(row: dict[str, Any], users: dict[str, tuple[str, ...]]) -> Message:
    user = str(row.get("user") or row.get("bot_id") or row.get("username") or "")
    profile = row.get("user_profile")
    names = users.get(user) or (
        _names({"profile": profile, "id": user}) if isinstance(profile, dict) else (user,)
    )
    text = _text(str(row.get("text") or ""), users)
    reason = None
    if (
        row.get("bot_id")
        or row.get("bot_profile")
        or user == "USLACKBOT"
        or row.get("subtype") == "bot_message"
    ):
        reason = "a bot's message"
    elif row.get("subtype") not in _WRITTEN or row.get("type", "message") != "message" or row.get("hidden"):
        reason = "a system message"
    elif not text:
        reason = "a message without words"
    thread = row.get("thread_ts")
    started = thread == row.get("ts") and not (row.get("reply_count") or row.get("replies"))
    ts = str(row.get("ts") or "?")
    return Message(
        ts,
        from_unix(ts),
        user,
        names,
        text,
        thread=str(thread) if thread and not started else None,
        left_out=reason,
    )


def _text(markup: str, users: dict[str, tuple[str, ...]]) -> str:
    """mrkdwn as its sender saw it: names for ids, labels for links; quoted lines are taken out."""
    lines = [line for line in markup.split("\n") if not line.startswith(("&gt;", ">"))]

    def shown(match: re.Match[str]) -> str:
        sign, target, label = match.groups()
        if sign == "@":
            return f"@{label or users.get(target, (target,))[0]}"
        if sign == "#":
            return f"#{label or target}"
        if sign == "!":
            return label or f"@{target.split('^')[0]}"
        return label or target.removeprefix("mailto:")

    return html.unescape(_REFERENCE.sub(shown, "\n".join(lines))).strip()
