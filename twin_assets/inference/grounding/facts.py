"""Keeps an answer to what its passages say: a quotation in front, sentences checked one by one, each with its citation behind it.

A draft comes in pieces and goes out sentence by sentence. A sentence that states something is held against the passages by
the measure that answers are judged by (`claims`). One that they don't support is left out; where that is most of the draft, it is
written once more, and what is supported of the second follows. Where nothing stays, there is nothing to say.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.embedding.thresholds import Thresholds
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.records import Record
from twin_assets.core.text.words import sentences, terms
from twin_assets.inference.grounding.claims import by_mix, claims_of, leading_marks, without_marks
from twin_assets.inference.grounding.quotations import Quotation, answering_sentences, is_short

Found = TypeVar("Found")

# A second draft has no more tokens than this, keeps closer to the likeliest words, and is not begun later.
RETRY_TOKENS, RETRY_TEMPERATURE, RETRY_SECONDS = 96, 0.3, 30.0
# Of a sentence's words, so many stood in another one: it says the same again.
SAME_WORDS = 0.8


class FactChecks(Record):
    """What became of a draft; holds no text. Of `claims`, sentences that state something, `dropped` were left out, and
    `cited` have a passage's number behind them; `quoted` says that the answer begins with a quotation, `retried` that it was written
    twice, `declined` that nothing stayed. `check_ms` is what the looking took, in milliseconds."""

    claims: int = 0
    dropped: int = 0
    cited: int = 0
    quoted: bool = False
    retried: bool = False
    declined: bool = False
    check_ms: float = 0.0


class FactDesk:
    """Of one embedder: finds quotations, and holds sentences against passages."""

    def __init__(self, embedder: Embedder, thresholds: Thresholds) -> None:
        self._embedder, self._thresholds = embedder, thresholds
        self.measure = by_mix(embedder.embed_kept)

    def quotation(self, question: str, passages: list[str]) -> Quotation | None:
        """The sentence of the passages that answers a short question, None where none is near enough, or it is long."""
        embedder = self._embedder
        found = answering_sentences(question, passages, embedder.embed_kept, embedder.embed_question)
        return found if found and found.near >= self._thresholds.quotable else None

    def supporters(self, claim: str, passages: list[str]) -> tuple[bool, int]:
        """Whether the passages support a sentence, alone or together, and the number of the one that does most."""
        together = [*passages, "\n".join(passages)] if len(passages) > 1 else passages
        support = self.measure([claim], together)[0]
        return bool(support.max() >= self._thresholds.supported), int(np.argmax(support[: len(passages)])) + 1

    def hold(self, question: str, passages: list[str], text: str, options: AnswerOptions) -> str | None:
        """A whole draft as it goes out; None where the question is declined. There is no second draft."""
        if not options.tends_facts or not passages:
            return text
        tended = self.tend(question, passages, options)
        if tended.declines():
            return None
        held = "".join(tended.pieces([text]))
        return None if tended.checks.declined else held

    def tend(self, question: str, passages: list[str], options: AnswerOptions) -> "TendedAnswer":
        """One answer in the making."""
        return TendedAnswer(self, question, passages, options)


@dataclass
class TendedAnswer:
    """One answer: `pieces` gives its text, `checks` says at the end what was done."""

    desk: FactDesk
    question: str
    passages: list[str]
    options: AnswerOptions

    def __post_init__(self) -> None:
        self.checks, self._said = FactChecks(), list[set[str]]()
        self._start, self._begun, self._kept = time.monotonic(), False, 0

    @cached_property
    def quotation(self) -> Quotation | None:
        """The sentence of the passages that answers the question."""
        return self._timed(self.desk.quotation, self.question, self.passages)

    def declines(self) -> bool:
        """Whether nothing need be written: a short question that no sentence of the passages answers."""
        if not self.options.strict or not is_short(self.question) or self.quotation:
            return False
        self._note(declined=True)
        return True

    def pieces(self, draft: Iterable[str], again: Callable[[], Iterable[str]] | None = None) -> Iterator[str]:
        """The answer to a draft, empty pieces where a sentence stayed out. `again` writes another, and is asked at most once;
        without it there is no second."""
        quotation = self.quotation if self.options.quote else None
        if quotation:
            self._note(quoted=True)
            self._said.append(set(terms(quotation.text)))
            yield str(quotation)
        self._begun = bool(quotation)
        yield from self._checked(draft)
        in_time = time.monotonic() - self._start < RETRY_SECONDS
        if again and in_time and not quotation and self.checks.dropped > self._kept:
            self._note(retried=True)
            yield from self._checked(again())
        if not self._begun:
            self._note(declined=True)

    def _checked(self, draft: Iterable[str]) -> Iterator[str]:
        """The sentences that stay, each with the white space before it and its citation behind it."""
        # What states nothing waits for a claim that stays, and is left out with one that doesn't.
        held, dropped = "", False
        for before, sentence in sentences_of(draft):
            if not sentence:
                yield ""
                continue
            gap = (before or " ") if self._begun or held else ""
            if not without_marks(sentence).strip():  # the mark of the sentence before
                held += "" if dropped or self.options.cite else gap + sentence
            elif not claims_of(sentence):
                held += gap + (without_marks(sentence) if self.options.cite else sentence)
            else:
                kept, dropped = self._claim(sentence), False
                if kept is None:
                    held, dropped = "", True
                    yield ""
                    continue
                self._begun = True
                yield held + gap + kept
                held = ""
        uncheckable = not self.checks.claims and not self.checks.quoted
        if held and (self._kept or uncheckable or not self.options.check):
            self._begun = True
            yield held

    def _claim(self, sentence: str) -> str | None:
        """A sentence that states something as it goes out; None where it does not."""
        words = set(terms(without_marks(sentence)))
        supported, number = self._timed(self.desk.supporters, sentence, self.passages)
        repeated = any(len(words & said) >= SAME_WORDS * len(words) for said in self._said)
        drop = bool(self.options.check and (repeated or not supported))
        self._note(claims=self.checks.claims + 1, dropped=self.checks.dropped + drop)
        if drop:
            return None
        self._kept += 1
        self._said.append(words)
        if not self.options.cite:
            return sentence
        self._note(cited=self.checks.cited + supported)
        return without_marks(sentence) + (f" [{number}]" if supported else "")

    def _timed(self, look: Callable[..., Found], *about: object) -> Found:
        start = time.monotonic()
        found = look(*about)
        self._note(check_ms=self.checks.check_ms + (time.monotonic() - start) * 1000)
        return found

    def _note(self, **changes: object) -> None:
        self.checks = self.checks.model_copy(update=changes)


def sentences_of(pieces: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Whole sentences of a text that comes in pieces, each with the white space before it; passage numbers between two are
    by themselves, and empty pieces stay."""
    held = ""
    for piece in pieces:
        if not piece:  # a sign of life
            yield "", ""
            continue
        held += piece
        spans = sentences(held)
        if len(spans) > 1:  # the last one may go on
            yield from _apart(held, spans[:-1])
            held = held[spans[-2][1] :]
    yield from _apart(held, sentences(held))


def _apart(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    before = 0
    for start, end in spans:
        if marks := leading_marks(text[start:end]):
            number = text[start : start + marks].rstrip()
            yield text[before:start], number
            before, start = start + len(number), start + marks
        if start < end:
            yield text[before:start], text[start:end]
        before = end
