"""WhatsApp's "Export chat": one text file, a message from each line that begins with date and time.

iOS writes `[02/03/20, 10:11:12] Name: text`, Android `02/03/2020, 10:11 - Name: text`, both as the phone's
language and clock have them. What WhatsApp itself says (a picture left out, a deleted message) is told by
the mark that iOS puts before it, by Android's angle brackets, or by its words.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from twin_assets.feature.crawl.formats.talks.conversations import Message

_MARKS = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९", "012345678901234567890123456789")
_AM = r"a\.?\s?m\.?|上午|오전|ق\.?ظ|ص|पूर्वाह्न|午前|dop\.|öö"
_PM = r"p\.?\s?m\.?|下午|오후|ب\.?ظ|م|अपराह्न|午後|odp\.|ös"
_M = f"[{_MARKS}]{{0,2}}"
_LINE = re.compile(
    rf"^\ufeff?{_M}\[?{_M}(\d{{1,4}}){_M}\s?[-/.年년]{_M}\s?(\d{{1,2}}){_M}\s?[-/.月월]{_M}\s?(\d{{1,4}})[日일]?[.,،]{{0,2}}{_M}\s{{1,3}}"
    rf"(?:(?!{_AM}|{_PM})[^\d\s\]:-]{{1,12}}\s)?({_AM}|{_PM})?\s?{_M}(\d{{1,2}})[:.](\d\d)(?:[:.](\d\d))?\s?({_AM}|{_PM})?{_M}(?:\]|\s?[-–]|:(?=\s))\s?",
    re.IGNORECASE,
)
_SENDER = re.compile(r"^~?\s?([^:\n“”„\"«]{1,80}?):(?:\s|$)")
_FILE = re.compile(r"^\S[^\n]{0,100}\.\w{2,5} \([^()\n]{3,40}\)\s*")
_ATTACHED = re.compile(r"^<[^<>\n:]{2,40}:\s[^<>\n]{1,150}>\s*")
_EDITED = re.compile(r"\s?<[^<>\n]{3,20} [^<>\n]{3,40}>$")
_LOCATION = re.compile(
    r"^[^\n]{0,40}:?\s?https?://(?:maps\.google\.com|maps\.apple\.com|www\.google\.com/maps)\S*$"
)
_DELETED = re.compile(
    r"^(?:(?:you deleted this|this) message(?: was deleted)?(?: by admin .{1,60})?|(?:du hast diese|diese) nachricht (?:wurde )?gelöscht|"
    r"vous avez supprimé ce message|ce message a été supprimé|eliminaste este mensaje|(?:se eliminó este|este) mensaje(?: fue eliminado)?|"
    r"hai eliminato questo messaggio|questo messaggio è stato eliminato|(?:você apagou|apagou) esta mensagem|"
    r"(?:essa|esta) mensagem foi apagada|mensagem apagada|(?:je hebt|u hebt) dit bericht verwijderd|dit bericht (?:is|werd) verwijderd|"
    r"вы удалили (?:это|данное) сообщение|(?:это|данное) сообщение удалено|usunąłeś tę wiadomość|(?:ta )?wiadomość została usunięta|"
    r"bu mesajı sildiniz|bu mesaj silindi|anda telah menghapus pesan ini|pesan ini telah dihapus|あなたがこのメッセージを削除しました|"
    r"このメッセージは削除されました|您已删除此[消讯]息|此[消讯]息已删除|이 메시지를 삭제했습니다|삭제된 메시지입니다|آپ نے یہ پیغام حذف کر دیا|"
    r"du raderade (?:det här|detta) meddelande(?:t)?|du slettede denne (?:besked|meddelelse)|null)\.?$",
    re.IGNORECASE,
)
_OMITTED = re.compile(
    r"^(?:<[^<>\n]{2,40}>|(?:image|video|audio|gif|sticker|document|contact card|video note|photo|media)(?: file)? omitted|"
    r"(?:bild|video|audio|gif|sticker|dokument|kontaktkarte) weggelassen|(?:image|vidéo|audio|gif|sticker|document|fiche contact) (?:absente?|omise?)|"
    r"(?:imagen|video|audio|gif|sticker|documento|tarjeta de contacto) omitid[oa]|"
    r"(?:imagem|vídeo|áudio|gif|figurinha|documento|cartão do contato) (?:ocultad[oa]|omitid[oa])|"
    r"(?:immagine|video|audio|gif|sticker|documento) omess[oa]|(?:afbeelding|video|audio|gif|sticker|document) weggelaten)$",
    re.IGNORECASE,
)


def is_whatsapp(text: str) -> bool:
    """Whether a text begins like an export: one of its first lines has date, time and what follows them."""
    return any(_LINE.match(_plain(line)) for line in text[:5_000].split("\n")[:20])


def whatsapp_messages(text: str) -> Iterator[Message]:
    """The messages of an export, oldest first; times are the phone's, taken as UTC."""
    rows: list[tuple[tuple[str | None, ...], list[str]]] = []
    for line in re.split(r"\r\n|\r|\n", text):
        if match := _LINE.match(_plain(line)):
            rows.append((match.groups(), [line[match.end() :]]))
        elif rows:
            rows[-1][1].append(line)
    order = _order([groups[:3] for groups, _ in rows])
    for number, (groups, lines) in enumerate(rows):
        yield _message(number, _time(groups, order), "\n".join(lines))


def _plain(line: str) -> str:
    """A line's beginning with plain spaces and digits, letter for letter as long as before."""
    return re.sub(r"[\u00a0\u202f\u2009]", " ", line[:60]).translate(_DIGITS)


def _message(number: int, at: datetime | None, text: str) -> Message:
    """A line without "Name: " is WhatsApp's own, e.g. that somebody joined."""
    head = text.lstrip(_MARKS)
    sender = _SENDER.match(head.translate(dict.fromkeys(map(ord, _MARKS)))) if head else None
    if not sender:
        return Message(str(number), at, "", (), text, left_out="a system message")
    name = sender.group(1).strip()
    body = text[text.index(":") + 1 :].removeprefix(" ")
    said_by_app = body.startswith("\u200e")
    words = body.translate(dict.fromkeys(map(ord, _MARKS))).strip()
    words = _EDITED.sub("", words) if not _OMITTED.match(words) else words
    reason = None
    if _DELETED.match(words):
        reason = "a deleted message"
    elif _OMITTED.match(words) or _LOCATION.match(words):
        reason = "a message without words"
    else:
        caption = _FILE.sub("", _ATTACHED.sub("", words)).strip()
        attached = caption != words
        words = caption
        if not words or (said_by_app and not attached and "\n" not in words):
            reason = "a message without words" if not words else "a system message"
    return Message(str(number), at, name, (name,), words, left_out=reason)


def _order(dates: list[tuple[str | None, ...]]) -> str:
    """Which of the three numbers are day, month and year ("dmy", "mdy", "ymd") for a whole export.

    A number over 12 tells; else the order in which the dates never run backwards; else day first.
    """
    numbers = [tuple(int(n or 0) for n in date) for date in dates]
    if any(a > 31 for a, _, _ in numbers):
        return "ymd"
    if any(a > 12 for a, _, _ in numbers):
        return "dmy"
    if any(b > 12 for _, b, _ in numbers):
        return "mdy"
    steps = list(pairwise(numbers))
    back = {
        "dmy": sum((b[2], b[1], b[0]) < (a[2], a[1], a[0]) for a, b in steps),
        "mdy": sum((b[2], b[0], b[1]) < (a[2], a[0], a[1]) for a, b in steps),
    }
    return "mdy" if back["mdy"] < back["dmy"] else "dmy"


def _time(groups: tuple[str | None, ...], order: str) -> datetime | None:
    date = dict(zip(order, (int(n or 0) for n in groups[:3]), strict=True))
    year = date["y"] + 2000 if date["y"] < 100 else date["y"] - 543 if date["y"] > 2400 else date["y"]
    hour, half = int(groups[4] or 0), groups[3] or groups[7]
    if half:
        hour = hour % 12 + (12 if re.fullmatch(_PM, half, re.IGNORECASE) else 0)
    try:
        return datetime(
            year, date["m"], date["d"], hour, int(groups[5] or 0), int(groups[6] or 0), tzinfo=UTC
        )
    except ValueError:
        return None
