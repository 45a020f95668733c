"""Instruct rows: the answer is always the author's own text, the instruction comes from the document.

Without a teacher titles, headings and key phrases name the topic; with one its lessons do, and its neutral
drafts make rewriting tasks. The passages are what retrieval would find. Messages are made by `core.prompts`, as the service makes them.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import yaml

from twin_assets.core.datasets import InstructRow
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, text_hash
from twin_assets.core.persona import Persona
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import render, shown_passages, system_message, user_message
from twin_assets.core.records import EmbeddedChunk, Message, Passage, Record, SplitDocument
from twin_assets.core.tokens import estimated_tokens
from twin_assets.feature.keyphrases import KeyPhrases
from twin_assets.feature.shares import within_shares
from twin_assets.feature.teacher import Lesson, ToTeach
from twin_assets.settings import ROOT

MIN_ANSWER_WORDS = 20
# A draft with more of the author's own runs of six words would teach copying.
MAX_COPIED = 0.3
# Of the writing tasks, how many carry passages, as every served request does.
SHARE_WITH_PASSAGES = 0.4
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
    builder = _Builder(documents, chunks, persona, profile, seed, lessons or {})
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


def passages_to_teach(
    documents: list[SplitDocument], persona: Persona, profile: Profile, seed: int
) -> list[ToTeach]:
    """The passages that a teacher is asked about: those that rows are made of."""
    return _Builder(documents, [], persona, profile, seed, {}).to_teach()


def copied_share(draft: str, answer: str, n: int = 6) -> float:
    """Share of the answer's word n-grams that stand in the draft; 0 for a short answer."""
    words, had = (re.findall(r"\w+", t.lower()) for t in (answer, draft))
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    known = {tuple(had[i : i + n]) for i in range(len(had) - n + 1)}
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
        rows.append(_row("", "refuse", "heldout" if heldout else "train", messages))
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


def _row(doc_id: str, task: str, split: str, messages: list[Message]) -> InstructRow:
    row_id = fingerprint([doc_id, task, [m.model_dump() for m in messages]])
    return InstructRow.model_validate(
        {"row_id": row_id, "doc_id": doc_id, "task": task, "split": split, "messages": messages}
    )


class _Builder:
    def __init__(
        self,
        documents: list[SplitDocument],
        chunks: list[EmbeddedChunk],
        persona: Persona,
        profile: Profile,
        seed: int,
        lessons: Mapping[str, Lesson],
    ) -> None:
        self.documents, self.persona, self.seed, self.profile = documents, persona, seed, profile
        self.lessons = lessons
        self.phrases = KeyPhrases([d.voice_text for d in documents])
        # Training rows must not quote the held-out side, so passages come from the training side only.
        self.train_chunks = [c for c in chunks if c.split == "train"]
        self.chunks = chunks
        self.vectors = np.array([c.vector for c in self.train_chunks], dtype=np.float32)

    def rows(self) -> Iterator[InstructRow]:
        for document in self.documents:
            if document.category == "code":
                yield from self._code(document)
            elif document.category == "post":
                yield from self._post(document)
            else:
                yield from self._article(document)

    def to_teach(self) -> list[ToTeach]:
        """The passages that rows are made of, code aside."""
        return [
            ToTeach(title=document.title or document.category, text=block)
            for document in self.documents
            if document.category != "code"
            for block in self._blocks(document.voice_text)
        ]

    def _rewrites(self, document: SplitDocument, block: str) -> Iterator[InstructRow]:
        if lesson := self.lessons.get(text_hash(block)):
            yield self._emit(document, "rewrite", block, draft=lesson.draft)

    def _emit(
        self,
        document: SplitDocument,
        prompt: str,
        answer: str,
        passages: list[Passage] | None = None,
        **values: str,
    ) -> InstructRow:
        messages = [
            system_message(self.persona),
            user_message(prompt, passages, **values),
            Message(role="assistant", content=answer),
        ]
        return _row(document.doc_id, prompt, document.split, messages)

    def _post(self, document: SplitDocument) -> Iterator[InstructRow]:
        text = document.voice_text
        for block in self._blocks(text):
            yield from self._rewrites(document, block)
            topics = self._topics(document, block)
            for topic in topics:
                yield self._emit(
                    document, "write_post", block, self._notes(document, block, topic), topic=topic
                )
            if outline := self._outline(block):
                yield self._emit(document, "expand_outline", block, outline=outline)
        yield from self._continuations(document, text)

    def _article(self, document: SplitDocument) -> Iterator[InstructRow]:
        title = document.title or " ".join(self.phrases.top(document.voice_text))
        blocks = self._blocks(document.voice_text)
        for number, block in enumerate(blocks):
            yield from self._rewrites(document, block)
            heading = re.match(r"## (.+)", block)
            topics = [_topic(heading.group(1))] if heading else []
            topics.append(self._topics(document, block)[0])
            for topic in topics:
                notes = self._notes(document, block, topic)
                yield self._emit(document, "write_section", block, notes, topic=topic, title=title)
            if number == 0:
                yield self._emit(document, "write_article", block, topic=_topic(title))
                if estimated_tokens(document.voice_text) <= 2 * self.profile.answer_tokens:
                    yield self._emit(document, "write_post", block, topic=_topic(title))
            if outline := self._outline(block):
                yield self._emit(document, "expand_outline", block, outline=outline)
            yield self._emit(
                document,
                "answer",
                block,
                self._evidence(document, block),
                question=self._question(title, block),
            )
        yield from self._continuations(document, document.voice_text)

    def _code(self, document: SplitDocument) -> Iterator[InstructRow]:
        for block in self._blocks(document.voice_text):
            name = document.title or document.url.rsplit("/", 1)[-1]
            about = ", ".join(self.phrases.top(block, 2))
            yield self._emit(document, "explain_code", block, topic=f"{name}: {about}" if about else name)

    def _blocks(self, text: str) -> list[str]:
        """Slices of the text at paragraph ends, each within the answer budget."""
        blocks: list[tuple[int, int]] = []
        for start, end in _paragraphs(text, self.profile.answer_tokens):
            joined = text[blocks[-1][0] : end] if blocks else ""
            heading = text[start:end].startswith("## ")
            if blocks and not heading and estimated_tokens(joined) <= self.profile.answer_tokens:
                blocks[-1] = (blocks[-1][0], end)
            else:
                blocks.append((start, end))
        return [text[a:b] for a, b in blocks]

    def _continuations(self, document: SplitDocument, text: str) -> Iterator[InstructRow]:
        blocks = self._blocks(text)
        for block in blocks:
            cut = block.find("\n\n", len(block) // 5)
            if cut > 0:
                start, rest = block[:cut], block[cut:].strip()
                yield self._emit(document, "continue", rest, text=start)
        for first, second in itertools.pairwise(blocks):
            ending = first.split("\n\n")[-1]
            if len(ending.split()) >= 12:
                yield self._emit(document, "continue", second, text=ending)

    def _topics(self, document: SplitDocument, block: str) -> list[str]:
        terms = self.phrases.top(block, 4)
        if lesson := self.lessons.get(text_hash(block)):
            return [lesson.topic, " and ".join(terms[:2]) or document.category]
        topics = [" and ".join(terms[:2]), ", ".join(terms[1:4])]
        if document.title and document.category == "post":
            topics.append(_topic(document.title))
        return [t for t in topics if t] or [document.category]

    def _outline(self, block: str) -> str:
        """The teacher's points, or the key phrases of each paragraph."""
        if lesson := self.lessons.get(text_hash(block)):
            return "\n".join(f"- {point}" for point in lesson.outline)
        paragraphs = [
            p for p in block.split("\n\n") if len(p.split()) >= 6 and not p.startswith(("```", "## "))
        ]
        points = [" ".join(self.phrases.top(p, 3)) for p in paragraphs]
        return "\n".join(f"- {p}" for p in points if p) if len(points) >= 3 else ""

    def _question(self, title: str, block: str) -> str:
        if lesson := self.lessons.get(text_hash(block)):
            return lesson.question
        about = " and ".join(self.phrases.top(block, 2))
        return f'What do you say about {about} in "{title}"?'

    def _notes(self, document: SplitDocument, block: str, topic: str) -> list[Passage] | None:
        share = int(text_hash(f"{self.seed}:{document.doc_id}:{topic}", 8), 16) / 16**8
        if share >= SHARE_WITH_PASSAGES:
            return None
        return self._nearest(self._vector_of(document, block), lambda c: c.doc_id != document.doc_id)

    def _evidence(self, document: SplitDocument, block: str) -> list[Passage]:
        """What retrieval would bring: the passage itself and a neighbour of another document."""
        own = [c for c in self.chunks if c.doc_id == document.doc_id and c.text in block][:1]
        others = self._nearest(self._vector_of(document, block), lambda c: c.doc_id != document.doc_id)
        return self._shown(own) + (others or [])[: self.profile.passages - len(own)]

    def _vector_of(self, document: SplitDocument, block: str) -> np.ndarray | None:
        own = [c for c in self.chunks if c.doc_id == document.doc_id and (c.text in block or block in c.text)]
        own = own or [c for c in self.chunks if c.doc_id == document.doc_id]
        return np.array(own[0].vector, dtype=np.float32) if own else None

    def _nearest(
        self, vector: np.ndarray | None, wanted: Callable[[EmbeddedChunk], bool]
    ) -> list[Passage] | None:
        if vector is None or not self.train_chunks:
            return None
        # Rounded, with ties by id: the last bits of a vector differ from one CPU to another, and the
        # same corpus must give the same dataset on both.
        near = np.round(self.vectors @ vector, 2)
        order = sorted(range(len(near)), key=lambda i: (-near[i], self.train_chunks[i].chunk_id))
        found = [self.train_chunks[i] for i in order if wanted(self.train_chunks[i])]
        return self._shown(found[: self.profile.passages]) or None

    def _shown(self, chunks: list[EmbeddedChunk]) -> list[Passage]:
        passages = [Passage.model_validate(c.model_dump() | {"score": 1.0}) for c in chunks]
        return shown_passages(passages, self.profile.passage_tokens)


def _topic(title: str) -> str:
    """A title in the middle of a sentence."""
    title = title.strip().rstrip(".!")
    first = title.split(" ", 1)[0]
    return title if first.isupper() or any(c.isupper() for c in first[1:]) else title[:1].lower() + title[1:]


def _paragraphs(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Spans of paragraphs; one over the budget is split at sentence ends."""
    for match in re.finditer(r"(?:```.*?```|\S(?:(?!\n\s*\n).)*)", text, re.DOTALL):
        start, end = match.span()
        if estimated_tokens(match.group()) <= most:
            yield start, end
            continue
        at = start
        for sentence in re.finditer(r".+?(?:[.!?][\"')\]]*(?=\s|$)|\n|$)", match.group(), re.DOTALL):
            stop = start + sentence.end()
            if estimated_tokens(text[at:stop]) > most * 0.8:
                yield at + len(text[at:stop]) - len(text[at:stop].lstrip()), stop
                at = stop
        if text[at:end].strip():
            yield at + len(text[at:end]) - len(text[at:end].lstrip()), end
