"""Instruct rows: the answer is always the author's own text, the instruction comes from the document.

Without a teacher titles, headings and key phrases name the topic; with one its lessons do, and its neutral
drafts make rewriting tasks. The passages are what retrieval would find. Messages are made by `core.prompts`,
as the service makes them. Writing that is more closed than the persona learns from makes no row and is in none.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from twin_assets.core.datasets.rows import CLOSED_REASON, DOCUMENTS, InstructRow
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import EmbeddedChunk, Message, Record, SplitDocument
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.feature.instruct.choice import at_most, place_of, places_of
from twin_assets.feature.instruct.near_heldout import texts_near_heldout
from twin_assets.feature.instruct.passages import passages_of
from twin_assets.feature.instruct.refusals import refusal_row, unanswerable_questions
from twin_assets.feature.instruct.row_filters import DroppedRow, RowFilter, sample_dropped
from twin_assets.feature.instruct.shares import OVER_SHARE, within_shares
from twin_assets.feature.instruct.tasks import RowBuilder, make_row
from twin_assets.feature.instruct.teaching.agreement import agreeing_lessons
from twin_assets.feature.instruct.teaching.lessons import Lesson
from twin_assets.feature.instruct.teaching.teacher import TeacherRequest


class RowsResult(Record):
    """Rows in a stable order, counts of what was dropped by reason, and a few dropped rows of each reason.

    Of documents that are too closed (`document_for_connections_only`, `document_private`) no rows are made: they are
    counted themselves.
    """

    rows: list[InstructRow]
    dropped: dict[str, int]
    samples: list[DroppedRow] = []


@dataclass(frozen=True)
class RowSource:
    """A corpus, and what instruct rows are made of it by. Rows are made twice where a model is asked for requests: planned, and
    built with what it says.

    `embed` gives unit vectors of the same embedder as the chunks', shape (texts, dimensions), and `thresholds` are that one's.
    """

    documents: list[SplitDocument]
    chunks: list[EmbeddedChunk]
    persona: Persona
    profile: Profile
    seed: int
    embed: Callable[[list[str]], np.ndarray]
    thresholds: Thresholds = OFFLINE_MINILM

    def plan(self) -> list[InstructRow]:
        """The rows that a dataset will keep, before anybody was asked for requests: in their order of choice, the training
        side first."""
        return self._made({}, ())[0]

    def build(
        self, lessons: Mapping[str, Lesson] | None = None, planned: Sequence[InstructRow] = ()
    ) -> RowsResult:
        """All instruct rows of the corpus; with a teacher's lessons where there are some, by passage key.

        `planned` are the rows of `plan` that the lessons were asked for: where they fit, these stay.
        Raises TwinError when there are too few rows to train on.
        """
        rows, left_out, disagreeing = self._made(lessons or {}, planned)
        dropped = Counter(reason for reason, _ in left_out)
        if disagreeing:
            dropped["teacher_disagrees"] = disagreeing
        closed = [d.visibility for d in self.documents if not self.persona.may_learn(d.visibility)]
        dropped.update(f"document_{CLOSED_REASON[visibility]}" for visibility in closed)
        # Refusals are the same for everybody: they don't make a corpus.
        train = sum(row.split == "train" and row.task != "refuse" for row in rows)
        if train < self.profile.min_train_rows:
            raise TwinError(
                f"The corpus of {self.persona.name!r} gives {train} training rows of its own; profile "
                f"{self.profile.name!r} needs {self.profile.min_train_rows}.",
                "add sources or documents to the persona."
                + (
                    f" {len(closed)} documents are too closed to learn from: see `train_on`."
                    if closed
                    else ""
                ),
            )
        return RowsResult(
            rows=sorted(rows, key=lambda r: r.row_id), dropped=dict(dropped), samples=sample_dropped(left_out)
        )

    def documents_to_read(self, most: int) -> RowsResult:
        """The author's own prose of the training side as it is, for continued pre-training: pieces of a context at most, of
        documents in an order drawn by their ids, as many as fit into so many estimated tokens."""
        rows: list[InstructRow] = []
        dropped: Counter[str] = Counter()
        learnt = [d for d in may_be_learnt(self.documents, self.persona) if d.split == "train"]
        for document in sorted(learnt, key=lambda d: text_hash(d.doc_id)):
            if document.category == "code":
                continue
            for text in passages_of(document.voice_text, self.profile.context_tokens):
                cost = estimated_tokens(text)
                if fault := self._filter.document_fault(text) or ("over_its_tokens" if cost > most else None):
                    dropped[f"document_{fault}"] += 1
                    continue
                most -= cost
                said = [Message(role="assistant", content=text)]
                rows.append(make_row(document.doc_id, DOCUMENTS, "train", said, document.visibility))
        return RowsResult(rows=sorted(rows, key=lambda r: r.row_id), dropped=dict(dropped))

    def _made(
        self, lessons: Mapping[str, Lesson], planned: Sequence[InstructRow]
    ) -> tuple[list[InstructRow], list[tuple[str, InstructRow]], int]:
        """Rows that stay, those that don't with the reason, and how many lessons are not about their passage."""
        persona, profile = self.persona, self.profile
        learnt = may_be_learnt(self.documents, persona)
        shown = [chunk for chunk in self.chunks if persona.may_learn(chunk.visibility)]
        to_teach = passages_to_teach(learnt, profile)
        agreeing = agreeing_lessons(lessons, to_teach, self.embed, self.thresholds)
        questions, answerable = self._questions
        made = [
            *RowBuilder(learnt, shown, persona, profile, self.seed, agreeing).rows(
                self.embed, self.thresholds
            ),
            *(refusal_row(persona, question) for question in questions),
        ]
        passed, left_out = self._filter.apply(made)
        places = places_of(planned)
        shared = within_shares(passed, profile.max_shares, self.seed, lambda row: place_of(row, places))
        rows = at_most(profile.max_train_rows, profile.max_test_rows, shared, places)
        left_out += [(OVER_SHARE, row) for row in _without(passed, shared)]
        left_out += [("over_the_row_limit", row) for row in _without(shared, rows)]
        left_out += [("corpus_may_answer", refusal_row(persona, question)) for question in answerable]
        return rows, left_out, len(lessons) - len(agreeing)

    @cached_property
    def _questions(self) -> tuple[list[str], list[str]]:
        return unanswerable_questions(self.chunks, self.embed, self.thresholds)

    @cached_property
    def _filter(self) -> RowFilter:
        heldout = [d.voice_text for d in self.documents if d.split == "heldout" and d.category != "code"]
        near = texts_near_heldout(self.chunks, self.thresholds)
        return RowFilter(self.persona, self.profile, near, heldout)


def _without(rows: list[InstructRow], staying: list[InstructRow]) -> list[InstructRow]:
    row_ids = {row.row_id for row in staying}
    return [row for row in rows if row.row_id not in row_ids]


def may_be_learnt(documents: list[SplitDocument], persona: Persona) -> list[SplitDocument]:
    """Those that are no more closed than the persona learns from."""
    return [d for d in documents if persona.may_learn(d.visibility)]


def passages_to_teach(documents: list[SplitDocument], profile: Profile) -> list[TeacherRequest]:
    """The passages that a teacher is asked about: those that rows are made of, code aside."""
    return [
        TeacherRequest(title=document.title or document.category, text=passage)
        for document in documents
        if document.category != "code"
        for passage in passages_of(document.voice_text, profile.answer_tokens)
    ]


def passages_of_rows(
    rows: Sequence[InstructRow],
    documents: list[SplitDocument],
    profile: Profile,
    tasks: Collection[str] = (),
) -> list[TeacherRequest]:
    """Of the passages to teach those that these rows answer with, in their order; only of rows of `tasks` where there are
    some."""
    of = {d.doc_id: passages_to_teach([d], profile) for d in documents}
    answered = (
        next((p for p in of.get(row.doc_id, ()) if row.messages[-1].content in p.text), None)
        for row in rows
        if not tasks or row.task in tasks
    )
    return list({p.key: p for p in answered if p}.values())


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
            *before, last = row.messages
            asked, answer = (last, row.chosen) if hasattr(row, "chosen") else (before[-1], last)
            request, answered = asked.content, answer.content
            shown[row.task] = f"**{row.task}**\n\n> {_quote(request)}\n\n{_quote(answered)}"
    return "\n\n---\n\n".join(shown.values())


def _quote(text: str) -> str:
    return text.replace("\n", "\n> ")[:600]
