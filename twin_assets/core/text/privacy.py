"""Personal data and secrets in a text: where they stand, and the text without them.

Secrets (keys, tokens, passwords) are masked always. Personal data (e-mail, phone, IBAN, card, public IP
address) is masked unless the persona says `mask_personal_data: false`: an author's own contact address is no
secret, but a twin that learnt it would hand it out. Addresses that belong to nobody are left as they are:
`user@example.com`, `git@host`, private and documentation IP ranges, public DNS resolvers.
"""

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from twin_assets.core.text import privacy_rules as rules

PERSONAL: dict[str, Callable[[str], rules.Spans]] = {
    "email": rules.emails,
    "iban": rules.ibans,
    "card": rules.cards,
    "ip": rules.addresses,
    "phone": rules.phones,
}
SECRETS: dict[str, Callable[[str], rules.Spans]] = {
    "private_key": rules.key_blocks,
    **{kind: partial(rules.tokens, kind) for kind in rules.TOKEN_KINDS},
    "url_password": rules.url_passwords,
    "assigned_secret": rules.assignments,
}
_RULES = SECRETS | PERSONAL
ALL_KINDS = frozenset(_RULES)
SECRET_KINDS = frozenset(SECRETS)

_PLACEHOLDERS = {
    "email": "[e-mail]",
    "iban": "[IBAN]",
    "card": "[card]",
    "ip": "[IP address]",
    "phone": "[phone]",
}
# Full-width forms read as their ASCII twins, one sign for one, so that offsets hold.
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


class Finding(NamedTuple):
    """What was found: `text[start:end]`. `preview` is fit for a log: two letters and the length."""

    kind: str
    start: int
    end: int
    preview: str


def kinds_to_mask(mask_personal_data: bool) -> frozenset[str]:
    """Secrets always, personal data where the persona wants it."""
    return ALL_KINDS if mask_personal_data else SECRET_KINDS


def scan(text: str, kinds: Collection[str] = ALL_KINDS) -> list[Finding]:
    """Findings of the given kinds in order, none overlapping: of two that do, the more telling rule's stays.

    Rules are asked in a fixed order, secrets first, so that a card number is not also a phone.
    """
    read = text if text.isascii() else text.translate(_WIDE)
    taken: list[tuple[int, int, str]] = []
    for kind, rule in _RULES.items():
        if kind in kinds:
            for start, end in rule(read):
                if all(end <= other[0] or start >= other[1] for other in taken):
                    taken.append((start, end, kind))
    return [Finding(kind, start, end, _preview(text[start:end])) for start, end, kind in sorted(taken)]


def mask(text: str, kinds: Collection[str] = ALL_KINDS) -> tuple[str, Counter[str]]:
    """The text with a placeholder for each finding, and counts by kind. Masking twice changes nothing more."""
    counts: Counter[str] = Counter()
    # What one round takes out may uncover a finding that it overlapped.
    while findings := scan(text, kinds):
        parts: list[str] = []
        at = 0
        for finding in findings:
            parts += [text[at : finding.start], _PLACEHOLDERS.get(finding.kind, "[secret]")]
            at = finding.end
            counts[finding.kind] += 1
        text = "".join([*parts, text[at:]])
    return text, counts


def _preview(finding: str) -> str:
    return f"{finding[:2]}… ({len(finding)} characters)"
