"""The rules behind `privacy`: for each kind, where in a text it stands. A rule yields (start, end) pairs.

Every rule is gated by a cheap search for letters it can't do without, so that clean text costs next to nothing.
"""

import ipaddress
import math
import re
from collections.abc import Iterator

from stdnum import iban, luhn

Spans = Iterator[tuple[int, int]]

# Addresses that say nothing about a person. `.example` is not here: the demo's people have such addresses.
_NOBODYS_MAIL = re.compile(
    r"^git@|@users\.noreply\.github\.com$|@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|invalid|test|localhost|local)$|"
    r"\.(?:png|jpe?g|gif|svg|webp|js|ts|css|py|md|tar|gz|zip|ya?ml|json|service|git)$",
    re.IGNORECASE,
)
_EMAIL = re.compile(
    r"(?<![\w.%+@-])(?<!//)[^\W_][\w.%+-]{0,63}@(?:[^\W_][\w-]{0,62}\.){1,6}[^\W\d_]{2,24}(?![\w@])"
)

_SEP = r"[ .\-\u2011\u00a0]"
_INTERNATIONAL = rf"\+[1-9]\d{{0,2}}{_SEP}?(?:\(\d{{1,4}}\){_SEP}?)?\d{{1,5}}(?:{_SEP}?\d{{2,5}}){{1,5}}"
_PHONE = re.compile(
    rf"(?<![\w+./=#@:-])(?:{_INTERNATIONAL}"
    # North America: with parentheses, or one sign between all parts (spaces alone are any three numbers).
    rf"|(?:1[-. ])?\([2-9]\d{{2}}\) ?[2-9]\d{{2}}[-. ]\d{{4}}|(?:1([-.]))?[2-9]\d{{2}}([-.])[2-9]\d{{2}}\2\d{{4}}"
    # Europe: a trunk zero and two groups; French and Belgian mobiles in pairs.
    rf"|\(?0[1-9]\d{{1,3}}\)?[ /-]\d{{3,4}}[ -]?\d{{3,4}}|0[67](?:([ .])\d{{2}})(?:\3\d{{2}}){{3}})(?![\w/]|[-.:]\d| \d\d\b)"
)
_PHONE_CUE = re.compile(
    r"\b(?:tele(?:phone|fon)|phone|tel|tél|mobile|cell|fax|whatsapp|signal|sms|call (?:me|us)(?: on| at)?|"
    r"text (?:me|us)(?: on| at)?)(?: number| no)?[.:]{0,2}[ \t\u00a0]{0,3}$",
    re.IGNORECASE,
)
_CUE_REACH = 32
_NUMBER = re.compile(r"\(?[+0-9][0-9 ().\-/\u00a0\u2011]{5,20}[0-9](?![\w.-]?\w)")
_DATE = re.compile(r"(?:19|20)\d\d[-./ ][01]?\d[-./ ][0-3]?\d|[0-3]?\d[-./ ][01]?\d[-./ ](?:19|20)\d\d")
_DIGITS = re.compile(r"\d[\d ().\-/\u00a0\u2011]{4,}\d")

_CARD = re.compile(
    r"(?<![\w./=#+-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5}|\d{14,16})(?![\w/]|[-.]\w| \d)"
)
_LONG_DIGITS = re.compile(r"\d{4}[ -]\d{4}|\d{14}")
_ISSUER = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|3(?:0[0-5]|[68]\d)\d{11}"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_SHORTEST_IBAN = 15

_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\w)")
_FOUR_PARTS = re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d")
_IPV6 = re.compile(
    r"[23][0-9a-fA-F]{3}:(?<![\w:.].{5})(?:[0-9a-fA-F]{1,4}:){0,6}(?::?[0-9a-fA-F]{1,4}){1,5}(?![\w:])"
)
_NETWORK_CUE = re.compile(
    r"(?:\b(?:ip|ips|ipv4|address|host|server|ssh|ping|curl|from)\W{1,4}|//|@)$", re.IGNORECASE
)
_VERSION_CUE = re.compile(
    r"(?:\bv|version\W{0,3}|release\W{0,3}|section\W{0,3}|§ ?|[=<>~^]=?\s?|\w/)$", re.IGNORECASE
)
# Public resolvers, which everyone writes down.
_EVERYBODYS = {
    "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "4.2.2.1", "4.2.2.2", "149.112.112.112",
    "208.67.222.222", "208.67.220.220", "2606:4700:4700::1111", "2606:4700:4700::1001",
    "2001:4860:4860::8888", "2001:4860:4860::8844", "2620:fe::fe",
}  # fmt: skip
_SMALLEST_TELLING_OCTET = 32

_NO_SECRET = re.compile(
    r"example|your|changeme|change_me|placeholder|redacted|dummy|insert|replace|x{4}|\*{3}|\.{3}|…|1234567890|abcdef",
    re.IGNORECASE,
)
_NO_PASSWORD = re.compile(
    r"(?:pass|password|passwd|pwd|pw|secret|token|postgres|root|admin|user|mysql|guest|test|[x*.]+|[$%{<\[].*)",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://([^\s/:@\"'<>]{0,80}:([^\s/@\"'<>]{1,200}))@(?=[\w\[])"
)
_ASSIGNED = re.compile(
    r"[=:](?=>?[ \t]{0,3}(?:[Bb]earer |[Bb]asic )?[\"'`]?([^\s\"'`,;<>()\[\]{}|\\]{8,200}))"
)
_SAYS_SECRET = re.compile(
    r"(?:passw(?:or)?d|passphrase|passwort|pwd|secret|token|api[_-]?key|(?:access|private|auth|encryption|signing|session|"
    r"master|account|storage|secret)[_-]?key)(?:[_-]?(?:key|value|base|string|token|access[_-]?key|\d{1,2}))?"
    r"[\"'`]?[ \t]{0,3}[:=]?$",
    re.IGNORECASE,
)
_NAME_REACH = 48
_BEARER = re.compile(r"(?:[Bb]earer|\bBasic)[ \t]([A-Za-z0-9._~+/-]{20,200}={0,2})")
_NAME = re.compile(
    r"[a-z]+(?:[_-][a-z]*\d{0,2})*|[a-zA-Z]+\d{0,2}|[A-Z]+(?:_[A-Z]*\d{0,2})*|[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)+"
)
_PATH = re.compile(r"[~.]{0,2}/[\w.-]+(?:/[\w.@-]+)*/?|[\w-]+(?:/[\w.-]+)+")
_LEAST_ENTROPY = 3.0
_PATH_ENTROPY = 4.2

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]{40,16000}-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\n|[>\"'+,]){1,8}[A-Za-z0-9+/=:,-]{16,}){1,400})"
)
_KEY_BODY = 40

# Tokens with a form of their own: kind -> (literals one of which must be there, pattern).
_TOKENS: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "aws_key": (("AKIA", "ASIA"), re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")),
    "google_key": (("AIza", "GOCSPX-", "ya29."), re.compile(r"(?<!\w)(?:AIza[\w-]{35}(?![\w-])|GOCSPX-[\w-]{28}|ya29\.[\w-]{40,})")),
    "github_token": (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{40,255})")),
    "gitlab_token": (("glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-"), re.compile(r"(?<![\w-])gl(?:pat|ptt|dt|rt|cbt|soat)-[\w.-]{20,80}")),
    "slack_token": (("xox", "xapp-", "hooks.slack.com"), re.compile(
        r"(?<!\w)(?:xox[abceoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,250})|(?<=hooks\.slack\.com/services/)T\w+/B\w+/\w{16,}")),
    "stripe_key": (("k_live_", "k_test_", "whsec_"), re.compile(r"(?<![A-Za-z0-9])(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9]{24,80})")),
    "openai_key": (("sk-",), re.compile(r"(?<![\w-])sk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z0-9]{16})[\w-]{20,250}")),
    "hf_token": (("hf_",), re.compile(r"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,80}")),
    "service_token": (("npm_", "SG.", "dop_v1_", "shpat_"), re.compile(
        r"(?<!\w)(?:npm_[A-Za-z0-9]{36}|SG\.[\w-]{20,24}\.[\w-]{40,46}|dop_v1_[a-f0-9]{64}|shpat_[a-f0-9]{32})(?!\w)")),
    "jwt": (("eyJ",), re.compile(r"(?<![\w-])eyJ[\w-]{15,4000}\.[\w-]{15,8000}\.[\w-]{10,2000}")),
}  # fmt: skip


def emails(text: str) -> Spans:
    if "@" in text:
        yield from (m.span() for m in _EMAIL.finditer(text) if not _NOBODYS_MAIL.search(m[0]))


def phones(text: str) -> Spans:
    if not _DIGITS.search(text):
        return
    for match in _PHONE.finditer(text):
        digits = sum(c.isdigit() for c in match[0])
        plain = match[0].lstrip("+").isdigit()
        if (10 if plain else 8) <= digits <= 15 and not _DATE.search(match[0]):
            yield match.span()
    for match in _NUMBER.finditer(text):
        if not _PHONE_CUE.search(text[max(0, match.start() - _CUE_REACH) : match.start()]):
            continue
        digits = sum(c.isdigit() for c in match[0])
        version = re.fullmatch(r"\d{1,3}(?:\.\d{1,3})+", match[0])
        if 7 <= digits <= 15 and not version and not _DATE.search(match[0]):
            yield match.span()


def cards(text: str) -> Spans:
    if not _LONG_DIGITS.search(text):
        return
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUER.fullmatch(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
            yield match.span()


def ibans(text: str) -> Spans:
    for match in _IBAN.finditer(text):
        # A word in capitals may follow a number written in groups: the longest beginning that is a number.
        gaps = (
            at for at in range(match.end() - 1, match.start() + _SHORTEST_IBAN - 1, -1) if text[at] == " "
        )
        for end in (match.end(), *gaps):
            if iban.is_valid(text[match.start() : end], check_country=False):
                yield match.start(), end
                break


def addresses(text: str) -> Spans:
    """Public IP addresses; not private ones, networks, well-known resolvers, versions and section numbers."""
    for match in _IPV4.finditer(text) if _FOUR_PARTS.search(text) else ():
        if not _is_public(match[0]):
            continue
        before, after = text[max(0, match.start() - 16) : match.start()], text[match.end() : match.end() + 3]
        network = re.match(r"/\d", after) and match[0].endswith(".0")
        telling = max(int(part) for part in match[0].split(".")) >= _SMALLEST_TELLING_OCTET
        cued = _NETWORK_CUE.search(before) or re.match(r":\d|/\d", after)
        if not network and not _VERSION_CUE.search(before) and (telling or cued):
            yield match.span()
    for match in _IPV6.finditer(text):
        if _is_public(match[0]):
            yield match.span()


def tokens(kind: str, text: str) -> Spans:
    literals, pattern = _TOKENS[kind]
    if any(literal in text for literal in literals):
        yield from (m.span() for m in pattern.finditer(text) if not m[0].endswith("EXAMPLE"))


def key_blocks(text: str) -> Spans:
    if "PRIVATE KEY" not in text:
        return
    for match in _KEY_BLOCK.finditer(text):
        if sum(map(len, re.findall(r"[A-Za-z0-9+/=]{16,}", match[0]))) >= _KEY_BODY:
            yield match.span()


def url_passwords(text: str) -> Spans:
    """The `user:password` of an address."""
    if "://" in text and "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            if not _NO_PASSWORD.fullmatch(match[2]) and not _NO_SECRET.search(match[2]):
                yield match.span(1)


def assignments(text: str) -> Spans:
    """Values given to a name that says secret, when they look drawn by lot."""
    for match in _ASSIGNED.finditer(text):
        named = _SAYS_SECRET.search(text[max(0, match.start() - _NAME_REACH) : match.start()])
        value = match[1].rstrip(".:!?*_")
        if named and _looks_random(value):
            yield match.start(1), match.start(1) + len(value)
    for match in _BEARER.finditer(text) if "earer " in text or "Basic " in text else ():
        if _looks_random(match[1]):
            yield match.span(1)


def _looks_random(value: str) -> bool:
    kinds = [any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit)]
    signs = any(not c.isalnum() for c in value)
    if not kinds[2] or not (kinds[0] or kinds[1]) or len(value) < 8:
        return False
    if _NO_SECRET.search(value) or value[0] in "$%&@#^" or "://" in value or "$" in value[1:3]:
        return False
    if _NAME.fullmatch(value) or _DATE.match(value) or re.match(r"[v~^]?\d+(?:\.\d+)+", value):
        return False
    least = _PATH_ENTROPY if _PATH.fullmatch(value) else _LEAST_ENTROPY
    return (len(value) >= 12 or sum(kinds) + signs >= 3) and _entropy(value) >= min(
        least, math.log2(len(value)) - 0.4
    )


def _entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    counts = [value.count(c) / len(value) for c in set(value)]
    return -sum(p * math.log2(p) for p in counts)


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and str(address) not in _EVERYBODYS


TOKEN_KINDS = tuple(_TOKENS)
