"""The rows of an instruct dataset, document by document: which passage answers which request."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM, Thresholds
from twin_assets.core.hashing import fingerprint, hash_share, text_hash
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.talk import carried
from twin_assets.core.prompts.templates import shown_passages, system_message, user_message
from twin_assets.core.records import (
    EmbeddedChunk,
    Exchange,
    Message,
    Passage,
    SplitDocument,
    Visibility,
    most_closed,
)
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import count_words, listed, sentences
from twin_assets.feature.instruct.keyphrases import KeyPhrases
from twin_assets.feature.instruct.passages import passages_of
from twin_assets.feature.instruct.summaries import Embed, find_summaries
from twin_assets.feature.instruct.teaching.lessons import Lesson

# Of the writing tasks, how many carry passages, as every served request does.
SHARE_WITH_PASSAGES = 0.4
MIN_ANSWER_WORDS = 20
MIN_QUOTED_WORDS = 8  # of an answer that its passages show whole
# Fewer points are no outline, more are none that anybody would write; shorter paragraphs make no point.
MIN_POINTS, MAX_POINTS, MIN_POINT_WORDS = 3, 6, 12


# How a reader of the persona's language asks about key phrases; English where there is no other.
_QUESTIONS = {
    "en": 'What do you say about {about} in "{title}"?',
    "ja": "「{title}」では{about}についてどう書いていますか？",
    "zh": "你在《{title}》中怎么写{about}？",
    "th": "คุณเขียนเกี่ยวกับ {about} ไว้อย่างไรใน “{title}”",
}  # fmt: skip


# How a talk goes on about other key phrases of the same text, without naming it again.
_FOLLOW_UPS = {
    "en": "And what about {about}?",
    "ja": "では、{about}については？",
    "zh": "那{about}呢？",
    "th": "แล้วเรื่อง {about} ล่ะ",
}  # fmt: skip
FOLLOW_UP = "follow_up"
# Of a document, so many questions before one are its talk.
TALK_EXCHANGES = 3
ALONE = 3  # turns of a row without a talk: the system's, the request, the answer


class _Asked(NamedTuple):
    """A question with its answer, what is shown beside it, and how it is asked later in a talk."""

    question: str
    answer: str
    evidence: list[Passage]
    later: str


def make_row(
    doc_id: str, task: str, split: str, messages: list[Message], visibility: Visibility = "public"
) -> InstructRow:
    row_id = fingerprint([doc_id, task, [m.model_dump() for m in messages]])
    return InstructRow.model_validate(
        {
            "row_id": row_id,
            "doc_id": doc_id,
            "task": task,
            "split": split,
            "messages": messages,
            "visibility": visibility,
        }
    )


class RowBuilder:
    """Makes the rows of a corpus, document by document; filters are applied to them later."""

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
        self.chunks_of: defaultdict[str, list[EmbeddedChunk]] = defaultdict(list)
        for chunk in chunks:
            self.chunks_of[chunk.doc_id].append(chunk)
        self.train_chunks.sort(key=lambda c: c.chunk_id)
        self.vectors = np.array([c.vector for c in self.train_chunks], dtype=np.float32)
        self.train_doc_ids = np.array([c.doc_id for c in self.train_chunks])

    def rows(self, embed: Embed, thresholds: Thresholds = OFFLINE_MINILM) -> Iterator[InstructRow]:
        for document in self.documents:
            if document.category == "code":
                yield from self._code(document)
            elif document.category == "post":
                yield from self._post(document)
            else:
                yield from self._article(document)
            yield from self._exchanges(document)
        yield from self._summaries(embed, thresholds)

    def _summaries(self, embed: Embed, thresholds: Thresholds) -> Iterator[InstructRow]:
        fixed = [system_message(self.persona), user_message("summarise_article", article="")]
        token_budget = self.profile.context_tokens - sum(estimated_tokens(m.content) for m in fixed)
        for summary in find_summaries(
            self.documents, self.chunks, embed, token_budget, self.profile.answer_tokens, thresholds
        ):
            yield self._emit(summary.document, "summarise_article", summary.answer, article=summary.article)

    def _rewrites(self, document: SplitDocument, block: str) -> Iterator[InstructRow]:
        if (lesson := self._lesson(block)).draft:
            yield self._emit(document, "rewrite", block, draft=lesson.draft)

    def _emit(
        self,
        document: SplitDocument,
        prompt: str,
        answer: str,
        passages: list[Passage] | None = None,
        before: Sequence[Exchange] = (),
        **values: str,
    ) -> InstructRow:
        request = user_message(prompt, passages, **values)
        messages = [
            system_message(self.persona),
            *carried(before, self.profile, request),
            request,
            Message(role="assistant", content=answer),
        ]
        closed = most_closed([document.visibility, *(p.visibility for p in passages or [])])
        task = FOLLOW_UP if before else prompt
        return make_row(document.doc_id, task, document.split, messages, closed)

    def _post(self, document: SplitDocument) -> Iterator[InstructRow]:
        text = document.voice_text
        for block in self._passages(text):
            yield from self._rewrites(document, block)
            topics = self._topics(document, block)
            for topic in topics:
                yield self._emit(
                    document, "write_post", block, self._notes(document, block, topic), topic=topic
                )
            if outline := self._outline(block):
                yield self._emit(document, "expand_outline", block, outline=outline)
            # A post has no title that a rule could ask by.
            if self._lesson(block).question and (asked := self._asked(document, block, document.title or "")):
                yield self._answer(document, asked)
        yield from self._continuations(document, text)

    def _asked(self, document: SplitDocument, block: str, title: str) -> _Asked | None:
        """A question that is answered in the author's own sentences from the passage that is shown: who learns to say more
        than that learns to invent. The whole passage where too little of it is shown."""
        evidence = self._evidence(document, block)
        answer = _shown_part(document, block, evidence) or block
        if question := self._question(title, block, answer):
            return _Asked(question, answer, evidence, self._later(block, answer) or question)
        return None

    def _answer(self, document: SplitDocument, asked: _Asked, before: Sequence[Exchange] = ()) -> InstructRow:
        question = asked.later if before else asked.question
        return self._emit(document, "answer", asked.answer, asked.evidence, before, question=question)

    def _talk(self, document: SplitDocument, asked: Sequence[_Asked]) -> Iterator[InstructRow]:
        """A document's questions one after the other, as a reader who goes on asking puts them: the same answers."""
        said = [
            Exchange(asked=one.later if at else one.question, answered=one.answer)
            for at, one in enumerate(asked)
        ]
        for at in range(1, len(asked)):
            before = said[max(at - TALK_EXCHANGES, 0) : at]
            row = self._answer(document, asked[at], before)
            if len(row.messages) > ALONE and asked[at].answer not in {one.answered for one in before}:
                yield row  # one that has no room for the turns before it would ask about nothing

    def _article(self, document: SplitDocument) -> Iterator[InstructRow]:
        title = document.title or listed(self.phrases.top(document.voice_text, 2)) or document.category
        blocks = self._passages(document.voice_text)
        talk: list[_Asked] = []
        for number, block in enumerate(blocks):
            yield from self._rewrites(document, block)
            heading = re.match(r"## (.+)", block)
            topics = [_topic(heading.group(1))] if heading else []
            if (
                not topics or self._lesson(block).topic
            ):  # the author's own words for it are better than rare ones
                topics += self._topics(document, block)[:1]
            for topic in topics:
                notes = self._notes(document, block, topic)
                yield self._emit(document, "write_section", block, notes, topic=topic, title=title)
            if number == 0:
                yield self._emit(document, "write_article", block, topic=_topic(title))
                if estimated_tokens(document.voice_text) <= 2 * self.profile.answer_tokens:
                    yield self._emit(document, "write_post", block, topic=_topic(title))
            if outline := self._outline(block):
                yield self._emit(document, "expand_outline", block, outline=outline)
            if asked := self._asked(document, block, title):
                talk.append(asked)
                yield self._answer(document, asked)
        yield from self._talk(document, talk)
        yield from self._continuations(document, document.voice_text)

    def _code(self, document: SplitDocument) -> Iterator[InstructRow]:
        for block in self._passages(document.voice_text):
            name = document.title or document.url.rsplit("/", 1)[-1]
            about = ", ".join(self.phrases.top(block, 2))
            yield self._emit(document, "explain_code", block, topic=f"{name}: {about}" if about else name)

    def _exchanges(self, document: SplitDocument) -> Iterator[InstructRow]:
        """Questions of others in a talk, with the persona's own answer: what the length that profiles ask for lets stay.
        Each alone, and after those before it."""
        talk = [
            _Asked(one.asked, block, self._evidence(document, block), one.asked)
            for one in document.exchanges
            for block in self._passages(one.answered)[:1]
        ]
        yield from (self._answer(document, asked) for asked in talk)
        yield from self._talk(document, talk)

    def _lesson(self, block: str) -> Lesson:
        return self.lessons.get(text_hash(block), Lesson())

    def _passages(self, text: str) -> list[str]:
        return passages_of(text, self.profile.answer_tokens)

    def _continuations(self, document: SplitDocument, text: str) -> Iterator[InstructRow]:
        blocks = self._passages(text)
        for block in blocks:
            cut = block.find("\n\n", len(block) // 5)
            if cut > 0:
                start, rest = block[:cut], block[cut:].strip()
                yield self._emit(document, "continue", rest, text=start)
        for first, second in itertools.pairwise(blocks):
            ending = first.split("\n\n")[-1]
            if count_words(ending) >= 12:
                yield self._emit(document, "continue", second, text=ending)

    def _topics(self, document: SplitDocument, block: str) -> list[str]:
        """What a model says that the block is about, else key phrases; of a post its title too."""
        terms = self.phrases.top(block, 4)
        topic = self._lesson(block).topic
        topics = [_topic(topic)] if topic else [listed(terms[:2]), ", ".join(terms[1:4])]
        if document.title and document.category == "post":
            topics.append(_topic(document.title))
        return [t for t in topics if t]

    def _outline(self, block: str) -> str:
        """The teacher's points, or the key phrases of paragraphs all over the passage; empty for too few."""
        if outline := self._lesson(block).outline:
            return "\n".join(f"- {point}" for point in outline)
        paragraphs = [
            p
            for p in block.split("\n\n")
            if count_words(p) >= MIN_POINT_WORDS and not p.startswith(("```", "## "))
        ]
        points: list[str] = []
        for paragraph in paragraphs:
            told = " ".join(points)
            fresh = [phrase for phrase in self.phrases.top(paragraph, 4) if phrase not in told]
            points += [listed(fresh[:2])] if fresh else []
        if len(points) < MIN_POINTS:
            return ""
        most = min(len(points), MAX_POINTS)
        return "\n".join(f"- {points[n * len(points) // most]}" for n in range(most))

    def _question(self, title: str, block: str, answer: str) -> str:
        """The teacher's question about the block, or one about the answer's key phrases; empty for one without any."""
        if question := self._lesson(block).question:
            return question
        return self._ask(_QUESTIONS, answer, title=title)

    def _later(self, block: str, answer: str) -> str:
        """The same in the middle of a talk about the document; empty where there is nothing to name."""
        return "" if self._lesson(block).question else self._ask(_FOLLOW_UPS, answer)

    def _ask(self, ways: Mapping[str, str], answer: str, **values: str) -> str:
        about = listed(self.phrases.top(answer, 2))
        ask = ways.get(self.persona.first_language, ways["en"])
        return ask.format(about=about, **values) if about else ""

    def _notes(self, document: SplitDocument, block: str, topic: str) -> list[Passage] | None:
        if hash_share(f"{self.seed}:{document.doc_id}:{topic}") >= SHARE_WITH_PASSAGES:
            return None
        return self._nearest_elsewhere(document, block)

    def _evidence(self, document: SplitDocument, block: str) -> list[Passage]:
        """What retrieval would bring: of the chunk that the passage is from what they share, as served passages are shortened
        to what was asked for, and a neighbour of another document."""
        own = self._chunk_of(document, block)
        others = self._nearest_elsewhere(document, block)
        start = document.voice_text.find(block)
        shared = slice(max(own.start, start), min(own.end, start + len(block))) if own else slice(0)
        text = document.voice_text[shared].strip()
        mine = self._shown([own.model_copy(update={"text": text})] if own and text else [])
        return mine + (others or [])[: self.profile.passages - len(mine)]

    def _chunk_of(self, document: SplitDocument, block: str) -> EmbeddedChunk | None:
        """The document's chunk that holds most of the passage; the first of several."""
        start = document.voice_text.find(block)
        end = start + len(block)
        own = self.chunks_of.get(document.doc_id, [])
        return max(own, key=lambda c: (min(c.end, end) - max(c.start, start), -c.start), default=None)

    def _nearest_elsewhere(self, document: SplitDocument, block: str) -> list[Passage] | None:
        """The training passages of other documents that are nearest to this one's chunk."""
        chunk = self._chunk_of(document, block)
        if chunk is None or not self.train_chunks:
            return None
        # Rounded, with ties by id: the last bits of a vector differ from one CPU to another, and the
        # same corpus must give the same dataset on both.
        near = np.round(self.vectors @ np.array(chunk.vector, dtype=np.float32), 2)
        near[self.train_doc_ids == document.doc_id] = -np.inf
        order = np.argsort(-near, kind="stable")[: self.profile.passages]
        return self._shown([self.train_chunks[i] for i in order if np.isfinite(near[i])]) or None

    def _shown(self, chunks: list[EmbeddedChunk]) -> list[Passage]:
        passages = [Passage.model_validate(c.model_dump() | {"score": 1.0}) for c in chunks]
        return shown_passages(passages, self.profile.passage_tokens)


def _shown_part(document: SplitDocument, block: str, evidence: list[Passage]) -> str:
    """The longest run of whole sentences of the block that stands in a passage of its document; empty for a few words."""
    shown = " ".join(" ".join(p.text.split()) for p in evidence if p.doc_id == document.doc_id)
    spans = [(start, end) for start, end in sentences(block) if not block.startswith("## ", start)]
    best, first = (0, 0), 0
    for at in range(len(spans)):
        while first <= at and " ".join(block[spans[first][0] : spans[at][1]].split()) not in shown:
            first += 1
        if first <= at:
            best = max(best, (spans[first][0], spans[at][1]), key=lambda part: part[1] - part[0])
    part = block[slice(*best)]
    return part if count_words(part) >= MIN_QUOTED_WORDS else ""


def _topic(title: str) -> str:
    """A title in the middle of a sentence: "backups and why", but "Two Objects not Namespaced" as it is."""
    title = title.strip().rstrip(".!")
    first, *rest = title.split(" ")
    named = any(c.isupper() for c in first[1:]) or first == "I" or any(word[:1].isupper() for word in rest)
    return title if named else title[:1].lower() + title[1:]
