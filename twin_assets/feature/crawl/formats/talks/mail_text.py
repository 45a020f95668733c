"""One mail: who sent it and when, why it is no writing of theirs, and the text they wrote.

Text comes from the plain part, whatever its charset says, with flowed lines joined again; where there is none,
from the HTML without the parts in which mail programs put what they quote.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from email.utils import getaddresses, parsedate_to_datetime

from lxml import etree, html

from twin_assets.core.text.html.blocks import html_blocks
from twin_assets.feature.crawl.formats.talks.mailboxes import unsent_folder
from twin_assets.feature.crawl.formats.talks.quoted_mail import own_part
from twin_assets.feature.crawl.formats.text.encodings import decode_text

_MAX_TEXT = 1_000_000
_MAX_HEADERS = 500_000
_REPLY = re.compile(
    r"^(?:\s*(?:re|aw|sv|vs|antw|odp|res|rif|ref|r|fw|fwd|wg|tr|rv|enc|vb|doorst|i|ynt|回复|回覆|答复|转发|返信|отв|ответ|на)"
    r"\s?(?:\[\d+\]|\(\d+\))?\s?[:：])+\s*",
    re.IGNORECASE,
)
_AUTOMATIC = re.compile(
    r"^(?:automatic reply|auto(?:matic)?[- ]?re(?:ply|sponse)|out of (?:the )?office|automatische antwort|abwesenheits|réponse automatique|"
    r"respuesta automática|resposta automática|risposta automatica|automatisch antwoord|autosvar|automaattinen vastaus|автоответ|自动回复)",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"\bdigest,? vol\b|\bdigest number\b", re.IGNORECASE)
_NOBODY = re.compile(
    r"^(?:no-?reply|do-?not-?reply|notifications?|invitations?|mailer-daemon|postmaster|bounces?)\b",
    re.IGNORECASE,
)
# Who says Latin-1 writes Windows' letters.
_AS_WRITTEN = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "gb2312": "gb18030",
    "ks_c_5601-1987": "cp949",
    "shift_jis": "cp932",
}
_SIGNATURES = {"moz-signature", "gmail_signature", "protonmail_signature_block", "mobile-signature"}
# From here on all is theirs. Other programs quote in <blockquote>, which the plain form shows with marks.
_QUOTES = {
    "yahoo_quoted",
    "protonmail_quote",
    "zmail_extra",
    "tutanota_quote",
    "outlookmessageheader",
    "moz-forward-container",
}
_QUOTE_IDS = {
    "divrplyfwdmsg",
    "appendonsend",
    "mail-editor-reference-message-container",
    "replysplit",
    "olk_src_body_section",
}
_BORDER = re.compile(r"border:\s*none;\s*border-top:\s*solid #[0-9a-f]{6} 1\.0pt", re.IGNORECASE)
_PGP = re.compile(
    r"\A\s*-----BEGIN PGP SIGNED MESSAGE-----\n(?:[^\n]+\n)*\n|^-----BEGIN PGP SIGNATURE-----.*",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Mail:
    """What a mail says of itself. `senders` are names with addresses; `left_out`: why it is no writing of theirs."""

    message_id: str
    senders: list[tuple[str, str]]
    subject: str
    sent_at: datetime | None
    reply_to: str | None
    left_out: str | None
    data: bytes

    def own_text(self) -> str:
        """What the sender wrote in it, quotes and signature off; "" where that is nothing."""
        # The older policy: it reads boundaries and parameters that are not quoted as they should be.
        return own_part(_body(message_from_bytes(self.data, policy=policy.compat32)))


def read_mail(data: bytes, unsent: str | None = None) -> Mail:
    """A mail's headers; its body is read only when asked for. Raises ValueError for what has no headers."""
    head = re.split(rb"\r?\n\r?\n", data[:_MAX_HEADERS].lstrip(), maxsplit=1)[0]
    headers = HeaderParser(policy=policy.compat32).parsestr(_detected(head))
    if not headers.keys() or not headers.get("From"):
        raise ValueError("no mail: it has no From line")
    senders = getaddresses([_shown(headers["From"])])
    return Mail(
        message_id=_shown(headers.get("Message-ID")).strip().strip("<>"),
        senders=senders,
        subject=_REPLY.sub("", re.sub(r"\s+", " ", _shown(headers.get("Subject"))).strip()),
        sent_at=_time(headers.get("Date")),
        reply_to=_shown(headers.get("In-Reply-To")).strip().strip("<>") or None,
        left_out=unsent or _reason(headers),
        data=data,
    )


def is_nobody(address: str) -> bool:
    """Whether an address is a machine's, which may bear anybody's name: notifications, invitations."""
    return bool(_NOBODY.match(address))


def _shown(header: object) -> str:
    """A header decoded word by word; a word that can't be is shown as it came."""
    shown = ""
    try:
        words = decode_header(str(header or ""))
    except ValueError:
        return str(header)
    for word, charset in words:
        if isinstance(word, str):
            shown += word
            continue
        try:
            shown += word.decode(charset or "raw-unicode-escape")  # what decode_header makes of plain text
        except (LookupError, UnicodeDecodeError):
            shown += word.decode("utf-8", "replace")
    return shown


def _time(header: object) -> datetime | None:
    try:
        time = parsedate_to_datetime(str(header))
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return time if 1970 <= time.year <= 2100 else None


def _reason(headers: Message) -> str | None:
    def said(name: str) -> str:
        return _shown(headers.get(name)).strip().casefold()

    if headers.get("X-Mozilla-Draft-Info") or said("X-Unsent") == "1":
        return "draft"
    status = said("X-Mozilla-Status")
    if re.fullmatch(r"[0-9a-f]{4}", status) and int(status, 16) & 8:
        return "trash"
    for label in _shown(headers.get("X-Gmail-Labels")).split(","):
        if label.strip().strip('"').casefold() in ("chat", "chats"):
            return "a chat"
        if place := unsent_folder(label.strip().strip('"')):
            return place
    if (
        said("Auto-Submitted") not in ("", "no")
        or headers.get("X-Autoreply")
        or said("Precedence") == "auto_reply"
    ):
        return "an automatic answer"
    if _AUTOMATIC.match(_REPLY.sub("", said("Subject"))):
        return "an automatic answer"
    kind = headers.get_content_type()
    if kind == "multipart/report" or said("Return-Path") == "<>":
        return "a report of delivery"
    if kind == "multipart/digest" or _DIGEST.search(said("Subject")):
        return "a list's digest"
    if kind == "text/calendar":
        return "a calendar invitation"
    if kind == "multipart/encrypted" or "smime-type=enveloped" in said("Content-Type"):
        return "encrypted"
    return None


def _body(message: Message) -> str:
    parts = [part for part in message.walk() if not part.is_multipart() and not _attached(part)]
    if any(part.get_content_type() == "text/calendar" and part.get_param("method") for part in parts):
        return ""  # its text is the calendar's
    inside = _forwarded(message)
    plain = [part for part in parts if part.get_content_type() == "text/plain" and id(part) not in inside]
    if text := "\n".join(filter(str.strip, map(_plain, plain))):
        return _PGP.sub("", text)
    pages = [part for part in parts if part.get_content_type() == "text/html" and id(part) not in inside]
    return "\n\n".join(_from_html(_decoded(part)) for part in pages[:1])


def _forwarded(message: Message) -> set[int]:
    """Parts of mails that are attached to this one."""
    return {
        id(part)
        for attached in message.walk()
        if attached.get_content_type() == "message/rfc822"
        for part in attached.walk()
    }


def _attached(part: Message) -> bool:
    try:
        named = bool(part.get_filename()) and part.get_content_disposition() != "inline"
        return named or part.get_content_disposition() == "attachment"
    except (ValueError, LookupError, AttributeError):
        return False


def _decoded(part: Message) -> str:
    try:
        raw = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return ""
    if not isinstance(raw, bytes):
        return ""
    raw = raw[:_MAX_TEXT]
    charset = str(part.get_param("charset") or "us-ascii").casefold()
    try:
        if not raw.isascii():
            return raw.decode("utf-8")  # whatever is declared: no other text passes as UTF-8
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode(_AS_WRITTEN.get(charset, charset))
    except (LookupError, UnicodeDecodeError, ValueError):
        return _detected(raw)


def _detected(raw: bytes) -> str:
    try:
        return decode_text(raw)
    except ValueError:
        return raw.decode("latin-1")


def _plain(part: Message) -> str:
    text = _decoded(part).replace("\r\n", "\n")
    flowed = str(part.get_param("format") or "").casefold() == "flowed"
    return _unflowed(text, str(part.get_param("delsp") or "").casefold() == "yes") if flowed else text


def _unflowed(text: str, delete_space: bool) -> str:
    """Lines of format=flowed (RFC 3676) joined again: one that ends in a space goes on in the next of its depth."""
    lines: list[str] = []
    depth_before, open_line = 0, False
    for line in text.split("\n"):
        marks = len(line) - len(line.lstrip(">"))
        content = line[marks:].removeprefix(" ") if marks else line.removeprefix(" ")
        signature = content == "-- "
        if open_line and marks == depth_before and not signature:
            lines[-1] = (lines[-1][:-1] if delete_space else lines[-1]) + content
        else:
            lines.append((">" * marks + " " if marks else "") + content)
        open_line, depth_before = content.endswith(" ") and not signature, marks
    return "\n".join(lines)


def _from_html(page: str) -> str:
    """A mail's HTML as text, without what mail programs mark as quoted or as a signature."""
    if not page.strip():
        return ""
    try:
        tree = html.document_fromstring(
            page.encode("utf-8", "replace"), parser=html.HTMLParser(encoding="utf-8")
        )
    except (etree.ParserError, ValueError):
        return ""
    for element in list(tree.iter(etree.Element)):
        if element.getparent() is None:
            continue
        names = {name.removeprefix("x_") for name in (element.get("class") or "").casefold().split()}
        named = (element.get("id") or "").casefold().removeprefix("x_")
        if names & _SIGNATURES:
            element.drop_tree()
        elif names & _QUOTES or named in _QUOTE_IDS or _BORDER.search(element.get("style") or ""):
            mark = html.Element("p")
            mark.text = "-----Original Message-----"
            element.addprevious(mark)
    body = tree.find("body")
    inner = html.tostring(tree if body is None else body, encoding="unicode")
    return "\n\n".join(html_blocks(re.sub(r"</?(?:html|body)\b[^>]*>", "", inner)))
