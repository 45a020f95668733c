"""Preference rows: chosen is the author's verbatim text, rejected the worst of what a model wrote for the same prompt.

Three kinds of pair. `voice`: the model answered the same request. `refusal`: a question that the corpus can't
answer; chosen declines, rejected invents an answer. `grounding`: a question with passages; chosen uses them,
rejected was written without seeing them. Lengths are balanced, so that DPO can't learn length instead.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from twin_assets.core.datasets.rows import CLOSED_REASON, InstructRow, PairKind, PreferenceRow
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.prompts.templates import passages_in, read_back, user_message, without_passages
from twin_assets.core.records import Message, Record
from twin_assets.core.text.content_words import grounded_share
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import WIDE_SENTENCE_END, count_words, first_words, terms
from twin_assets.feature.instruct.shares import OVER_SHARE, within_shares
from twin_assets.feature.preference.worst import worst_of

KIND_OF: dict[str, PairKind] = {
    "write_post": "voice", "write_article": "voice", "write_section": "voice", "summarise_article": "voice",
    "refuse": "refusal", "answer": "grounding",
}  # fmt: skip
MIN_LENGTH_RATIO = 0.5
MIN_WORDS = 8
# Tokens that a model may write for one of the chosen answer: it is then cut at a sentence end near that length.
SPARE_TOKENS = 1.25
# How much more of chosen than of rejected stands in the passages, by `grounded_share`.
MIN_GROUNDING_GAP = 0.1
# The model already does what such a pair would teach, or the persona doesn't learn from what is that closed.
NOTHING_TO_TEACH = ("rejected_declines", "rejected_uses_passages", *CLOSED_REASON.values())
# A kind that was asked for fewer times may come out empty by chance.
MIN_ASKED = 5
_SENTENCE = re.compile(rf".+?(?:[.!?](?=\s|$)|{WIDE_SENTENCE_END}|\n+|$)", re.DOTALL)


class PairPrompt(Record):
    """An instruct row to make a pair of, and what the model is asked for the rejected side of it."""

    kind: PairKind
    row: InstructRow
    conversation: list[Message]

    @property
    def max_tokens(self) -> int:
        """What the model may write, in estimated tokens."""
        return int(SPARE_TOKENS * estimated_tokens(self.row.messages[-1].content))


Candidate = tuple[PairPrompt, str]  # and a text that was written for it
Measure = Callable[[Sequence[Candidate]], np.ndarray]  # shape (candidates, measures), more is worse


class PreferenceResult(Record):
    """Rows in a stable order, and counts of what was dropped by kind and reason, "refusal: lengths_differ". `samples` are
    all texts that could have been rejected, `rejected` those that are, row by row."""

    rows: list[PreferenceRow]
    dropped: dict[str, int]
    samples: list[Candidate] = []
    rejected: list[Candidate] = []


def select_pair_prompts(
    rows: list[InstructRow], limit: int, shares: Mapping[str, float], seed: int
) -> list[PairPrompt]:
    """At most `limit` prompts, by kind in proportion to `shares`, from different documents where possible.

    Voice takes the place of what the corpus has too few of.
    """
    order = sorted((r for r in rows if r.task in KIND_OF), key=lambda r: text_hash(f"{seed}:{r.row_id}"))
    prompts: defaultdict[str, list[PairPrompt]] = defaultdict(list)
    for row in _spread(order):
        if prompt := _prompt(row):
            prompts[prompt.kind].append(prompt)
    whole = sum(shares.values())
    chosen = [
        p for kind in ("refusal", "grounding") for p in prompts[kind][: _part(limit, shares, kind, whole)]
    ]
    return [*chosen, *prompts["voice"][: limit - len(chosen)]]


def build_preference_rows(
    prompts: list[PairPrompt],
    written: Sequence[Sequence[str]],
    persona: Persona,
    shares: Mapping[str, float],
    seed: int,
    measure: Measure | None = None,
) -> PreferenceResult:
    """Pair each prompt's own answer with the worst of the texts that a model wrote for it, in the order of `prompts`.

    Of the texts those stand for election that are near in length and teach what their kind says; `measure` says how bad each
    is, and without it the first is taken.
    """
    fitting: list[Candidate] = []
    dropped = Counter[str]()
    for prompt, texts in zip(prompts, written, strict=True):
        chosen = prompt.row.messages[-1].content
        cut = list(dict.fromkeys(_balanced(text.strip(), count_words(chosen)) for text in texts))
        faults = [_fault(prompt, chosen, text, persona) for text in cut]
        fitting += [(prompt, text) for text, fault in zip(cut, faults, strict=True) if fault is None]
        if None not in faults:
            dropped[f"{prompt.kind}: {faults[0]}"] += 1
    measured = measure(fitting) if measure else np.zeros((len(fitting), 0))
    rows: list[PreferenceRow] = []
    taken: dict[str, Candidate] = {}
    start = 0
    for row_id, group in itertools.groupby(fitting, key=lambda candidate: candidate[0].row.row_id):
        some = list(group)
        prompt, rejected = some[worst_of(measured[start : start + len(some)])]
        start += len(some)
        row = prompt.row
        rows.append(
            PreferenceRow(
                row_id=text_hash(f"{row_id}:{seed}:{rejected}"),
                doc_id=row.doc_id or None,
                task=row.task,
                kind=prompt.kind,
                split=row.split,
                messages=row.messages[:-1],
                chosen=row.messages[-1],
                rejected=Message(role="assistant", content=rejected),
                visibility=row.visibility,
            )
        )
        taken[rows[-1].row_id] = (prompt, rejected)
    balanced = within_shares(rows, shares, seed)
    over = Counter(r.kind for r in rows) - Counter(r.kind for r in balanced)
    dropped.update({f"{kind}: {OVER_SHARE}": n for kind, n in over.items()})
    balanced = sorted(balanced, key=lambda r: r.row_id)
    return PreferenceResult(
        rows=balanced, dropped=dict(dropped), samples=fitting, rejected=[taken[r.row_id] for r in balanced]
    )


def missing_kinds(kinds: Mapping[str, int], dropped: Mapping[str, int]) -> list[str]:
    """Kinds that were asked for and gave no row, though the model has something to learn there."""
    counts = Counter(dict(kinds))
    wanting = Counter[str]()
    for name, count in dropped.items():
        kind, reason = name.split(": ", 1)
        counts[kind] += count
        wanting[kind] += count * (reason not in NOTHING_TO_TEACH)
    return sorted(k for k, n in counts.items() if n >= MIN_ASKED and not kinds.get(k) and wanting[k])


def _spread(rows: list[InstructRow]) -> list[InstructRow]:
    """The first row of each document and task, then the others."""
    first: list[Any] = []
    rest: list[Any] = []
    seen: set[tuple[str, str]] = set()
    for row in rows:
        again = row.doc_id != "" and (row.doc_id, row.task) in seen
        (rest if again else first).append(row)
        seen.add((row.doc_id, row.task))
    return first + rest


def _part(limit: int, shares: Mapping[str, float], kind: str, whole: float) -> int:
    return round(limit * shares.get(kind, 0.0) / whole) if whole else 0


def _prompt(row: InstructRow) -> PairPrompt | None:
    """None for a question without passages: there is nothing to ground an answer in."""
    kind, turns = KIND_OF[row.task], row.messages[:-1]
    if kind == "voice":
        return PairPrompt(kind=kind, row=row, conversation=turns)
    values = read_back("answer", without_passages(turns[-1]))
    if values is None or (kind == "grounding" and not passages_in(turns[-1])):
        return None
    unaided = user_message("unaided", question=values["question"])
    return PairPrompt(kind=kind, row=row, conversation=[*turns[:-1], unaided])


def _fault(prompt: PairPrompt, chosen: str, rejected: str, persona: Persona) -> str | None:
    if not persona.may_learn(prompt.row.visibility):
        return CLOSED_REASON[prompt.row.visibility]
    if count_words(rejected) < MIN_WORDS:
        return "rejected_too_short"
    if count_words(rejected) < MIN_LENGTH_RATIO * count_words(chosen):
        return "lengths_differ"
    if _bare(rejected) == _bare(chosen):
        return "rejected_is_chosen"
    if prompt.kind == "refusal" and declines(rejected, persona):
        return "rejected_declines"
    if prompt.kind == "grounding":
        passages = passages_in(prompt.row.messages[-2])
        if grounded_share(chosen, passages) - grounded_share(rejected, passages) < MIN_GROUNDING_GAP:
            return "rejected_uses_passages"
    return None


def _bare(text: str) -> str:
    return " ".join(terms(text))


def _balanced(text: str, words: int) -> str:
    """`text` cut at the sentence end that is nearest to `words`, and in a sentence where none is near."""
    ends = [m.end() for m in _SENTENCE.finditer(text)]
    best = min(ends, key=lambda end: abs(count_words(text[:end]) - words), default=0)
    cut = text[:best].strip()
    return cut if count_words(cut) <= 1.5 * words else first_words(cut, words)
