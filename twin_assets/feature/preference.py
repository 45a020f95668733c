"""Preference rows: chosen is the author's verbatim text, rejected what a model wrote for the same prompt.

Refusal rows are among them: chosen declines, rejected is the model's invented answer. Lengths are balanced,
so that DPO can't learn length instead of voice.
"""

import re
from collections import Counter

from twin_assets.core.datasets import InstructRow, PreferenceRow
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Message, Record

TASKS = {"write_post", "write_article", "write_section", "answer", "refuse"}
REFUSAL_SHARE = 0.2
MIN_LENGTH_RATIO = 0.5
MIN_WORDS = 8


class PreferenceResult(Record):
    """Rows in a stable order, and counts of what was dropped by reason."""

    rows: list[PreferenceRow]
    dropped: dict[str, int]


def select_preference_prompts(rows: list[InstructRow], limit: int, seed: int) -> list[InstructRow]:
    """At most `limit` rows, one a document and task where possible, a fixed share of them refusals."""
    order = sorted((r for r in rows if r.task in TASKS), key=lambda r: text_hash(f"{seed}:{r.row_id}"))
    refusals = [r for r in order if r.task == "refuse"][: int(limit * REFUSAL_SHARE)]
    first: list[InstructRow] = []
    rest: list[InstructRow] = []
    seen: set[tuple[str, str]] = set()
    for row in order:
        if row.task != "refuse":
            (rest if (row.doc_id, row.task) in seen else first).append(row)
            seen.add((row.doc_id, row.task))
    return [*refusals, *first, *rest][:limit]


def build_preference_rows(prompts: list[InstructRow], rejected: list[str], seed: int) -> PreferenceResult:
    """Pair each prompt's own answer with the text a model wrote for it, in the order of `prompts`."""
    rows, dropped = [], Counter[str]()
    for prompt, text in zip(prompts, rejected, strict=True):
        chosen = prompt.messages[-1].content
        written = _balanced(text.strip(), len(chosen.split()))
        if reason := _fault(chosen, written):
            dropped[reason] += 1
            continue
        rows.append(
            PreferenceRow(
                row_id=text_hash(f"{prompt.row_id}:{seed}:{written}"), doc_id=prompt.doc_id or None,
                task=prompt.task, split=prompt.split, messages=prompt.messages[:-1], chosen=prompt.messages[-1],
                rejected=Message(role="assistant", content=written),
            )
        )  # fmt: skip
    return PreferenceResult(rows=sorted(rows, key=lambda r: r.row_id), dropped=dict(dropped))


def mean_words(rows: list[PreferenceRow]) -> dict[str, float]:
    """Mean words of both sides: far apart, DPO would learn length before voice."""
    if not rows:
        return {}
    chosen, rejected = (
        sum(len(text.split()) for text in texts) / len(rows)
        for texts in ([r.chosen.content for r in rows], [r.rejected.content for r in rows])
    )
    return {"chosen": round(chosen, 1), "rejected": round(rejected, 1)}


def _fault(chosen: str, rejected: str) -> str | None:
    if len(rejected.split()) < MIN_WORDS:
        return "rejected_too_short"
    if len(rejected.split()) < MIN_LENGTH_RATIO * len(chosen.split()):
        return "lengths_differ"
    return "rejected_is_chosen" if _bare(rejected) == _bare(chosen) else None


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _balanced(text: str, words: int) -> str:
    """`text` cut at a sentence end so that it is no longer than `words`, as near as sentences allow."""
    kept = ""
    for sentence in re.findall(r".+?(?:[.!?](?=\s|$)|\n+|$)", text, re.DOTALL):
        if kept and len((kept + sentence).split()) > words:
            break
        kept += sentence
    shortened = kept.strip()
    return shortened if len(shortened.split()) <= 2 * words else " ".join(shortened.split()[:words])
