"""Reasons to leave an instruct row out of its dataset."""

import re
from collections.abc import Sequence
from functools import cache

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import passages_in, strip_special_tokens, without_passages
from twin_assets.core.records import Record
from twin_assets.core.text.content_words import grounded_share
from twin_assets.core.text.privacy import ALL_KINDS, kinds_to_mask, mask, scan
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.core.text.words import count_words
from twin_assets.feature.corpus.language import other_language
from twin_assets.feature.corpus.ngrams import HeldoutNgrams, word_ngrams
from twin_assets.feature.instruct.near_heldout import holds_any
from twin_assets.feature.instruct.near_requests import near_requests
from twin_assets.feature.instruct.tasks import FOLLOW_UP, MIN_ANSWER_WORDS, MIN_QUOTED_WORDS

# A draft or an article with more of the answer's own runs of six words would teach copying.
MAX_COPIED, COPIED_RUN = 0.3, 6
# Of an answer, what share of its content words its passages must hold. Measured on two authors: of answers beside
# passages of another document 95% have less than 0.1 to 0.2.
MIN_GROUNDED = 0.15
MAX_QUOTED = 0.5
_FENCE = re.compile(r"^(`{3,}|~{3,})(.*)$", re.MULTILINE)
_CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
# Tasks that carry another text of like content, which must not hold the answer in its words.
_RETELLING = ("rewrite", "summarise_article")
# The start of an answer tells its language.
_LANGUAGE_CHARACTERS = 600
SAMPLES_PER_REASON, SAMPLE_CHARACTERS = 3, 300


class DroppedRow(Record):
    """A row that was left out. Texts are shortened and masked."""

    reason: str
    task: str
    asked: str
    answer: str


class RowFilter:
    """Holds rows against what their persona and profile ask for."""

    def __init__(
        self,
        persona: Persona,
        profile: Profile,
        near_heldout: Sequence[str] = (),
        heldout: Sequence[str] = (),
    ) -> None:
        """`heldout` are the texts that no training row may quote, `near_heldout` those that no answer may hold."""
        self._profile, self._near_heldout = profile, list(near_heldout)
        self._heldout = HeldoutNgrams(list(heldout))
        self._private = kinds_to_mask(persona.mask_personal_data)
        self._other_language = cache(
            lambda text: other_language(text[:_LANGUAGE_CHARACTERS], persona.languages)
        )

    def apply(self, rows: list[InstructRow]) -> tuple[list[InstructRow], list[tuple[str, InstructRow]]]:
        """Rows that stay, and those that don't with the first reason against them."""
        passed: list[InstructRow] = []
        dropped: list[tuple[str, InstructRow]] = []
        seen: set[str] = set()
        for row in rows:
            key = fingerprint([row.messages[-2].content, row.messages[-1].content])
            reason = "duplicate" if key in seen else self.fault(row)
            if reason:
                dropped.append((reason, row))
            else:
                seen.add(key)
                passed.append(row)
        repeated = near_requests(passed)
        dropped += [("near_duplicate_instruction", row) for row in passed if row.row_id in repeated]
        return [row for row in passed if row.row_id not in repeated], dropped

    def document_fault(self, text: str) -> str | None:
        """What is wrong with a text of the training side that is learnt as it is; None for a good one."""
        if strip_special_tokens(text) != text:
            return "holds_chat_marks"
        if scan(text, self._private):
            return "personal_content"
        if count_words(text) < MIN_ANSWER_WORDS:
            return "too_short"
        if cuts_code(text):
            return "cuts_code"
        if quoted_share(text) > MAX_QUOTED:
            return "mostly_quoted"
        if holds_any(text, self._near_heldout):
            return "nearly_heldout"
        if self._heldout.in_any([text]):
            return "holds_heldout_text"
        return "other_language" if self._other_language(text) else None

    def fault(self, row: InstructRow) -> str | None:
        """What is wrong with a row in itself; None for a good one."""
        prompt, answer = row.messages[-2].content, row.messages[-1].content
        request = without_passages(row.messages[-2])
        texts = [message.content for message in row.messages if message.role != "system"]
        if sum(estimated_tokens(m.content) for m in row.messages) > self._profile.context_tokens:
            return "too_long"
        if any(strip_special_tokens(text) != text for text in texts):
            return "holds_chat_marks"
        if any(scan(text, self._private) for text in texts):
            return "personal_content"
        if row.task == "refuse":
            return None
        asks = row.task in ("answer", FOLLOW_UP)
        shown = asks and _bare(answer) in _bare(passages_in(row.messages[-2]))
        if count_words(answer) < (MIN_QUOTED_WORDS if shown else MIN_ANSWER_WORDS):
            return "too_short"
        if row.task != "explain_code":
            if cuts_code(request) or cuts_code(answer):
                return "cuts_code"
            if quoted_share(answer) > MAX_QUOTED:
                return "mostly_quoted"
        # The passages of a question are there to be used; those of other tasks must not hold the answer.
        if answer in (request if asks else prompt):
            return "instruction_holds_answer"
        if asks and grounded_share(answer, passages_in(row.messages[-2])) < MIN_GROUNDED:
            return "passages_lack_the_answer"
        if row.task in _RETELLING and copied_share(request, answer) > MAX_COPIED:
            return "instruction_copies_the_author"
        if row.split == "train" and holds_any(answer, self._near_heldout):
            return "nearly_heldout"
        # A title that a held-out text names may make such a run with the prompt's words.
        if row.split == "train" and self._heldout.in_any(texts):
            return "holds_heldout_text"
        if row.task != "explain_code" and self._other_language(answer):
            return "other_language"
        return None


def _bare(text: str) -> str:
    return " ".join(text.split())


def cuts_code(text: str) -> bool:
    """Whether a block of code begins or ends outside the text, so that what it says of code is no whole Markdown."""
    opened = ""
    for marks, rest in _FENCE.findall(text):
        if not opened:
            opened = marks
        elif marks.startswith(opened) and not rest.strip():
            opened = ""
    return bool(opened)


def quoted_share(text: str) -> float:
    """Share of the words outside code that stand in quotations: others' words, which the author only shows."""
    lines = _CODE.sub("", text).splitlines()
    quoted, own = (
        sum(count_words(line) for line in lines if line.startswith(">") is is_quoted)
        for is_quoted in (True, False)
    )
    return quoted / max(quoted + own, 1)


def copied_share(shown: str, answer: str, n: int = COPIED_RUN) -> float:
    """Share of the answer's word n-grams that stand in what is shown; 0 for a short answer."""
    grams, shown_grams = word_ngrams(answer, n), set(word_ngrams(shown, n))
    return sum(g in shown_grams for g in grams) / len(grams) if grams else 0.0


def sample_dropped(dropped: list[tuple[str, InstructRow]]) -> list[DroppedRow]:
    """A few rows of each reason, so that a person can judge the filters."""
    by_reason: dict[str, list[InstructRow]] = {}
    for reason, row in sorted(dropped, key=lambda d: (d[0], d[1].row_id)):
        by_reason.setdefault(reason, []).append(row)
    return [
        DroppedRow(
            reason=reason,
            task=row.task,
            asked=_begins(without_passages(row.messages[-2])),
            answer=_begins(row.messages[-1].content),
        )
        for reason, rows in by_reason.items()
        for row in rows[:SAMPLES_PER_REASON]
    ]


def _begins(text: str) -> str:
    return mask(text[: 2 * SAMPLE_CHARACTERS], ALL_KINDS)[0][:SAMPLE_CHARACTERS]
