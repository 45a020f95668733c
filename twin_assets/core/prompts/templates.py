"""Prompts are files; this module renders them, for training, evaluation and serving alike.

One text path: datasets, evaluation and the service all build their messages here, and record
`prompts_fingerprint()`, so that training-serving skew shows as a different fingerprint. What is only ever
asked for in serving stands in `files/serving`, what only a teacher is asked in `files/teaching`: they have no part in
it, since no twin is trained on them.
"""

import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Message, Passage
from twin_assets.core.text.tokens import first_tokens
from twin_assets.core.text.words import word_spans

FOLDER = Path(__file__).parent / "files"
LOOKED_FOR_WORDS = 12
# "What is the depth of Lake Baikal" asks for "the depth of Lake Baikal".
_OPENINGS = [
    (re.compile(r"^(?:what|who)(?:'s| is| are| was| were) ", re.IGNORECASE), ""),
    (re.compile(r"^(?:please )?(?:explain|describe|tell me about|give me) ", re.IGNORECASE), ""),
    (re.compile(r"^how (?:do|can|should) (?:i|you|we) ", re.IGNORECASE), "how to "),
]
# The one who declines says "my boat" where "your boat" was asked for (Weizenbaum, "ELIZA", 1966).
_OTHER_PERSON = {
    "you": "I",
    "your": "my",
    "yours": "mine",
    "I": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
}
_QUESTION_WORDS = re.compile(
    r"(?:wh(?:at|o|ose|ich|en|ere|y)|how|is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b",
    re.IGNORECASE,
)


@lru_cache
def _template(name: str) -> Template:
    path = FOLDER / f"{name}.md"
    if not path.is_file():
        raise TwinError(f"There is no prompt {name!r}.", f"use one of: {', '.join(prompt_names())}.")
    return Template(path.read_text().strip())


def prompt_names() -> list[str]:
    """Names of all prompt files that training and serving share, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.md"))


def render(name: str, **values: str) -> str:
    """The prompt with its placeholders filled.

    Raises TwinError when a placeholder has no value, or a value no placeholder: a document that
    never reaches its prompt must not pass unseen.
    """
    template = _template(name)
    placeholders, given = set(template.get_identifiers()), set(values)
    if placeholders != given:
        raise TwinError(
            f"Prompt {name!r} has the placeholders {sorted(placeholders)} but was given {sorted(given)}.",
            f"make {name}.md and its caller agree.",
        )
    return template.substitute(values)


@lru_cache
def prompts_fingerprint() -> str:
    """Identity of all prompt files that training and serving share."""
    return fingerprint({name: _template(name).template for name in prompt_names()}, 12)


@lru_cache
def served_prompts_fingerprint() -> str:
    """Identity of all prompt files that a service asks with, those that no twin is trained on too."""
    served = [str(path.relative_to(FOLDER).with_suffix("")) for path in (FOLDER / "serving").rglob("*.md")]
    return fingerprint({name: _template(name).template for name in sorted(served) + prompt_names()}, 12)


def system_message(persona: Persona) -> Message:
    """What a fine-tuned twin is told about itself, in training and in production."""
    return Message(role="system", content=render("system", full_name=persona.full_name, about=persona.about))


def baseline_system_message(persona: Persona, samples: list[str]) -> Message:
    """What an untuned model is told, with writing samples: the baseline a twin must beat."""
    shown = "\n\n".join(samples)
    return Message(
        role="system",
        content=render("baseline_system", full_name=persona.full_name, about=persona.about, samples=shown),
    )


def user_message(prompt: str, passages: list[Passage] | None = None, **values: str) -> Message:
    """The request: prompt `prompt` filled with `values`, after numbered passages if there are any."""
    return request_message(render(prompt, **values), passages or [])


def request_message(task: str, passages: list[Passage], sources: list[Passage] | None = None) -> Message:
    """A rendered task after numbered passages, if any, and after those of others, whose numbers go on."""
    if sources:
        shown = format_passages(sources, len(passages) + 1)
        task = render("serving/sources", sources=shown, task=task)
    if passages:
        task = render("passages", passages=format_passages(passages), task=task)
    return Message(role="user", content=task)


def served_prompt(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    """The text a model is asked with: its own chat template, up to where the answer begins."""
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def without_passages(message: Message) -> str:
    """What a request asks for: its text without the passages that stand before it."""
    values = read_back("passages", message.content)
    return values["task"] if values else message.content


def passages_in(message: Message) -> str:
    """The passages that a request carries, as they stand there; empty for none."""
    values = read_back("passages", message.content)
    return values["passages"] if values else ""


def read_back(name: str, text: str) -> dict[str, str] | None:
    """`render` the other way: the values that fill prompt `name` in `text`; None for another prompt's text."""
    first, *rest = re.split(r"\$(\w+)", _template(name).template)
    names, between = rest[::2], rest[1::2]
    if not text.startswith(first) or not text.endswith(between[-1]):
        return None
    values, at = {}, len(first)
    for value, literal in zip(names, between, strict=True):
        last = value == names[-1]
        end = len(text) - len(literal) if last else text.find(literal, at)
        if end < at:
            return None
        values[value], at = text[at:end], end + len(literal)
    return values


def refusal(persona: Persona, question: str) -> str:
    """How a persona declines a question that its writing can't answer, in its datasets as in the service.

    In one of its own ways, or of those in `refusal.md`; the same question is always declined in the same.
    """
    ways = refusals_of(persona)
    way = ways[int(text_hash(question, 8), 16) % len(ways)]
    return Template(way).substitute(looked_for=looked_for(question))


def refusals_of(persona: Persona) -> list[str]:
    """The persona's ways of declining, with `$looked_for`; the neutral ones when it has none of its own."""
    return persona.refusals or _template("refusal").template.split("\n\n")


def looked_for(question: str) -> str:
    """What a question asks for, as it stands in the middle of a sentence; at most 12 words and "..."."""
    request = question.strip().rstrip("?!.？！。")
    for opening, replacement in _OPENINGS:
        request, changed = opening.subn(replacement, request, count=1)
        if changed:
            break
    spans = word_spans(request)
    left_off = len(spans) > LOOKED_FOR_WORDS
    words = (request[: spans[LOOKED_FOR_WORDS - 1][1]] if left_off else request).split()
    if words and _QUESTION_WORDS.match(words[0]):
        words[0] = words[0].lower()
    words = [_OTHER_PERSON.get(word, word) for word in words]
    return " ".join([*words, "..."] if left_off else words)


def shown_passages(passages: list[Passage], tokens: int) -> list[Passage]:
    """Passages as a prompt carries them: each at most that many tokens long, without chat marks, and with no
    bracketed number that could pass for another passage's."""
    return [
        p.model_copy(update={"text": first_tokens(_unnumbered(strip_special_tokens(p.text)), tokens)})
        for p in passages
    ]


# The marks of the chat templates and tool formats of the families that we serve, in any case.
_MARKS = re.compile(
    r"<\|[^|<>]{0,80}\|>"
    r"|<\s*+(?:/\s*+)?(?:s|think|pad|unk|bos|eos|tool_call|tool_response|tools|start_of_turn|end_of_turn)\s*+>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|THINK|ARGS|CALL_ID|PREFIX|SUFFIX|MIDDLE"
    r"|IMG|IMG_BREAK|IMG_END)\]"
    r"|<</?SYS>>",
    re.IGNORECASE,
)
_MADE_OF = "<>[]"  # what every mark begins and ends with
MARKS_IN_MARKS = 4
# Letters that nobody sees: they hide instructions, or divide a mark until something takes them out. The
# joiners (U+200C, U+200D) stay, since Persian, Hindi and emoji need them.
_UNSEEN = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)


def strip_special_tokens(text: str) -> str:
    """Text without the marks that a chat template gives meaning to: passages and requests are data."""
    text = _UNSEEN.sub("", text)
    for _ in range(MARKS_IN_MARKS):  # taking one out may put another together
        marks = list(_MARKS.finditer(_alike(text)))
        if not marks:
            return text
        ends = [0, *(m.end() for m in marks)]
        text = " ".join(
            text[a:b] for a, b in zip(ends, [*(m.start() for m in marks), len(text)], strict=True)
        )
    # Nobody writes marks in marks in marks, but to have one left over.
    return "".join(
        " " if seen in _MADE_OF else letter for letter, seen in zip(text, _alike(text), strict=True)
    )


def _alike(text: str) -> str:
    """The text, letter for letter, as a tokenizer that normalises sees it (NFKC): full-width, small and mathematical
    letters are the plain ones."""
    return text if text.isascii() else "".join(map(_plain_letter, text))


@lru_cache(maxsize=4096)
def _plain_letter(letter: str) -> str:
    plain = unicodedata.normalize("NFKC", letter)
    return plain if len(plain) == 1 else letter


def format_passages(passages: list[Passage], first: int = 1) -> str:
    """Passages numbered from `first`, the numbers that citations use, each on one line."""
    return "\n".join(f"[{n}] {_one_line(p.text)}" for n, p in enumerate(passages, start=first))


def _unnumbered(text: str) -> str:
    return re.sub(r"\[(\d{1,3})\]", r"(\1)", text)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
