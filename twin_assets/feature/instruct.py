"""Instruct rows: the answer is always the author's own text, the instruction comes from the document.

Without a teacher titles, headings and key phrases name the topic; with one its lessons do, and its neutral
drafts make rewriting tasks. The passages are what retrieval would find. Messages are made by `core.prompts`, as the service makes them.
"""

from collections import Counter
from collections.abc import Mapping

import yaml

from twin_assets.core.datasets import InstructRow
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.persona import Persona
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import render, system_message, user_message
from twin_assets.core.records import EmbeddedChunk, Message, Record, SplitDocument
from twin_assets.core.tokens import estimated_tokens
from twin_assets.feature.instruct_builder import RowBuilder, make_row, passages_of
from twin_assets.feature.near_heldout import holds_any, texts_near_heldout
from twin_assets.feature.shares import within_shares
from twin_assets.feature.split import word_ngrams
from twin_assets.feature.teacher import Lesson, ToTeach
from twin_assets.settings import ROOT

MIN_ANSWER_WORDS = 20
# A draft with more of the author's own runs of six words would teach copying.
MAX_COPIED = 0.3
QUESTIONS = ROOT / "twin_assets" / "feature" / "unanswerable.yaml"


class RowsResult(Record):
    """Rows in a stable order, and counts of what was dropped by reason."""

    rows: list[InstructRow]
    dropped: dict[str, int]


def build_instruct_rows(
    documents: list[SplitDocument],
    chunks: list[EmbeddedChunk],
    persona: Persona,
    profile: Profile,
    seed: int,
    lessons: Mapping[str, Lesson] | None = None,
) -> RowsResult:
    """All instruct rows of a corpus; with a teacher's lessons where there are some, by passage key.

    Raises TwinError when there are too few to train on.
    """
    builder = RowBuilder(documents, chunks, persona, profile, seed, lessons or {})
    near = texts_near_heldout(chunks)
    rows, dropped = [], Counter[str]()
    seen: set[str] = set()
    for row in [*builder.rows(), *refusal_rows(persona, seed)]:
        instruction, answer = row.messages[-2].content, row.messages[-1].content
        reason = None
        if fingerprint([instruction, answer]) in seen:
            reason = "duplicate"
        elif row.task != "refuse" and len(answer.split()) < MIN_ANSWER_WORDS:
            reason = "too_short"
        elif _tokens(row) > profile.context_tokens:
            reason = "too_long"
        elif row.task not in ("answer", "refuse") and answer in instruction:
            reason = "instruction_holds_answer"
        elif row.split == "train" and holds_any(row, near):
            reason = "nearly_heldout"
        elif row.task == "rewrite" and copied_share(instruction, answer) > MAX_COPIED:
            reason = "draft_copies_the_author"
        if reason:
            dropped[reason] += 1
        else:
            seen.add(fingerprint([instruction, answer]))
            rows.append(row)
    rows, over = within_shares(rows, profile.max_shares, seed)
    if over:
        dropped["over_its_tasks_share"] = over
    # Refusals are the same for everybody: they don't make a corpus.
    train = sum(row.split == "train" and row.task != "refuse" for row in rows)
    if train < profile.min_train_rows:
        raise TwinError(
            f"The corpus of {persona.name!r} gives {train} training rows of its own; profile {profile.name!r} needs "
            f"{profile.min_train_rows}.",
            "add sources or documents to the persona.",
        )
    return RowsResult(rows=sorted(rows, key=lambda r: r.row_id), dropped=dict(dropped))


def passages_to_teach(documents: list[SplitDocument], profile: Profile) -> list[ToTeach]:
    """The passages that a teacher is asked about: those that rows are made of, code aside."""
    return [
        ToTeach(title=document.title or document.category, text=passage)
        for document in documents
        if document.category != "code"
        for passage in passages_of(document.voice_text, profile.answer_tokens)
    ]


def copied_share(draft: str, answer: str, n: int = 6) -> float:
    """Share of the answer's word n-grams that stand in the draft; 0 for a short answer."""
    grams, known = word_ngrams(answer, n), set(word_ngrams(draft, n))
    return sum(g in known for g in grams) / len(grams) if grams else 0.0


def refusal_rows(persona: Persona, seed: int) -> list[InstructRow]:
    """Questions that no persona's corpus answers, declined with the served refusal; a few are held out."""
    rows = []
    for question in yaml.safe_load(QUESTIONS.read_text()):
        refusal = render("refusal", looked_for=question["about"])
        messages = [
            system_message(persona),
            user_message("answer", question=question["question"]),
            Message(role="assistant", content=refusal),
        ]
        heldout = int(text_hash(question["question"], 4), 16) % 5 == 0
        rows.append(make_row("", "refuse", "heldout" if heldout else "train", messages))
    return rows


def unverifiable_rows(rows: list[InstructRow], documents: list[SplitDocument]) -> list[str]:
    """Ids of rows whose answer is not, to the letter, part of its document; refusals are templates."""
    texts = {d.doc_id: d.voice_text for d in documents}
    return [
        row.row_id
        for row in rows
        if row.task != "refuse" and row.messages[-1].content not in texts.get(row.doc_id, "")
    ]


def describe_rows(rows: list[InstructRow], n: int) -> str:
    """The first rows of different tasks, as Markdown."""
    shown: dict[str, str] = {}
    for row in rows:
        if row.task not in shown and len(shown) < n:
            asked, answered = row.messages[1].content, getattr(row, "chosen", row.messages[-1]).content
            shown[row.task] = f"**{row.task}**\n\n> {_quote(asked)}\n\n{_quote(answered)}"
    return "\n\n---\n\n".join(shown.values())


def _quote(text: str) -> str:
    return text.replace("\n", "\n> ")[:600]


def _tokens(row: InstructRow) -> int:
    return sum(estimated_tokens(m.content) for m in row.messages)
