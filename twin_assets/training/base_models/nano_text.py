"""English that the nano base model learns from: CPython's own language reference, as prose and as chat.

It comes with every Python, is nobody's personal voice, and is no part of any persona's corpus or of
the impostors that the voice metric measures against.
"""

import random
import re
from dataclasses import dataclass

from twin_assets.core.records import Message

_UNDERLINE = re.compile(r"(?m)^[*=~^-]{3,}$\n?")
_EMPHASIS = re.compile(r"(\*{1,2})(\w(?:[^*\n]*\w)?)\1(?!\*)")
_HEADED = re.compile(r"(?m)^(?P<title>[A-Z][^\n]{2,70})\n[*=~^-]{3,}$\n")
_MAX_WORDS, _MIN_WORDS = 150, 25

SYSTEMS = [
    "You are a helpful writer. Write in your own voice.",
    "You are a technical writer. You explain programming to beginners. Write in your own voice.",
]
REQUESTS = [
    'Write a section about {topic} for your article "{title}".',
    "Write an article about {topic}.",
    "Explain {topic}.",
]


@dataclass(frozen=True)
class BaseText:
    """`prose` is running text, `chats` conversations that end with the assistant's turn."""

    prose: str
    chats: list[list[Message]]


def base_text(seed: int = 0) -> BaseText:
    """The language reference: about 65,000 words as prose, and nearly all of it again as chats.

    Underlines and emphasis marks are gone; `seed` chooses which request goes with which answer.
    """
    return BaseText(prose="\n\n".join(_clean(body) for _, body in _topics()), chats=_chats(seed))


def _chats(seed: int) -> list[list[Message]]:
    """Conversations made from the reference's sections: a request for a section, and its text."""
    rng = random.Random(seed)
    turns: list[list[Message]] = []
    for title, body in _topics():
        for topic, section in _sections(title, body):
            for answer in _answers(section):
                system, request = rng.choice(SYSTEMS), rng.choice(REQUESTS)
                turns.append(
                    [
                        Message(role="system", content=system),
                        Message(role="user", content=request.format(topic=topic, title=title)),
                        Message(role="assistant", content=answer),
                    ]
                )
    return turns


def _topics() -> list[tuple[str, str]]:
    from pydoc_data.topics import topics

    return [(_title(name, topics[name]), topics[name]) for name in sorted(topics)]


def _title(name: str, body: str) -> str:
    first = body.strip().split("\n", 1)[0].strip()
    return first if first and len(first) < 70 else name


def _clean(text: str) -> str:
    text = _UNDERLINE.sub("", text)
    text = _EMPHASIS.sub(r"\2", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(?m)[ \t]+$", "", text)).strip()


def _sections(title: str, body: str) -> list[tuple[str, str]]:
    """(heading, text) of a topic; the text before the first heading belongs to its title."""
    parts = _HEADED.split(body)
    pairs = [(title, parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    return [(heading.strip(), _clean(text)) for heading, text in pairs if text.strip()]


def _answers(section: str) -> list[str]:
    """Paragraphs joined to answers of 25 to 150 words, reflowed to one line a paragraph."""
    answers: list[str] = []
    held: list[str] = []
    for paragraph in section.split("\n\n"):
        # Indented blocks are grammar and code: they keep their line breaks.
        flowed = paragraph if paragraph.startswith(" ") else " ".join(paragraph.split())
        if held and _words([*held, flowed]) > _MAX_WORDS:
            answers.append("\n\n".join(held))
            held = []
        held.append(flowed)
    answers.append("\n\n".join(held))
    return [a for a in answers if _MIN_WORDS <= len(a.split()) <= _MAX_WORDS]


def _words(paragraphs: list[str]) -> int:
    return sum(len(p.split()) for p in paragraphs)
