"""Requests for the author's passages, written by the profile's own base model: instruction backtranslation.

The author's text is the answer, and a model is asked for the request that leads to it (Li et al., "Self-Alignment with
Instruction Backtranslation", 2023). It sees two examples, since a small model takes a bare task for talk. What it writes is
kept where half of its content words stand in the passage and where it leads back to that rather than to any other by the
embedder (round-trip consistency: Alberti et al., "Synthetic QA Corpora Generation", 2019). No more is asked of it than a
topic and a question.
"""

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from twin_assets.core.hashing import fingerprint
from twin_assets.core.prompts.templates import render
from twin_assets.core.records import Message
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.content_words import content_words
from twin_assets.core.text.words import count_words, first_words
from twin_assets.feature.instruct.teaching.lessons import Lesson, Teaching
from twin_assets.feature.instruct.teaching.teacher import TeacherRequest

Write = Callable[[list[list[Message]], int], list[str]]  # one text a conversation, of at most so many tokens
Embed = Callable[[list[str]], np.ndarray]
Kind = Literal["question", "title"]

PASSAGE_WORDS, ANSWER_TOKENS = 90, 32
QUESTION_WORDS, TITLE_WORDS = range(4, 31), range(2, 15)
# Read on three authors that we didn't choose the words of: of those under it most are about something else.
MIN_SHARED = 0.5
ASKED_AT_ONCE = 32  # and kept: what a stopped run loses, and how often it says how far it is
# Ours: texts that no author's corpus holds, so that what is copied from them never leads back to a passage.
EXAMPLES = (
    {
        "passage": "I rewrote our backup script last week, and the first thing I did was delete it. Nobody had restored "
        "anything from it in two years.",
        "question": "Why did you delete the backup script?",
        "title": "A backup that nobody restores",
    },
    {
        "passage": "Sourdough wants a warm corner and patience. I keep mine on the fridge, fold it every half hour and "
        "never look at the clock.",
        "question": "How do you make your bread rise?",
        "title": "Making bread rise",
    },
)
_REPEATS = re.compile(r"\b(\w+(?:\W+\w+){0,5})(?:\W+\1\b){2}", re.IGNORECASE)
# Words without end, or one that the last token cut.
_CHAINED = re.compile(r"(?:-\w+){5}|-$")
_FROM_ITSELF = re.compile(
    r"\bbetween (?:the |an? )?([\w-]+(?: [\w-]+){0,2}) and (?:the |an? )?\1\b", re.IGNORECASE
)


def backtranslate(
    wanted: Mapping[Kind, list[TeacherRequest]],
    write: Write,
    embed: Embed,
    same: float,
    kept: KeptValues[str],
    model: str,
    say: Callable[[str], None],
) -> Teaching:
    """What the model has that is good of each passage: of those `wanted` by kind, and no others are asked about.

    `embed` gives unit vectors, shape (texts, dimensions). A request under the cosine `same` with its passage is about something
    else. `model` identifies who writes: what it wrote of a passage is in `kept`.
    """
    unique = {p.key: p.text for passages in wanted.values() for p in passages}
    if not unique:
        return Teaching(model=model, lessons={}, dropped={}, asked=0, cached=0)
    places = {key: at for at, key in enumerate(unique)}
    shown = {key: first_words(text, PASSAGE_WORDS) for key, text in unique.items()}
    asked = {
        (kind, key): [*_shots(kind), _asking(kind, shown[key])]
        for kind, passages in wanted.items()
        for key in dict.fromkeys(p.key for p in passages)
    }
    said, fresh = _written(asked, shown, write, kept, model, say)
    about = embed(list(shown.values()))
    dropped: Counter[str] = Counter()
    told: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for kind in wanted:
        field, read = KINDS[kind]
        requests = {key: read(text) for (of, key), text in said.items() if of == kind}
        if not requests:
            continue
        # Rounded, since the last bits differ from one CPU to another.
        near = np.round(embed([request or "-" for request in requests.values()]) @ about.T, 3)
        own = near[np.arange(len(requests)), [places[key] for key in requests]]
        kept_to = np.array([_keeps_to(request, unique[key]) for key, request in requests.items()])
        good = kept_to & (own >= near.max(axis=1)) & (own >= same)
        dropped[f"base_model_{kind}"] = int(len(requests) - good.sum())
        for (key, request), leads_back in zip(requests.items(), good, strict=True):
            if leads_back:
                told[key][field] = request
    lessons = {key: Lesson.model_validate(told[key]) for key in unique if key in told}
    return Teaching(
        model=model, lessons=lessons, dropped=dict(+dropped), asked=fresh, cached=len(asked) - fresh
    )


def _written(
    asked: Mapping[tuple[Kind, str], list[Message]],
    shown: Mapping[str, str],
    write: Write,
    kept: KeptValues[str],
    model: str,
    say: Callable[[str], None],
) -> tuple[dict[tuple[Kind, str], str], int]:
    """What the model says to each conversation, and to how many it was asked now."""
    keys = {
        request: fingerprint([model, ANSWER_TOKENS, [m.model_dump() for m in c]])
        for request, c in asked.items()
    }
    found = kept.find(keys.values())
    said = {request: json.loads(found[key])["said"] for request, key in keys.items() if key in found}
    missing = [request for request in asked if request not in said]
    say(f"{len(missing)} titles and questions to ask the base model for, {len(said)} known")
    start = time.monotonic()
    for first in range(0, len(missing), ASKED_AT_ONCE):
        some = missing[first : first + ASKED_AT_ONCE]
        fresh = dict(zip(some, write([asked[request] for request in some], ANSWER_TOKENS), strict=True))
        # With its passage, by which an erasure finds what was said of a document.
        kept.keep(
            {
                keys[kind, key]: json.dumps({"passage": shown[key], "said": text})
                for (kind, key), text in fresh.items()
            }
        )
        said |= fresh
        say(_progress(first + len(some), len(missing), time.monotonic() - start))
    return {request: said[request] for request in asked}, len(missing)


def _progress(done: int, of: int, seconds: float) -> str:
    left = f", about {seconds / done * (of - done):.0f} s left" if done < of else ""
    return f"the base model wrote {done} of {of} titles and questions in {seconds:.0f} s{left}"


def _shots(kind: Kind) -> list[Message]:
    return [
        message
        for example in EXAMPLES
        for message in (_asking(kind, example["passage"]), Message(role="assistant", content=example[kind]))
    ]


def _asking(kind: Kind, passage: str) -> Message:
    return Message(role="user", content=render(f"teaching/{kind}", passage=passage))


def _question(text: str) -> str:
    """The first line up to its question mark; empty when that is no one question of a fitting length, or asks how a thing differs from itself."""
    line = _first_line(text)
    asked = line[: line.index("?") + 1] if "?" in line else ""
    sound = not any(circle.search(asked) for circle in (_REPEATS, _CHAINED, _FROM_ITSELF))
    return asked if sound and count_words(asked) in QUESTION_WORDS else ""


def _topic(text: str) -> str:
    """A title without its marks, as a topic in a sentence; empty when it is none, was cut off or goes round in circles."""
    line = re.sub(r"^(?:title|topic)\s*:\s*", "", _first_line(text), flags=re.IGNORECASE).rstrip(".!")
    fits = count_words(line) in TITLE_WORDS and not re.search(r"[#<>\[\]`{}|]|https?:|[.!?]\s", line)
    return line if fits and not _REPEATS.search(line) and not _CHAINED.search(line) else ""


def _keeps_to(request: str, passage: str) -> bool:
    """Whether at least MIN_SHARED of its content words stand in the passage; what a small model adds is seldom there."""
    words = set(content_words(request))
    return bool(words) and len(words & set(content_words(passage))) >= MIN_SHARED * len(words)


def _first_line(text: str) -> str:
    return next((line.strip(" \t\"'*“”") for line in text.splitlines() if line.strip()), "")


# What a model is asked for by its prompt file, what it is of a lesson, and how an answer is read.
KINDS: dict[Kind, tuple[Literal["question", "topic"], Callable[[str], str]]] = {
    "question": ("question", _question),
    "title": ("topic", _topic),
}
# The tasks whose request names it.
TASKS: dict[Kind, tuple[str, ...]] = {"question": ("answer",), "title": ("write_post", "write_section")}
