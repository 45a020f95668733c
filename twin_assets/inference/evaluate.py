"""Evaluation on the held-out side: the candidate, its base with prompt and retrieval, production, people.

Every contestant gets the same tasks. Retrieval sees the training side only while voice is measured, so
nobody is handed the real text. The ceiling is the author's own held-out writing, the floor other authors,
each scored by a meter that was not shown them: contestants are strangers to the meter too. No contestant's
text is used to fit it. LLM judges are not used here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from twin_assets.core.persona import Persona
from twin_assets.core.profiles import Profile
from twin_assets.core.prompts import (
    baseline_system_message,
    defuse,
    shown_passages,
    system_message,
    user_message,
)
from twin_assets.core.records import Message, Passage, Record, SplitDocument
from twin_assets.core.tokens import estimated_tokens, first_words
from twin_assets.inference.compare import paired_gain
from twin_assets.inference.copying import CopyCheck, CopyReport
from twin_assets.inference.questions import (
    Question,
    Retrieve,
    read_questions,
    refusal_rate,
    score_retrieval,
)
from twin_assets.inference.stylometry import windows, word_count
from twin_assets.inference.vocabulary import Vocabulary
from twin_assets.inference.voice import VoiceMeter, VoiceScore, summarise, too_little
from twin_assets.inference.write_tasks import WriteTask, write_tasks

__all__ = ["Contest", "Contestant", "EvaluationReport", "Question", "evaluate", "read_questions"]

CANDIDATE, BASELINE = "candidate", "base+prompt+retrieval"
# Tasks at first; more follow, a few at a time, until everybody has written 8 windows.
FIRST_TASKS, MORE_TASKS, MAX_TASKS = 24, 8, 72
ENOUGH_WINDOWS = 8
SHOWN_SAMPLES = 4
REAL_WORDS = 150
# What system text, task and chat marks take of the context.
FIXED_TOKENS = 120
# Fewer impostors can't spare one.
MIN_FOR_LEAVING_OUT = 3

Prompting = Literal["twin", "baseline", "bare"]


@dataclass(frozen=True)
class Contestant:
    """A model and how it is prompted; `generate` writes one text for each conversation."""

    model: str
    generate: Callable[[list[list[Message]]], list[str]]
    prompting: Prompting


class Sample(Record):
    prompt: str
    text: str


class Contest(Record):
    """How one contestant did. `own_voice` is the voice of what is left without copied runs, `unseen_words`
    the share of words that stand in no training text and no other author's."""

    model: str
    voice: VoiceScore
    copying: CopyReport
    samples: list[Sample]
    own_voice: VoiceScore | None = None
    seconds: float = 0.0
    words: int = 0
    unseen_words: float | None = None


class EvaluationReport(Record):
    """Everything the gate and the report page show. Gain is candidate minus base+prompt+retrieval."""

    persona: str
    candidate: str
    profile: str
    contestants: dict[str, Contest]
    ceiling: VoiceScore
    floor: VoiceScore
    real_sample: str
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    hit_rate: float | None
    mrr: float | None
    refusal_rate: float | None
    false_refusal_rate: float | None
    prompts: int
    floor_is: str = ""
    ceiling_copying: CopyReport | None = None
    ceiling_unseen_words: float | None = None
    gain_pairs: int = 0
    questions: int = 0
    seed: int = 0


def evaluate(
    contestants: dict[str, Contestant],
    *,
    heldout: list[SplitDocument],
    train: list[SplitDocument],
    impostors: dict[str, list[str]],
    persona: Persona,
    profile: Profile,
    retrieve: Retrieve,
    questions: list[Question],
    would_refuse: Callable[[str], bool],
    seed: int,
    on_progress: Callable[[str], None],
) -> EvaluationReport:
    """Write, measure and compare; `contestants` are by role, with at least a candidate.

    Raises TwinError when there is too little text to measure a voice.
    """  # fmt: skip
    prose = [d.voice_text for d in train if d.category != "code"]
    real = [d.voice_text for d in heldout if d.category != "code"]
    meter, check = VoiceMeter.fit(prose, impostors), CopyCheck(prose)
    vocabulary = Vocabulary([d.voice_text for d in train] + [t for ts in impostors.values() for t in ts])
    desk = _Desk(train, persona, profile, retrieve, seed)
    tasks, written, seconds = _write_all(contestants, write_tasks(heldout, train), desk, on_progress)
    contests = {}
    for role, contestant in contestants.items():
        texts = written[role]
        contests[role] = Contest(
            model=contestant.model, voice=meter.score(texts, seed), copying=check.report(texts),
            samples=[Sample(prompt=t.topic, text=x) for t, x in zip(tasks, texts, strict=True)][:SHOWN_SAMPLES],
            own_voice=meter.score([check.without_copies(t) for t in texts], seed),
            seconds=seconds[role], words=word_count(texts),
            unseen_words=vocabulary.unseen_share(texts),
        )  # fmt: skip
        on_progress(f"{role}: {_sentence(contests[role])}")
    gain = paired_gain(meter, written[CANDIDATE], written.get(BASELINE, []), seed)
    floor, floor_is = _floor(prose, impostors, seed)
    found = score_retrieval(questions, retrieve)
    return EvaluationReport(
        persona=persona.name, candidate=contestants[CANDIDATE].model, profile=profile.name, contestants=contests,
        ceiling=meter.score(real, seed), floor=floor, floor_is=floor_is, ceiling_copying=check.report(real),
        ceiling_unseen_words=vocabulary.unseen_share(real),
        real_sample=" ".join(real[0].split()[:REAL_WORDS]) if real else "",
        gain=gain.mean, gain_low=gain.low, gain_high=gain.high, gain_pairs=gain.pairs,
        hit_rate=found.hit_rate, mrr=found.mrr, questions=len(questions),
        refusal_rate=refusal_rate([q for q in questions if q.unanswerable], would_refuse),
        false_refusal_rate=refusal_rate([q for q in questions if not q.unanswerable], would_refuse),
        prompts=len(tasks), seed=seed,
    )  # fmt: skip


def _write_all(
    contestants: dict[str, Contestant], tasks: list[WriteTask], desk: "_Desk", on_progress: Callable[[str], None]
) -> tuple[list[WriteTask], dict[str, list[str]], dict[str, float]]:  # fmt: skip
    """Tasks that were set, texts and seconds by role. Everybody writes every task, so that texts pair."""
    written: dict[str, list[str]] = {role: [] for role in contestants}
    seconds = dict.fromkeys(contestants, 0.0)
    done = 0
    while True:
        batch = tasks[done : min(done + (MORE_TASKS if done else FIRST_TASKS), MAX_TASKS)]
        if not batch or min(len(windows(texts)) for texts in written.values()) >= ENOUGH_WINDOWS:
            break
        for role, contestant in contestants.items():
            on_progress(f"{role} ({contestant.model}) writes {len(batch)} texts")
            start = time.monotonic()
            conversations = [
                desk.conversation(task, contestant.prompting, done + n) for n, task in enumerate(batch)
            ]
            written[role] += contestant.generate(conversations)
            seconds[role] += time.monotonic() - start
        done += len(batch)
    return tasks[:done], written, seconds


class _Desk:
    """Sets tasks: the same task in the prompt format of each kind of contestant."""

    def __init__(
        self, train: list[SplitDocument], persona: Persona, profile: Profile, retrieve: Retrieve, seed: int
    ) -> None:
        self._persona, self._profile, self._retrieve, self._seed = persona, profile, retrieve, seed
        self._samples = {
            "write_post": [d.voice_text for d in train if d.category == "post"],
            "write_article": [d.voice_text for d in train if d.category == "article"],
        }

    def conversation(self, task: WriteTask, prompting: Prompting, number: int) -> list[Message]:
        if prompting == "bare":
            return [user_message(task.prompt, topic=task.topic)]
        topic = defuse(task.topic)
        found = self._retrieve(topic, self._profile.passages, {"split": "train"})
        passages = shown_passages(found, self._profile.passage_tokens)
        asked = user_message(task.prompt, passages, topic=topic)
        if prompting == "twin":
            return [system_message(self._persona), asked]
        samples = self._shown_samples(task, passages, number)
        return [baseline_system_message(self._persona, samples), asked]

    def _shown_samples(self, task: WriteTask, passages: list[Passage], number: int) -> list[str]:
        """As much of the author's writing of the same kind as the context holds, others for each task."""
        profile = self._profile
        room = profile.context_tokens - profile.answer_tokens - FIXED_TOKENS
        room -= sum(estimated_tokens(p.text) for p in passages)
        known = self._samples[task.prompt] or [t for texts in self._samples.values() for t in texts]
        random = np.random.default_rng([self._seed, number])
        shown: list[str] = []
        for at in random.permutation(len(known)):
            if room < profile.passage_tokens:
                break
            shown.append(first_words(known[at], room))
            room -= estimated_tokens(shown[-1])
        return shown


def _floor(author: list[str], impostors: dict[str, list[str]], seed: int) -> tuple[VoiceScore, str]:
    """Other authors' score, and how it was taken."""
    usable = {name: texts for name, texts in impostors.items() if windows(texts)}
    if len(usable) < MIN_FOR_LEAVING_OUT:
        shown = {name: texts[::2] for name, texts in usable.items()}
        if not any(windows(texts) for texts in shown.values()):
            return too_little(0), "not measured: too little of other authors to set some aside"
        unseen = [text for texts in usable.values() for text in texts[1::2]]
        score = VoiceMeter.fit(author, shown).score(unseen, seed)
        return score, "texts of the other authors that the meter was not shown"
    margins, verified, words = [], [], 0
    for name, texts in usable.items():
        rest = VoiceMeter.fit(author, {n: t for n, t in usable.items() if n != name})
        margins.append(rest.margins(windows(texts)))
        verified.append(rest.verify(windows(texts)))
        words += word_count(texts)
    score = summarise(np.concatenate(margins), np.concatenate(verified), words, seed)
    return score, "other authors, each scored by a meter that was not shown them"


def _sentence(contest: Contest) -> str:
    margin = "not measured" if contest.voice.margin is None else f"{contest.voice.margin:+.3f}"
    return f"margin {margin}, {contest.copying.copied_share:.0%} copied"
