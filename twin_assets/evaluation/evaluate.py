"""Evaluation on the held-out side: the candidate, simpler systems on its base model, production, people.

Every system gets the same tasks and questions. Retrieval sees the training side only while voice is measured, so
nobody is handed the real text. The upper bound is the author's own held-out writing, the lower bound other authors, each
scored by a meter that was not shown them: systems are strangers to the meter too. No system's text is used to fit it. An LLM judge, where
there is one, is asked beside all this and changes none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from twin_assets.core.embedding.embedder import remembering
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import SplitDocument, most_closed
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.contest.answers import answer_all, measure_answers, question_items, question_sets
from twin_assets.evaluation.contest.effort import effort
from twin_assets.evaluation.contest.instruments import Instruments
from twin_assets.evaluation.contest.write import ContestWriter, System, write_all, write_for_gain
from twin_assets.evaluation.grounding.made_questions import make_questions
from twin_assets.evaluation.grounding.qa_eval import (
    MADE,
    WRITTEN,
)
from twin_assets.evaluation.grounding.questions import (
    Question,
    read_questions,
)
from twin_assets.evaluation.grounding.safety import check_safety
from twin_assets.evaluation.opinions import judges_verdicts, kept_ability, pairs_to_read_blind
from twin_assets.evaluation.results import (
    BASELINE,
    CANDIDATE,
    REAL_WORDS,
    SFT_ALONE,
    SHOWN_SAMPLES,
    EvaluationReport,
    Sample,
    SystemResult,
)
from twin_assets.evaluation.sense.meter import SenseScore
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
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.grounding.quotations import without_quotations

__all__ = [
    "Instruments",
    "Question",
    "System",
    "evaluate",
    "read_questions",
]

T = TypeVar("T")
NOISE = "the candidate does not read as language, so that nearness to a voice would say nothing"


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
    method: str = "DPO",
) -> EvaluationReport:
    """Write, measure and compare; `systems` are by role, with at least a candidate. With the SFT model as SFT_ALONE, that
    becomes the candidate where the second stage, which `method` names, gained nothing. `background` is whom the voice figure
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
    items = question_items(questions, made, instruments, [*heldout, *train], profile.evaluation.questions)
    answers = answer_all(systems, items, writer, profile, on_progress)
    samples = _samples(tasks, writer, heldout)
    qa_evals = {
        role: measure_answers(
            items, answers[role].texts, system, persona, profile, instruments, measure, seed
        )
        for role, system in systems.items()
    }
    stages = None
    if SFT_ALONE in systems:
        sft, dpo = ((written[role].texts, qa_evals[role]) for role in (SFT_ALONE, CANDIDATE))
        of_windows = None if no_voice else voice.of_windows
        stages = compare_stages(sft, dpo, of_windows, instruments.sense, seed, method)
        on_progress(stages.verdict)
        if not stages.keeps_dpo:
            beside = f"with {method}"
            systems, written = _sft_as_candidate(systems, beside), _sft_as_candidate(written, beside)
            answers, qa_evals = _sft_as_candidate(answers, beside), _sft_as_candidate(qa_evals, beside)
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
    sets = question_sets(questions, made, instruments)
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
        ability=kept_ability(systems, instruments, seed, on_progress),
        verdicts=judges_verdicts(written, tasks, instruments.judge, profile, on_progress),
        blind_pairs=pairs_to_read_blind(
            systems, tasks, further, written, writer, heldout, profile, on_progress
        ),
        prompts=len(tasks),
        seed=seed,
        stages=stages,
    )


def _sft_as_candidate(of_roles: dict[str, T], beside: str) -> dict[str, T]:
    """The same by role, where the SFT model is the candidate and the second stage's stands `beside` it by that name."""
    renamed = {CANDIDATE: beside, SFT_ALONE: CANDIDATE}
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


def _sentence(result: SystemResult) -> str:
    figure = result.voice.figure
    measured = "not measured" if figure is None or figure.value is None else f"{figure.value:.2f}"
    return f"voice {measured} (0 others, 1 the author), {result.copying.copied_share:.0%} copied"
