"""Prose that is on every machine: the long descriptions of the installed Python packages, by who maintains them.

Hundreds of writers nobody has to name. They write of software, in README style, so they stand in for strangers only as
well as benchmarks/voice_validity.py measures.
"""

import re
from email.message import Message
from functools import cache
from importlib.metadata import distributions
from typing import cast

from twin_assets.core.text.content_words import ENGLISH
from twin_assets.evaluation.voice.stylometry import prose

OWN = "llm-twin-platform"
# A paragraph that is prose: so many words, of which so many are function words, and few signs of code.
MIN_WORDS, MIN_FUNCTION_WORDS, MAX_SIGNS = 12, 0.3, 0.1

_CHANGES = re.compile(
    r"^[# \t]*+(?:change ?log|changes|history|release (?:notes|history)|licen[cs]e|news|what.s new[^\n]*+)[ \t]*+$",
    re.IGNORECASE | re.MULTILINE,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DIRECTIVE = re.compile(r"^\.\. [^\n]*+(?:\n[ \t]++\S[^\n]*+|\n[ \t]*+(?=\n[ \t]))*+", re.MULTILINE)
_LITERAL = re.compile(r"::[ \t]*+\n(?:[ \t]*+\n|[ \t]++\S[^\n]*+\n)++")
_ROLE = re.compile(r"(?<![\w:]):(?:\w++:)++`([^`<]*+)(?:<[^>]*+>)?+`")
_REST_LINK = re.compile(r"`([^`<]{0,200}?)\s*<[^<>`]{0,500}>`_+")
_CODE = re.compile(r"``[^`\n]*``|\|[\w -]+\|_?")
_REFERENCE = re.compile(r"\[([^\[\]]*)\]\[[^\[\]]*\]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_SIGN = re.compile(r"[=_{}\[\]<>|\\/@#$]")
_END = re.compile(r"[.!?:][\"')]*$")


@cache
def package_prose() -> dict[str, tuple[str, ...]]:
    """Texts by whoever the packages name as maintainer, in order: the same packages give the same texts. English only.

    A key is all names and addresses given, for the check that a persona is not among them.
    """
    found: dict[str, dict[str, None]] = {}
    for package in distributions():
        about = cast("Message", package.metadata)  # what it is, and importlib's type for it doesn't say
        name = str(about["Name"] or "").lower().replace("_", "-")
        if name and name != OWN and (text := readme_prose(_description(about))):
            found.setdefault(_maintainer(about, name), {})[text] = None
    return {writer: tuple(sorted(texts)) for writer, texts in sorted(found.items())}


def readme_prose(text: str) -> str:
    """The paragraphs of sentences of a README in Markdown or reStructuredText; code, badges, tables and lists of changes
    are left out."""
    text = _CHANGES.split(text, maxsplit=1)[0]
    text = _DIRECTIVE.sub("", _COMMENT.sub(" ", text))
    text = _ROLE.sub(r"\1", _LITERAL.sub(":\n\n", text))
    text = _CODE.sub(" ", _REST_LINK.sub(r"\1", text))
    text = _REFERENCE.sub(r"\1", prose(text))
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n[ \t]*\n", text))
    return "\n\n".join(part for part in paragraphs if _is_prose(part))


def _is_prose(paragraph: str) -> bool:
    words = _WORD.findall(paragraph.lower())
    return (
        len(words) >= MIN_WORDS
        and _END.search(paragraph) is not None
        and not paragraph.startswith((">>>", "$"))
        and sum(word in ENGLISH for word in words) >= MIN_FUNCTION_WORDS * len(words)
        and len(_SIGN.findall(paragraph)) <= MAX_SIGNS * len(words)
    )


def _description(about: Message) -> str:
    """The body of METADATA; a header in old packages, whose lines are indented."""
    return re.sub(
        r"^ {8}", "", str(about.get_payload() or about.get("Description") or ""), flags=re.MULTILINE
    )


def _maintainer(about: Message, name: str) -> str:
    """Who wrote it, as far as it says: names and addresses, or what the package's name begins with."""
    given = (
        str(about.get(field) or "") for field in ("Author", "Author-email", "Maintainer", "Maintainer-email")
    )
    return " ".join(" ".join(given).split())[:300] or name.split("-")[0]
