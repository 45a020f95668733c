"""Evaluation on the held-out side: the candidate, simpler systems on its base model, production, people.

Every system gets the same tasks and questions. Retrieval sees the training side only while voice is measured, so
nobody is handed the real text. The upper bound is the author's own held-out writing, the lower bound other authors, each
scored by a meter that was not shown them: systems are strangers to the meter too. No system's text is used to fit it. An LLM judge, where
there is one, is asked beside all this and changes none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from twin_assets.core.embedding.embedder import Embed, remembering
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import SplitDocument, most_closed
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.blind_pairs import BlindPair, Drafts, blind_pairs
from twin_assets.evaluation.contest.ability import Ability, compare_ability
from twin_assets.evaluation.contest.effort import effort
from twin_assets.evaluation.contest.judge import Judge, Pair, Verdicts
from twin_assets.evaluation.contest.write import ContestWriter, System, Written, write_all, write_for_gain
from twin_assets.evaluation.grounding.as_served import refusals_as_served
from twin_assets.evaluation.grounding.made_questions import make_questions
from twin_assets.evaluation.grounding.qa_eval import (
    MADE,
    PUBLIC,
    SETS,
    WRITTEN,
    Kind,
    QaEval,
    QaItem,
    qa_items,
    score_qa,
)
from twin_assets.evaluation.grounding.questions import (
    Question,
    QuestionSet,
    Retrieve,
    measure_set,
    read_questions,
)
from twin_assets.evaluation.grounding.safety import check_safety
from twin_assets.evaluation.results import (
    BASELINE,
    BEFORE_DPO,
    CANDIDATE,
    PRODUCTION,
    PROMPTED,
    WITH_DPO,
    EvaluationReport,
    Sample,
    SystemResult,
)
from twin_assets.evaluation.sense.meter import SenseMeter, SenseScore
from twin_assets.evaluation.stages import compare_stages
from twin_assets.evaluation.voice.background import Background
from twin_assets.evaluation.voice.compare import paired_gain
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.instrument import VoiceInstrument, no_figure
from twin_assets.evaluation.voice.lower_bound import lower_bound_score
from twin_assets.evaluation.voice.meter import VoiceMeter, VoiceScore
from twin_assets.evaluation.voice.persona_meter import voice_instrument
from twin_assets.evaluation.voice.stylometry import word_count
from twin_assets.evaluation.voice.vocabulary import Vocabulary
from twin_assets.evaluation.write_tasks import WriteTask, write_tasks
from twin_assets.inference.grounding.claims import Measure, by_mix
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.grounding.quotations import without_quotations
from twin_assets.inference.twin.answer import Plan

__all__ = [
    "Instruments",
    "Question",
    "System",
    "evaluate",
    "read_questions",
]

T = TypeVar("T")
SHOWN_SAMPLES = 4
NOISE = "the candidate does not read as language, so that nearness to a voice would say nothing"
REAL_WORDS = 150


@dataclass(frozen=True)
class Instruments:
    """What an evaluation measures with. `plan` is the service's `Twin.plan_answer`; `right_answers` gives each item
    of the ability test 1 or 0 for a model version; without it, a judge or `sense`, that part is left out, of the last
    with `no_sense` for the reason. A claim counts from `supported` on with this `measure`, by
    default the mix with `embed`, two passages are about one thing from `same_subject` on. `public_questions` are of nobody's corpus. At the `desk` answers are held to
    their passages, as the service does."""

    retrieve: Retrieve
    plan: Callable[[str], Plan]
    embed: Embed
    right_answers: Callable[[str], np.ndarray] | None = None
    judge: Judge | None = None
    supported: float = OFFLINE_MINILM.supported
    measure: Measure | None = None
    sense: SenseMeter | None = None
    no_sense: str = "this profile leaves it out"
    same_subject: float = OFFLINE_MINILM.same_subject
    public_questions: tuple[Question, ...] = ()
    desk: FactDesk | None = None

    def would_refuse(self, question: str) -> bool:
        """Whether the service's own gate declines, before any model is asked."""
        return self.plan(question).refusal is not None


def evaluate(
    systems: dict[str, System],
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
    background: Background | None = None,
) -> EvaluationReport:
    """Write, measure and compare; `systems` are by role, with at least a candidate. With the SFT model as BEFORE_DPO, that
    becomes the candidate where DPO gained nothing. `background` is whom the voice figure
    tells the author from; the impostors without it.

    Raises TwinError when there is too little text to measure a voice.
    """
    prose = [d.voice_text for d in train if d.category != "code"]
    real = [d.voice_text for d in heldout if d.category != "code"]
    background = background or Background(impostors)
    meter, check = VoiceMeter.fit(prose, impostors), CopyCheck(prose)
    voice = _Voice(meter, voice_instrument(prose, background), background, seed)
    no_voice = background.no_figure
    vocabulary = Vocabulary([d.voice_text for d in train] + [t for ts in impostors.values() for t in ts])
    writer = ContestWriter(train, persona, profile, instruments.retrieve, seed)
    every_task = write_tasks(heldout, train)
    tasks, written = write_all(
        systems, every_task, writer, profile.answer_tokens, profile.evaluation, on_progress
    )
    embed = remembering(instruments.embed)
    measure = instruments.measure or by_mix(embed)
    on_progress("questions are made from held-out documents and from strangers' writing")
    made = make_questions(
        heldout,
        train,
        impostors,
        # A model that writes noise asks nothing.
        generate=None if profile.plumbing or BASELINE not in systems else systems[BASELINE].generate,
        retrieve=instruments.retrieve,
        embed=embed,
        same_subject=instruments.same_subject,
        public=list(instruments.public_questions),
        most=profile.evaluation.questions,
        seed=seed,
    )
    items = _items(questions, made, instruments, [*heldout, *train], profile.evaluation.questions)
    answers = _answer_all(systems, items, writer, profile, on_progress)
    samples = _samples(tasks, writer, heldout)
    qa_evals = {
        role: _qa_eval(items, answers[role].texts, system, persona, profile, instruments, measure, seed)
        for role, system in systems.items()
    }
    stages = None
    if BEFORE_DPO in systems:
        sft, dpo = ((written[role].texts, qa_evals[role]) for role in (BEFORE_DPO, CANDIDATE))
        stages = compare_stages(sft, dpo, None if no_voice else voice.of_windows, instruments.sense, seed)
        on_progress(stages.verdict)
        if not stages.keeps_dpo:
            systems, written = _with_sft_as_candidate(systems), _with_sft_as_candidate(written)
            answers, qa_evals = _with_sft_as_candidate(answers), _with_sft_as_candidate(qa_evals)
    if BASELINE in systems and not no_voice:
        first = paired_gain(voice.of_windows, written[CANDIDATE].texts, written[BASELINE].texts, seed)
        compared = {role: systems[role] for role in (CANDIDATE, BASELINE)}
        tasks = write_for_gain(compared, written, every_task, len(tasks), first, writer, profile, on_progress)
    further = every_task[len(tasks) : len(tasks) + profile.evaluation.blind_texts]
    results = {}
    for role, system in systems.items():
        texts, said, qa_eval = written[role].texts, answers[role], qa_evals[role]
        own = [without_quotations(text) for text in texts]  # a quotation is neither voice nor copying
        sense = _sense(own, instruments, profile, seed)
        results[role] = SystemResult(
            model=system.model,
            sense=sense,
            voice=voice.score(own, sense.reads),
            copying=check.report(own),
            samples=[
                s.model_copy(update={"text": x, "passages": s.passages if system.sees_passages else []})
                for s, x in zip(samples, texts, strict=False)
            ],
            own_voice=voice.score([check.without_copies(t) for t in own], sense.reads),
            seconds=written[role].seconds,
            words=word_count(texts),
            unseen_words=vocabulary.unseen_share(texts),
            qa_eval=qa_eval.without_passages() if qa_eval and role != CANDIDATE else qa_eval,
            safety=check_safety([*texts, *said.texts], [d.voice_text for d in train]),
            effort=effort(
                [*written[role].generations, *said.generations],
                said.alone,
                written[role].seconds + said.seconds,
                system.usd_per_hour,
            ),
        )
        on_progress(f"{role}: {_sentence(results[role])}")
    baseline = written[BASELINE].texts if BASELINE in written else []
    candidate = results[CANDIDATE].sense
    noise = candidate is not None and candidate.reads is False
    # Averaged noise is near to any author: what it gains means nothing.
    gain_note = NOISE if noise else no_voice
    gain = paired_gain(voice.of_windows, [] if gain_note else written[CANDIDATE].texts, baseline, seed)
    if no_voice:
        lower_bound, lower_bound_is = _unmeasured([], no_voice), f"not measured: {no_voice}"
    else:
        lower_bound, lower_bound_is = lower_bound_score(prose, impostors, seed)
    sets = _sets(questions, made, instruments)
    of_written, of_made = (
        next((s for s in sets if s.written_by == origin), None) for origin in (WRITTEN, MADE)
    )
    return EvaluationReport(
        persona=persona.name,
        candidate=systems[CANDIDATE].model,
        profile=profile.name,
        systems=results,
        upper_bound=voice.score(real),
        lower_bound=lower_bound,
        lower_bound_is=lower_bound_is,
        upper_bound_copying=check.report(real),
        upper_bound_unseen_words=vocabulary.unseen_share(real),
        upper_bound_sense=_sense(real, instruments, profile, seed),
        real_sample=first_words(real[0], REAL_WORDS) if real else "",
        gain=gain.mean,
        gain_low=gain.low,
        gain_high=gain.high,
        gain_pairs=gain.pairs,
        gain_in="figure" if voice.instrument or no_voice else "margin",
        gain_note=gain_note,
        told_from=len(background.people),
        voice_caution=background.weakness,
        hit_rate=of_written.hit_rate if of_written else None,
        mrr=of_written.mrr if of_written else None,
        questions=len(questions),
        refusal_rate=of_written.declined if of_written else None,
        false_refusal_rate=of_written.declined_wrongly if of_written else None,
        visibility=most_closed(d.visibility for d in (*heldout, *train)),
        heldout_questions=of_made.answerable if of_made else 0,
        heldout_hit_rate=of_made.hit_rate if of_made else None,
        heldout_mrr=of_made.mrr if of_made else None,
        question_sets=sets,
        ability=_ability(systems, instruments, seed, on_progress),
        verdicts=_verdicts(written, tasks, instruments.judge, profile, on_progress),
        blind_pairs=_blind_pairs(systems, tasks, further, written, writer, heldout, profile, on_progress),
        prompts=len(tasks),
        seed=seed,
        stages=stages,
    )


def _qa_eval(
    items: list[QaItem],
    texts: list[str],
    system: System,
    persona: Persona,
    profile: Profile,
    instruments: Instruments,
    measure: Measure,
    seed: int,
) -> QaEval | None:
    """A system's answers by themselves, and with a desk as the service would give them; None where nothing was asked."""
    if not items:
        return None
    found = score_qa(items, texts, persona, measure, system.sees_passages, seed, instruments.supported)
    if not instruments.desk:
        return found
    served = found.refusals_by_set  # what is shown no passages is served as it answers
    if system.sees_passages:
        options = persona.answers.over(profile.answers)
        served = refusals_as_served(items, texts, persona, instruments.desk, options)
    return found.model_copy(update={"served_by_set": served})


def _with_sft_as_candidate(of_roles: dict[str, T]) -> dict[str, T]:
    """The same by role, where the SFT model is the candidate and the DPO model stands beside it."""
    renamed = {CANDIDATE: WITH_DPO, BEFORE_DPO: CANDIDATE}
    swapped = {renamed.get(role, role): value for role, value in of_roles.items()}
    return {CANDIDATE: swapped[CANDIDATE]} | swapped


def _sense(texts: list[str], instruments: Instruments, profile: Profile, seed: int) -> SenseScore:
    if instruments.sense is None:
        return SenseScore(note=instruments.no_sense)
    return instruments.sense.score(texts, profile.evaluation.passages, seed)


@dataclass(frozen=True)
class _Voice:
    """Both voice measures of a text; without an instrument there is no figure, and margins are compared."""

    meter: VoiceMeter
    instrument: VoiceInstrument | None
    background: Background
    seed: int

    def score(self, texts: list[str], reads_as_language: bool | None = None) -> VoiceScore:
        if (
            why := self.background.no_figure
        ):  # a margin from people of another language would be one of languages
            return _unmeasured(texts, why)
        if self.instrument is None:
            figure = no_figure(
                f"there is too little writing of the author or of other people of the language "
                f"({len(self.background.people)} are known) to tell a voice"
            )
        else:
            figure = self.instrument.figure(texts, self.seed, reads_as_language)
        return self.meter.score(texts, self.seed).model_copy(update={"figure": figure})

    def of_windows(self, cut: list[str]) -> float:
        return self.instrument.share(cut) if self.instrument else float(self.meter.margins(cut).mean())


def _unmeasured(texts: list[str], why: str) -> VoiceScore:
    return VoiceScore(
        margin=None, margin_low=None, margin_high=None, verifier=None, windows=0, words=word_count(texts), note=why,
        figure=no_figure(why),
    )  # fmt: skip


def _sets(
    questions: list[Question], made: dict[Kind, list[Question]], instruments: Instruments
) -> list[QuestionSet]:
    """Retrieval and the gate in front, by who wrote the questions; sets without questions are left out."""
    by_set = {
        WRITTEN: questions,
        **{name: [q for kind in SETS[name] for q in made.get(kind, [])] for name in (MADE, PUBLIC)},
    }
    return [
        measure_set(name, some, instruments.retrieve, instruments.would_refuse)
        for name, some in by_set.items()
        if some
    ]


def _items(
    questions: list[Question],
    made: dict[Kind, list[Question]],
    instruments: Instruments,
    documents: list[SplitDocument],
    most: int,
) -> list[QaItem]:
    return qa_items(
        {
            "own": [q for q in questions if not q.unanswerable][:most],
            "unanswerable": [q for q in questions if q.unanswerable][:most],
            **made,
        },
        instruments.plan,
        {d.doc_id: d.voice_text for d in documents},
    )


def _answer_all(
    systems: dict[str, System],
    items: list[QaItem],
    writer: ContestWriter,
    profile: Profile,
    on_progress: Callable[[str], None],
) -> dict[str, Written]:
    """Everybody answers every question; the first few again one by one, for the time of a single call."""
    sizes = profile.evaluation
    written = {role: Written() for role in systems}
    for role, system in systems.items():
        asked = [writer.question(item, system.prompting, n) for n, item in enumerate(items)]
        if not asked:
            continue
        on_progress(f"{role} ({system.model}) answers {len(asked)} questions")
        written[role].add(system.answers, asked, sizes.answer_tokens)
        for one in asked[: sizes.calls_alone]:
            written[role].alone += system.answers([one], sizes.answer_tokens)
    return written


def _samples(tasks: list[WriteTask], writer: ContestWriter, heldout: list[SplitDocument]) -> list[Sample]:
    """What the page shows side by side, still without the systems' texts."""
    real = {d.doc_id: first_words(d.voice_text, REAL_WORDS) for d in heldout}
    return [
        Sample(
            prompt=t.topic,
            text="",
            passages=[p.text for p in writer.passages(t)],
            real=real.get(t.doc_id, ""),
        )
        for t in tasks[:SHOWN_SAMPLES]
    ]


def _blind_pairs(
    systems: dict[str, System],
    tasks: list[WriteTask],
    further: list[WriteTask],
    written: dict[str, Written],
    writer: ContestWriter,
    heldout: list[SplitDocument],
    profile: Profile,
    on_progress: Callable[[str], None],
) -> list[BlindPair]:
    """What people may read blind: topics whose texts are not shown by name. On `further` ones, which nothing is measured
    on, only what is compared here is written."""
    base_is = next((role for role in (PROMPTED, BASELINE) if role in systems), "")
    texts: dict[str, dict[str, str]] = {}
    for role in filter(None, (CANDIDATE, base_is)):
        texts[role] = {t.topic: x for t, x in zip(tasks, written[role].texts, strict=False)}
        if further:
            on_progress(f"{role} writes {len(further)} texts to read blind")
            asked = [
                writer.conversation(t, systems[role].prompting, n) for n, t in enumerate(further, len(tasks))
            ]
            said = systems[role].generate(asked, profile.answer_tokens)
            texts[role] |= {t.topic: one.text for t, one in zip(further, said, strict=True)}
    real = {d.doc_id: d.voice_text for d in heldout}
    base = texts.get(base_is, {})
    drafts = [
        Drafts(t.topic, real.get(t.doc_id, "")[t.start :], texts[CANDIDATE][t.topic], base.get(t.topic))
        for t in [*tasks, *further][SHOWN_SAMPLES:]
    ]
    prose = [d.voice_text for d in heldout if d.category != "code"]
    shown = [real.get(t.doc_id, "") for t in tasks[:SHOWN_SAMPLES]] + prose[:1]
    named = [first_words(text, REAL_WORDS) for text in shown]
    return blind_pairs(drafts, systems[CANDIDATE].model, base_is, named)


def _ability(
    systems: dict[str, System],
    instruments: Instruments,
    seed: int,
    on_progress: Callable[[str], None],
) -> Ability | None:
    if instruments.right_answers is None or BASELINE not in systems:
        return None
    on_progress("candidate and base take the ability test")
    ours, base = (instruments.right_answers(systems[role].model) for role in (CANDIDATE, BASELINE))
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
        # Candidate and base model may have gone on, production not.
        texts = zip(tasks, written[CANDIDATE].texts, written[rival].texts, strict=False)
        pairs = [Pair(request=t.topic, ours=a, theirs=b) for t, a, b in texts][
            : profile.evaluation.judge_pairs
        ]
        try:
            found.append(judge.compare(pairs, rival, on_progress))
        except TwinError as error:
            on_progress(f"the judge gave up: {error}")
            found.append(Verdicts(judge=judge.model, rival=rival, pairs=0, note=str(error)))
    return found


def _sentence(result: SystemResult) -> str:
    figure = result.voice.figure
    measured = "not measured" if figure is None or figure.value is None else f"{figure.value:.2f}"
    return f"voice {measured} (0 others, 1 the author), {result.copying.copied_share:.0%} copied"
