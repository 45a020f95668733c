"""What all chat exports have in common: messages with a sender and a time, cut into conversations."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

# A pause of so long ends a conversation; a thread is one whatever its pauses.
PAUSE = timedelta(hours=6)
MAX_TURNS = 400
MAX_CHAT_FILE_BYTES = 300_000_000


@dataclass(frozen=True)
class Message:
    """One message. `sender` tells senders apart, `names` are what they are called; `own`: the export itself
    says that its owner sent this. `left_out` is the reason why its text is nobody's words (a sticker, a forward)."""

    id: str
    at: datetime | None
    sender: str
    names: tuple[str, ...]
    text: str
    own: bool = False
    thread: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Chat:
    """One chat of an export. `key` names it for good and holds nobody's name; `name` is what its owner sees."""

    kind: str
    key: str
    name: str
    messages: list[Message] = field(default_factory=list)
    left_out: str | None = None


def conversations(messages: list[Message]) -> Iterator[list[Message]]:
    """Messages in the order of their times, cut where nobody wrote for `PAUSE`; each thread by itself.

    A run of more than `MAX_TURNS` is cut there, so that no conversation grows without end.
    """
    threads: dict[str | None, list[Message]] = {}
    for message in messages:
        threads.setdefault(message.thread, []).append(message)
    for thread, rows in threads.items():
        run: list[Message] = []
        for message in sorted(rows, key=lambda m: m.at or datetime.min.replace(tzinfo=UTC)):
            if run and (len(run) == MAX_TURNS or (thread is None and _paused(run[-1], message))):
                yield run
                run = []
            run.append(message)
        if run:
            yield run


def roles(messages: list[Message], own: set[str]) -> dict[str, str]:
    """Sender to role: "self", or a letter in the order in which the others come up: A, B … Z, A2 …"""
    others = list(dict.fromkeys(m.sender for m in messages if m.sender not in own))
    letters = {
        sender: f"{chr(65 + n % 26)}{n // 26 + 1 if n >= 26 else ''}" for n, sender in enumerate(others)
    }
    return letters | dict.fromkeys(own, "self")


def from_unix(seconds: object) -> datetime | None:
    """UTC time of seconds since 1970 as number or text; None for what is no such thing."""
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def load_json(data: bytes) -> Any:
    """Decoded JSON. Raises ValueError, with what is wrong, for anything else."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not whole JSON (line {error.lineno})") from None


def _paused(before: Message, after: Message) -> bool:
    return bool(before.at and after.at and after.at - before.at > PAUSE)
