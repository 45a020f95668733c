"""Evaluation on the held-out side: the candidate, the rungs below it on its base model, production, people.

Every contestant gets the same tasks and questions. Retrieval sees the training side only while voice is measured, so
nobody is handed the real text. The ceiling is the author's own held-out writing, the floor other authors, each scored
by a meter that was not shown them: contestants are strangers to the meter too. No contestant's text is used to fit
it. An LLM judge, where there is one, is asked beside all this and changes none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twin_assets.core.embedding.embedder import Embed, remembering
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Record, SplitDocument, Visibility, most_closed
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.contest.ability import Ability, compare_ability
from twin_assets.evaluation.contest.effort import Effort, effort
from twin_assets.evaluation.contest.judge import Judge, Pair, Verdicts
from twin_assets.evaluation.contest.write import Contestant, ContestWriter, Written, write_all
from twin_assets.evaluation.grounding.qa_eval import Exam, ExamItem, exam_items, heldout_questions, mark_exam
from twin_assets.evaluation.grounding.questions import (
    Question,
    Retrieve,
    read_questions,
    refusal_rate,
    score_retrieval,
)
from twin_assets.evaluation.grounding.safety import Safety, check_safety
from twin_assets.evaluation.voice.compare import paired_gain
from twin_assets.evaluation.voice.copying import CopyCheck, CopyReport
from twin_assets.evaluation.voice.floor import floor_score
from twin_assets.evaluation.voice.meter import VoiceMeter, VoiceScore
from twin_assets.evaluation.voice.stylometry import word_count
from twin_assets.evaluation.voice.vocabulary import Vocabulary
from twin_assets.evaluation.write_tasks import WriteTask, write_tasks
from twin_assets.inference.twin.answer import Plan

__all__ = [
    "Contest",
    "Contestant",
    "EvaluationReport",
    "Instruments",
    "Question",
    "evaluate",
    "read_questions",
]

CANDIDATE, BASELINE, PROMPTED, PRODUCTION = "candidate", "base+prompt+retrieval", "base+prompt", "production"
SHOWN_SAMPLES = 4
REAL_WORDS = 150


@dataclass(frozen=True)
class Instruments:
    """What an evaluation measures with. `plan` is the service's `Twin.plan_answer`; `right_answers` gives each item
    of the ability test 1 or 0 for a model version; without it, or a judge, that part is left out. A claim counts
    from `supported` on with this `embed`."""

    retrieve: Retrieve
    plan: Callable[[str], Plan]
    embed: Embed
    right_answers: Callable[[str], np.ndarray] | None = None
    judge: Judge | None = None
    supported: float = OFFLINE_MINILM.supported

    def would_refuse(self, question: str) -> bool:
        """Whether the service's own gate declines, before any model is asked."""
        return self.plan(question).refusal is not None


class Sample(Record):
    """A text by a contestant; `passages` is what it was shown, `real` what the author wrote on the topic."""

    prompt: str
    text: str
    passages: list[str] = []
    real: str = ""


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
    exam: Exam | None = None
    safety: Safety | None = None
    effort: Effort | None = None


class EvaluationReport(Record):
    """Everything the gate and the report page show. Gain is candidate minus base+prompt+retrieval.

    `refusal_rate` and `false_refusal_rate` are of the service's gate in front of the model, which declines what
    retrieval finds nothing for; what the models themselves decline is in their exams.
    """

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
    visibility: Visibility = "public"
    learnt_from: dict[str, int] = {}
    heldout_questions: int = 0
    heldout_hit_rate: float | None = None
    heldout_mrr: float | None = None
    ability: Ability | None = None
    verdicts: list[Verdicts] = []


def evaluate(
    contestants: dict[str, Contestant],
    *,
    heldout: list[SplitDocument],
    train: list[SplitDocument],
    impostors: dict[str, list[str]],
    persona: Persona,
    profile: Profile,
    instruments: Instruments,
    questions: list[Question],
    seed: int,
    on_progress: Callable[[str], None],
) -> EvaluationReport:
    """Write, measure and compare; `contestants` are by role, with at least a candidate.

    Raises TwinError when there is too little text to measure a voice.
    """
    prose = [d.voice_text for d in train if d.category != "code"]
    real = [d.voice_text for d in heldout if d.category != "code"]
    meter, check = VoiceMeter.fit(prose, impostors), CopyCheck(prose)
    vocabulary = Vocabulary([d.voice_text for d in train] + [t for ts in impostors.values() for t in ts])
    desk = ContestWriter(train, persona, profile, instruments.retrieve, seed)
    tasks, written = write_all(
        contestants, write_tasks(heldout, train), desk, profile.answer_tokens, on_progress
    )
    made = heldout_questions(heldout, train, profile.evaluation.questions)
    items = _items(questions, made, instruments, [*heldout, *train], profile.evaluation.questions)
    answers = _answer_all(contestants, items, desk, profile, on_progress)
    samples = _samples(tasks, desk, heldout)
    contests, embed = {}, remembering(instruments.embed)
    for role, contestant in contestants.items():
        texts, said = written[role].texts, answers[role]
        exam = None
        if items:
            seen = contestant.sees_passages
            exam = mark_exam(items, said.texts, persona, embed, seen, seed, instruments.supported)
        contests[role] = Contest(
            model=contestant.model,
            voice=meter.score(texts, seed),
            copying=check.report(texts),
            samples=[
                s.model_copy(update={"text": x, "passages": s.passages if contestant.sees_passages else []})
                for s, x in zip(samples, texts, strict=False)
            ],
            own_voice=meter.score([check.without_copies(t) for t in texts], seed),
            seconds=written[role].seconds,
            words=word_count(texts),
            unseen_words=vocabulary.unseen_share(texts),
            exam=exam.without_passages() if exam and role != CANDIDATE else exam,
            safety=check_safety([*texts, *said.texts], [d.voice_text for d in train]),
            effort=effort(
                [*written[role].generations, *said.generations],
                said.alone,
                written[role].seconds + said.seconds,
                contestant.usd_per_hour,
            ),
        )
        on_progress(f"{role}: {_sentence(contests[role])}")
    gain = paired_gain(
        meter, written[CANDIDATE].texts, written[BASELINE].texts if BASELINE in written else [], seed
    )
    floor, floor_is = floor_score(prose, impostors, seed)
    found = score_retrieval(questions, instruments.retrieve)
    found_heldout = score_retrieval(made, instruments.retrieve)
    return EvaluationReport(
        persona=persona.name,
        candidate=contestants[CANDIDATE].model,
        profile=profile.name,
        contestants=contests,
        ceiling=meter.score(real, seed),
        floor=floor,
        floor_is=floor_is,
        ceiling_copying=check.report(real),
        ceiling_unseen_words=vocabulary.unseen_share(real),
        real_sample=first_words(real[0], REAL_WORDS) if real else "",
        gain=gain.mean,
        gain_low=gain.low,
        gain_high=gain.high,
        gain_pairs=gain.pairs,
        hit_rate=found.hit_rate,
        mrr=found.mrr,
        questions=len(questions),
        refusal_rate=refusal_rate([q for q in questions if q.unanswerable], instruments.would_refuse),
        false_refusal_rate=refusal_rate(
            [q for q in questions if not q.unanswerable], instruments.would_refuse
        ),
        visibility=most_closed(d.visibility for d in (*heldout, *train)),
        heldout_questions=found_heldout.questions,
        heldout_hit_rate=found_heldout.hit_rate,
        heldout_mrr=found_heldout.mrr,
        ability=_ability(contestants, instruments, seed, on_progress),
        verdicts=_verdicts(written, tasks, instruments.judge, profile, on_progress),
        prompts=len(tasks),
        seed=seed,
    )


def _items(
    questions: list[Question],
    made: list[Question],
    instruments: Instruments,
    documents: list[SplitDocument],
    most: int,
) -> list[ExamItem]:
    return exam_items(
        {
            "own": [q for q in questions if not q.unanswerable][:most],
            "heldout": made,
            "unanswerable": [q for q in questions if q.unanswerable][:most],
        },
        instruments.plan,
        {d.doc_id: d.voice_text for d in documents},
    )


def _answer_all(
    contestants: dict[str, Contestant],
    items: list[ExamItem],
    desk: ContestWriter,
    profile: Profile,
    on_progress: Callable[[str], None],
) -> dict[str, Written]:
    """Everybody answers every question; the first few again one by one, for the time of a single call."""
    sizes = profile.evaluation
    written = {role: Written() for role in contestants}
    for role, contestant in contestants.items():
        asked = [desk.question(item, contestant.prompting, n) for n, item in enumerate(items)]
        if not asked:
            continue
        on_progress(f"{role} ({contestant.model}) answers {len(asked)} questions")
        written[role].add(contestant, asked, sizes.answer_tokens)
        for one in asked[: sizes.calls_alone]:
            written[role].alone += contestant.generate([one], sizes.answer_tokens)
    return written


def _samples(tasks: list[WriteTask], desk: ContestWriter, heldout: list[SplitDocument]) -> list[Sample]:
    """What the page shows side by side, still without the contestants' texts."""
    real = {d.doc_id: first_words(d.voice_text, REAL_WORDS) for d in heldout}
    return [
        Sample(
            prompt=t.topic, text="", passages=[p.text for p in desk.passages(t)], real=real.get(t.doc_id, "")
        )
        for t in tasks[:SHOWN_SAMPLES]
    ]


def _ability(
    contestants: dict[str, Contestant],
    instruments: Instruments,
    seed: int,
    on_progress: Callable[[str], None],
) -> Ability | None:
    if instruments.right_answers is None or BASELINE not in contestants:
        return None
    on_progress("candidate and base take the ability test")
    ours, base = (instruments.right_answers(contestants[role].model) for role in (CANDIDATE, BASELINE))
    return compare_ability(ours, base, seed)


def _verdicts(
    written: dict[str, Written],
    tasks: list[WriteTask],
    judge: Judge | None,
    profile: Profile,
    on_progress: Callable[[str], None],
) -> list[Verdicts]:
    """The judge's opinion against each rival; a judge that fails costs its opinion and not the evaluation."""
    found = []
    for rival in (BASELINE, PRODUCTION):
        if judge is None or rival not in written:
            continue
        texts = zip(tasks, written[CANDIDATE].texts, written[rival].texts, strict=True)
        pairs = [Pair(request=t.topic, ours=a, theirs=b) for t, a, b in texts][
            : profile.evaluation.judge_pairs
        ]
        try:
            found.append(judge.compare(pairs, rival, on_progress))
        except TwinError as error:
            on_progress(f"the judge gave up: {error}")
            found.append(Verdicts(judge=judge.model, rival=rival, pairs=0, note=str(error)))
    return found


def _sentence(contest: Contest) -> str:
    margin = "not measured" if contest.voice.margin is None else f"{contest.voice.margin:+.3f}"
    return f"margin {margin}, {contest.copying.copied_share:.0%} copied"
