"""Chats: exports of Telegram, WhatsApp, Slack and Discord, kept as conversations.

A conversation's body is what the persona wrote, verbatim and in order, messages divided by blank lines; what
the others wrote stands in `payload["turns"]` beside it, under letters for names.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from twin_assets.core.hashing import text_hash
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.formats.talks.conversations import (
    MAX_CHAT_FILE_BYTES,
    Chat,
    Message,
    conversations,
    load_json,
    roles,
)
from twin_assets.feature.crawl.formats.talks.discord import MEMBERS as DISCORD
from twin_assets.feature.crawl.formats.talks.discord import discord_chats, is_discord
from twin_assets.feature.crawl.formats.talks.slack import MEMBERS as SLACK
from twin_assets.feature.crawl.formats.talks.slack import is_slack, slack_chats
from twin_assets.feature.crawl.formats.talks.telegram import is_telegram, telegram_chats
from twin_assets.feature.crawl.formats.talks.whatsapp import is_whatsapp, whatsapp_messages
from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.spiders.base import Answers, SourceSpider

KINDS = "Telegram's result.json, WhatsApp's .txt or .zip, Slack's export .zip, Discord's package .zip"
_WHATSAPP = r"\.txt$"
_TELEGRAM = r"(^|/)result\.json$"
_FILES = f"{SLACK}|{DISCORD}|{_WHATSAPP}|{_TELEGRAM}"
# A longer conversation is told like an article: passages of it are found and learnt by themselves.
_LONG = 1_500


class ChatsSpider(SourceSpider):
    name = "chats"
    unknown_fix = (
        f"name exports in chats.files ({KINDS}), and in also_known_as the names that the persona bears there."
    )

    def begin(self) -> Answers:
        assert self.persona.chats
        self.chosen: set[str] = set()
        for path in self.persona.chats.files:
            try:
                for chat in self._chats(path):
                    yield from self._items(chat)
            except ValueError as error:
                self.fail(str(path), f"unreadable export: {error}", True, f"give one of {KINDS}.")

    def wanted(self, *names: str) -> bool:
        """A chat that was chosen by its name, which no item bears, is wanted with all its conversations."""
        return names[0] in self.chosen or super().wanted(*names)

    def _chats(self, path: Path) -> Iterator[Chat]:
        """The chats of a file, an archive or an unpacked one. Raises ValueError for what is none of the kinds."""
        if path.is_dir():
            yield from self._members(_folder_files(path), path)
        elif not path.is_file():
            raise ValueError("missing file")
        elif path.suffix.lower() == ".zip":
            yield from self._members(
                dict(archive_members(path, _FILES)), path
            )  # pictures in it aren't unpacked
        elif path.stat().st_size > MAX_CHAT_FILE_BYTES:
            raise ValueError(f"larger than {MAX_CHAT_FILE_BYTES // 1_000_000} MB")
        else:
            yield from self._file(_label(path.name, path), path.read_bytes())

    def _members(self, files: dict[str, bytes], path: Path) -> Iterator[Chat]:
        if is_slack(list(files)) or is_discord(list(files)):
            read = slack_chats if is_slack(list(files)) else discord_chats
            for chat, broken in read(files):
                for member in broken:
                    self.skip("an unreadable file", f"{path.name}/{member}")
                yield chat
            return
        has_export = False
        for name, data in files.items():
            try:
                chats = list(self._file(_label(name, path), data))
            except ValueError as error:
                self.skip("an unreadable file", f"{path.name}/{name}: {error}")
                continue
            has_export = True
            yield from chats
        if not has_export:
            raise ValueError("no export of a known kind in it")

    def _file(self, name: str, data: bytes) -> Iterator[Chat]:
        text = decode_text(data)
        if not is_whatsapp(text):
            if text.lstrip()[:1] not in ("{", "["):
                raise ValueError("no line of it begins with a date and a time as WhatsApp writes them")
            decoded = load_json(data)
            if not is_telegram(decoded):
                raise ValueError("JSON, but not an export of Telegram's")
            yield from telegram_chats(decoded)
            return
        stem = PurePosixPath(name).with_suffix("").as_posix()
        yield Chat("whatsapp", text_hash(stem, 12), PurePosixPath(stem).name, list(whatsapp_messages(text)))

    def _items(self, chat: Chat) -> Answers:
        rows = [m for m in chat.messages if m.left_out is None]
        own = {
            m.sender
            for m in chat.messages
            if m.sender and (m.own or any(map(self.authors.is_named, m.names)))
        }
        for message in chat.messages:
            nobodys = message.left_out == "a system message" or not message.sender
            if message.left_out and (nobodys or message.sender in own):
                self.skip(message.left_out, f"{chat.name}: {message.text[:60] or message.id}")
        if chat.left_out:
            self.skip(chat.left_out, chat.name, len(rows))
            return
        if rows and not own:
            senders = ", ".join(dict.fromkeys(m.names[0] for m in rows if m.names))
            self.skip("a chat without the persona", f"{chat.name}: {senders[:200]}")
            return
        for talk in conversations(rows):
            if item := self._item(chat, talk, own):
                yield item

    def _item(self, chat: Chat, talk: list[Message], own: set[str]) -> RawItem | None:
        mine = [m for m in talk if m.sender in own]
        first = talk[0]
        if not mine:
            self.skip("a conversation without the persona", f"{chat.name}: {first.text[:60]}")
            return None
        item_id = f"{chat.kind}/{chat.key}/{_start(first)}"
        if item_id in self.listed:
            item_id += f"-{first.id}"
        url = f"chat:{item_id}"
        if not super().wanted(chat.name, item_id, url):
            self.skip("left out by the persona's patterns", chat.name)
            return None
        self.chosen.add(item_id)
        named = roles(talk, own)
        turns = [
            {
                "who": "self" if m.sender in own else "other",
                "name": named[m.sender],
                "text": m.text,
                "at": m.at.isoformat() if m.at else None,
            }
            for m in talk
        ]
        body = "\n\n".join(m.text for m in mine)
        return self.item(
            item_id,
            category="article" if len(body) > _LONG else "post",
            url=url,
            mime="text/plain",
            body=body,
            published_at=mine[0].at,
            payload={"turns": turns, "kind": chat.kind},
        )


def _label(name: str, path: Path) -> str:
    """What a chat is called: iOS calls each `_chat.txt`, so the zip or the folder around it tells them apart."""
    inside = PurePosixPath(name)
    if inside.name != "_chat.txt":
        return name
    if len(inside.parts) > 1:
        return inside.parent.as_posix()
    return path.stem if path.suffix.lower() == ".zip" or path.is_dir() else path.resolve().parent.name


def _start(message: Message) -> str:
    """What tells a conversation for good: its thread, else its first message's time, else that one's number."""
    if message.thread:
        return message.thread if message.thread == message.id else f"{message.thread}-{message.id}"
    return message.at.strftime("%Y%m%dT%H%M%S") if message.at else message.id


def _folder_files(folder: Path) -> dict[str, bytes]:
    """Files of an unpacked export by path. Raises ValueError when they are too many or too large."""
    files: dict[str, bytes] = {}
    total = 0
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or not re.search(_FILES, name) or not path.resolve().is_relative_to(root):
            continue
        total += path.stat().st_size
        if total > MAX_CHAT_FILE_BYTES:
            raise ValueError(f"larger than {MAX_CHAT_FILE_BYTES // 1_000_000} MB")
        files[name] = path.read_bytes()
    return files
