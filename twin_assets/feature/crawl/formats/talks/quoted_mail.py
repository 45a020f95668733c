"""The part of a mail's text that its sender wrote: quotes, forwarded mail and signatures are taken off.

A mail's text comes in, what is left of it goes out, line by line as written. The kept libraries for this
know few languages or take an answer apart at its first quote; this one goes by the form of a mail (quote
marks, a line with a date and an address above them, blocks of headers) and asks for words only where
form doesn't tell. docs/collection.md has the figures.
"""

import re
from itertools import accumulate

_MAX_ATTRIBUTION_LINES = 6
_MAX_ATTRIBUTION = 400
_MAX_BARE = 6  # words of a line that says who wrote, without address or date
_MAX_SIGNATURE_LINES = 15
_MAX_CLOSING_LINES = 8
_WRAPPED_AT = 60
_NO_QUOTE_DEPTH = 3

_QUOTED = re.compile(r"^\s{0,3}(?:((?:>\s?)+)|\|(?!.*\|\s*$)|[A-Z]{1,3}>)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_HAS_ADDRESS = re.compile(r"(?<![\w.+=%-])[\w.+=%-]+@[\w-]+(?:\.[\w-]+)+")
_HAS_DATE = re.compile(
    r"\b(?:19|20)\d\d\b|(?:19|20)\d\d\s?[年년.]|\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{1,2}[:.h]\d\d\b"
)
_ON = "on|am|le|el|il|in data|em|no dia|op|den|på|ti|pe|w dniu|dnia|dne|dňa|в|vào|pada|στις"
_DAYS = (
    "mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|mié|jeu|jue|ven|vie|sam|sáb|sab|dim|dom|gio|man|tir|"
    "ons|tor|fre|lør|søn|mån|tis|lör|sön|ma|wo|za|zo|seg|ter|qua|qui|sex|pon|wt|śr|czw|pt|ndz|ke|to|su|"
    "пн|вт|ср|чт|пт|сб|вс|нд"
)
_OPENING = re.compile(
    rf"^[\s*_-]{{0,8}}(?:(?:{_ON})(?![^\W\d])|(?:{_DAYS})[.,]|\d{{1,4}}(?![\w@])|在|於|于)", re.IGNORECASE
)
_VERBS = (
    r"wrote|writes|sent|schrieb|geschrieben|a écrit|écrit|escribió|scritto|escreveu|schreef|geschreven|skrev|"
    r"kirjoitti|napisał(?:\(a\)|a)?|pisze|napsal(?:\(a\)|a)?|napísala?|написала?(?:\(а\))?|пишет|писал[аи]?|"
    r"написав|yazdı|a scris|írta|έγραψε|đã viết|menulis|va escriure|je napisala?|כתב[ה]?|كتب"
)
_VERB = re.compile(rf"\b(?:{_VERBS})(?!\w)|写道|寫道|작성|님이|のメッセージ|書きました|เขียน", re.IGNORECASE)
_OWN_VERB = re.compile(
    r"\b(?:I|we|ich|wir|j'ai|nous avons|yo|io ho|eu|ik|jeg|jag|я)\s+(?:had |have )?(?:" + _VERBS + r")(?!\w)",
    re.IGNORECASE,
)
# Some clients say it with a noun, and without a date.
_QUOTING = re.compile(
    r"^(?:quoting|zitat von|zitiere|citando a?|citation de|citerar|citat fra|cytowanie|цитирую|missatge de)\s\S.{0,120}[:)]$",
    re.IGNORECASE,
)
# Marks of direction, which clients put around names and addresses in Hebrew and Arabic.
_DIRECTION = dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_ENDING = re.compile(r"[:：][\s*_-]*$|(?<![-_])[-_]{2,}\s*$")
_BRACKET_VERB = re.compile(
    rf"^>\s?(?:{_VERBS})\s?:$", re.IGNORECASE
)  # "<", the address and ">" on lines of their own
_RULED = re.compile(r"^[-_]{2}.*[-_]{2}$")
_VERB_LAST = re.compile(rf"\b(?:{_VERBS})$", re.IGNORECASE)

_PASSED_ON = (
    r"original message|reply message|message d'origine|message original|ursprüngliche nachricht|antwort nachricht|"
    r"originalnachricht|ursprüngliche mail|mensaje original|mensagem original|messaggio originale|oorspronkelijk bericht|"
    r"origineel bericht|oprindelig (?:meddelelse|besked)|opprinnelig melding|originalmeddelande|"
    r"ursprungligt meddelande|alkuperäinen viesti|wiadomość oryginalna|oryginalna wiadomość|původní zpráva|"
    r"исходное сообщение|оригинальное сообщение|转发的?邮件|原始邮件|原始郵件|元のメッセージ|원본 메[시세]지|"
    r"özgün ileti|orijinal mesaj|eredeti üzenet"
)
_FORWARDED = (
    r"(?:begin )?forwarded message|forwarded by .{1,60}|(?:anfang der )?weitergeleiteten? (?:e-?mail|nachricht)|"
    r"message (?:transféré|réexpédié)|début du message (?:réexpédié|transféré)|(?:inicio del )?mensaje reenviado|"
    r"mensagem (?:encaminhada|reencaminhada)|(?:inizio )?messaggio inoltrato|(?:begin )?doorgestuurd bericht|"
    r"videresendt (?:meddelelse|melding)|vidarebefordrat (?:meddelande|mejl)|välitetty viesti|"
    r"(?:początek )?przekazan[ae]j? wiadomo[śs][ćc]i?|přeposlaná zpráva|пересылаемое сообщение|"
    r"пересланное сообщение|转发邮件信息|転送されたメッセージ|전달된 메[시세]지|yönlendirilen (?:ileti|mesaj)"
)
_PASSED_ON_LINE = re.compile(
    rf"^[\s*]*(?:[-_=‐]{{2,}}\s*(?:{_PASSED_ON}|{_FORWARDED})\b.{{0,80}}|(?:{_FORWARDED})\s?[:：])\s*$",
    re.IGNORECASE,
)
_HEADERS = {
    "from": "from|von|de|da|van|från|fra|od|от|от кого|від|lähettäjä|差出人|发件人|寄件者|보낸 사람|kimden|feladó",
    "date": "sent|date|message du|gesendet|datum|envoyé|enviado|enviado el|enviada|fecha|data|inviato|verzonden|skickat|sendt|"
    "dato|wysłano|wysłane|odesláno|дата|отправлено|надіслано|lähetetty|päivämäärä|送信日時|日時|发送时间|日期|"
    "寄件日期|보낸 날짜|날짜|tarih|gönderildi|dátum|elküldve",
    "to": "to|an|à|para|a|aan|till|til|do|komu|кому|vastaanottaja|宛先|收件人|收件者|받는 사람|kime|címzett",
    "subject": "subject|betreff|objet|sujet|asunto|assunto|oggetto|onderwerp|ämne|emne|temat|předmět|тема|aihe|件名|主题|"
    "主旨|제목|konu|tárgy",
    "cc": "cc|copie à|kopie|kopia|kopi|kopio|копия|копія|抄送|副本|참조|bilgi|reply-to|organization",
}  # fmt: skip
_HEADER = re.compile(
    r"^[\s*_]{0,8}(?:"
    + "|".join(f"(?P<{kind}>{words})" for kind, words in _HEADERS.items())
    + r")[\s*_]{0,4}[:：]",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*[_=\-*]{10,}\s*$")
_DELIMITER = re.compile(r"^\s?(?:--|__|—|––|–)\s*$")
_LIST_FOOTER = re.compile(r"mailing list|@|https?://|unsubscribe|google groups", re.IGNORECASE)
_SENT_FROM = re.compile(
    r"^(?:sent (?:from|via|using|with) |get outlook for |(?:gesendet|versendet) (?:von|mit|über) |von meinem .{2,40} gesendet|"
    r"envoyé (?:de|depuis|à partir) |télécharger outlook |obtenir outlook |enviado (?:desde|do|a partir do|pelo) |"
    r"obtener outlook |obter o outlook |inviato da|(?:verzonden|verstuurd) (?:vanaf|vanuit|met|via) |skickat från |"
    r"hämta outlook |sendt fra |hent outlook |lähetetty .{2,40}|wysłan[eo] (?:z|przy) |odesláno z |отправлено (?:с|из) |"
    r"надіслано з |trimis de pe |iphoneから送信|.{1,20}から送信$|发自我的|從我的.{1,20}傳送|發自我的|나의 .{1,20}에서 보냄|"
    r".{1,30} gönderildi$|στάλθηκε από )",
    re.IGNORECASE,
)
_SENT_WITH = re.compile(r"^sent with (?:\S+ ){1,4}(?:e-?mail|app)\b.{0,20}$", re.IGNORECASE)
# What mail programs put in place of a picture.
_PICTURE = re.compile(
    r"^\s*\[(?:cid|image|inline image|bild|imagen?|immagine)\b[^\[\]]{0,200}\]\s*$", re.IGNORECASE
)
_CLOSING = re.compile(
    r"^(?:(?:best|kind|warm|many|with (?:best|kind|warm)|all the)?\s?(?:regards|wishes|best|thanks|cheers)|thank you|"
    r"thanks (?:again|in advance|a lot|so much|and regards)|sincerely(?: yours)?|yours(?: (?:sincerely|faithfully|truly))?|take care|"
    r"mit freundlichen grü(?:ß|ss)en|(?:viele|beste|liebe|schöne|herzliche) grü(?:ß|ss)e|freundliche grü(?:ß|ss)e|"
    r"gru(?:ß|ss)|lg|vg|mfg|(?:bien )?cordialement|bien à vous|cordialmente|un saludo|saludos(?: cordiales)?|atentamente|"
    r"(?:cordiali|distinti) saluti|saluti|atenciosamente|abraços?|met vriendelijke groet(?:en)?|groet(?:en|jes)?|"
    r"(?:med )?(?:venlig|vennlig|vänlig) ?(?:hilsen|hälsning|hälsningar)|(?:bedste )?hilsen|hälsningar|mvh|dbh|kh|knus|"
    r"ystävällisin terveisin|terveisin|pozdrawiam|z poważaniem|s pozdravem|с уважением|з повагою)\s?[,.!]*$",
    re.IGNORECASE,
)
_SLASH_NAME = re.compile(r"^\s?/\s?[^\W\d_]+(?: [^\W\d_]+)?$")
_DISCLAIMER = re.compile(
    r"^\W*(?:(?:confidentiality|legal|privacy) (?:notice|note|disclaimer)|disclaimer\s?:|"
    r"(?:this|the information in this) (?:e-?mail|message|communication)\b.{0,160}(?:confidential|intended|privileged)|"
    r"diese (?:e-?mail|nachricht)\b.{0,120}(?:vertraulich)|ce (?:message|courriel|mail)\b.{0,120}confidentiel|"
    r"este (?:mensaje|correo|e-?mail)\b.{0,120}confidencial)",
    re.IGNORECASE,
)


def own_part(text: str) -> str:
    """What the sender of a mail wrote themselves, "" when that is nothing.

    Answers between quoted lines stay, in order. Code in fences is not looked into.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "").split("\n")
    fenced = _fenced_lines(lines)
    quoted = _quoted_lines(lines, fenced)
    regions: list[list[str]] = [[]]
    at = 0
    while at < len(lines):
        if quoted[at]:
            regions.append([])
            at += 1
        elif fenced[at]:
            regions[-1].append(lines[at])
            at += 1
        elif _passes_on(lines, at):
            break
        elif lines[at].strip() and (count := _attribution(lines, quoted, at)):
            below = at + count
            while below < len(lines) and not lines[below].strip():
                below += 1
            if below < len(lines) and not quoted[below]:
                break  # a client that doesn't mark what it quotes: the rest is theirs
            regions.append([])
            at = below
        else:
            if not _PICTURE.match(lines[at]):
                regions[-1].append(lines[at])
            at += 1
    parts = (
        "\n".join(line.rstrip() for line in _without_signature(region)).strip("\n") for region in regions
    )
    return "\n\n".join(part for part in parts if part)


def _fenced_lines(lines: list[str]) -> list[bool]:
    """Which lines are code in a closed fence of the sender's own."""
    fences = [at for at, line in enumerate(lines) if _FENCE.match(line)]
    inside = [False] * len(lines)
    for first, last in zip(fences[::2], fences[1::2], strict=False):
        inside[first : last + 1] = [True] * (last + 1 - first)
    return inside


def _quoted_lines(lines: list[str], fenced: list[bool]) -> list[bool]:
    """Which lines bear a quote mark, or are the overflow of one that was wrapped by the way."""
    marks = [_QUOTED.match(line) for line in lines]
    quoted = [mark is not None and not code for mark, code in zip(marks, fenced, strict=True)]
    depths = {(mark[1] or ">").count(">") for mark, now in zip(marks, quoted, strict=True) if mark and now}
    if depths and min(depths) >= _NO_QUOTE_DEPTH:
        return [False] * len(lines)  # ">>> x = 1": an interpreter's prompt, or an ornament
    for at in range(1, len(lines)):
        quoted[at] &= quoted[at - 1] or not _BRACKET_VERB.match(lines[at])
    for at in range(1, len(lines) - 1):
        between = quoted[at - 1] and quoted[at + 1] and not quoted[at]
        text = lines[at].strip()
        if between and text and len(lines[at - 1]) >= _WRAPPED_AT:
            quoted[at] = text[0].islower() or len(text) < _WRAPPED_AT / 2
    return quoted


def _passes_on(lines: list[str], at: int) -> bool:
    """Whether an older or a forwarded mail begins here, unmarked, with its headers or a line that says so."""
    if _PASSED_ON_LINE.match(lines[at]):
        return True
    start = at
    if _RULE.match(lines[at]):
        start += 1
        while start < len(lines) and not lines[start].strip():
            start += 1
    kinds: set[str] = set()
    missed = 0
    block: list[str] = []
    for line in lines[start : start + 12]:
        header = _HEADER.match(line)
        if header and header.lastgroup:
            kinds.add(header.lastgroup)
        elif not kinds or not line.strip() or missed == 2:
            break
        else:
            missed += 1
        block.append(line)
    if len(kinds) < 2 or not kinds & {"from", "date"}:
        return False
    return len(kinds) >= 3 or bool(_HAS_ADDRESS.search("\n".join(block)))


def _attribution(lines: list[str], quoted: list[bool], at: int) -> int:
    """How many lines from here on say who wrote what is quoted below; 0: these are the sender's words."""
    parts: list[str] = []
    for below in range(at, min(at + _MAX_ATTRIBUTION_LINES, len(lines))):
        text = lines[below].translate(_DIRECTION).strip()
        if quoted[below] or not (text or (parts and _OPENING.match(parts[0]) and _HAS_DATE.search(parts[0]))):
            return 0
        parts.append(text)
        marked = next((quoted[i] for i in range(below + 1, len(lines)) if lines[i].strip()), False)
        if sum(map(len, parts)) > _MAX_ATTRIBUTION:
            return 0
        if text and _says_who(parts, marked):
            later = (parts[i:] for i in range(1, len(parts)) if _OPENING.match(parts[i]))
            return 0 if any(_says_who(rest, marked) for rest in later) else len(parts)
    return 0


def _says_who(parts: list[str], marked: bool) -> bool:
    """`marked`: a line with a quote mark comes next, so less is asked of these."""
    if marked and len(parts) == 1 and _QUOTING.match(parts[0]):
        return True
    ends, opens = bool(_ENDING.search(parts[-1])), bool(_OPENING.match(parts[0]))
    if not (ends or opens):
        return False  # nearly every line of a mail
    text = " ".join(part for part in parts if part)
    dated, addressed = bool(_HAS_DATE.search(text)), bool(_HAS_ADDRESS.search(text))
    verb = bool(_VERB.search(text))
    if verb and _OWN_VERB.search(text):
        return False
    if not ends:
        told = (marked and verb) or (addressed and (marked or bool(_VERB_LAST.search(text))))
        return opens and dated and told
    if verb and _RULED.match(text):
        return True
    if len(parts) > 1 and not opens and not _HAS_ADDRESS.search(parts[0]):
        return False
    if (
        marked
        and len(parts) == 1
        and verb
        and (dated or addressed or opens or len(text.split()) <= _MAX_BARE)
    ):
        return True
    return (dated and (addressed or (verb and opens))) or (verb and addressed)


def _without_signature(lines: list[str], again: int = 2) -> list[str]:
    """A run of own lines without the signature, the list's footer or the disclaimer at its end.

    One may stand above another, so what is left is looked at `again` times.
    """
    below = list(accumulate((bool(line.strip()) for line in reversed(lines)), initial=0))
    below.reverse()  # how many lines with words come from each on
    fenced = _fenced_lines(lines)
    for at in range(len(lines)):
        if not fenced[at] and _ends_the_mail(lines, at, below[at + 1]):
            return _without_signature(lines[:at], again - 1) if again else lines[:at]
    return lines


def _ends_the_mail(lines: list[str], at: int, below: int) -> bool:
    """Whether from this line on there is no writing; `below` counts the lines with words after it."""
    line = lines[at].rstrip("\n")
    if line == "-- ":
        return True
    text = line.strip()
    if not text:
        return False
    if _DELIMITER.match(line):
        return below <= _MAX_SIGNATURE_LINES
    if _RULE.match(line):
        return below <= _MAX_SIGNATURE_LINES and (
            not below or bool(_LIST_FOOTER.search("\n".join(lines[at + 1 :])))
        )
    if _DISCLAIMER.match(line):
        return at == 0 or not lines[at - 1].strip()
    if _is_sent_from(text):  # phones put it above what they quote without marks
        return not below or not lines[at + 1].strip()
    if at and _CLOSING.match(text):
        return 0 < below <= _MAX_CLOSING_LINES and _is_card(lines[at + 1 :])
    return bool(at) and not below and bool(_SLASH_NAME.match(line))


def _is_sent_from(text: str) -> bool:
    by_program = bool(_SENT_WITH.match(text))
    return by_program or (bool(_SENT_FROM.match(text)) and len(text.split()) <= 9 and not text.endswith("."))


def _is_card(lines: list[str]) -> bool:
    """Whether lines are a name and how to reach it, not a further sentence."""
    return all(len(line) <= 70 and not re.search(r"[a-zà-ÿ]{2}[.!?]$", line.strip()) for line in lines)
