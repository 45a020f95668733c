"""Evaluation: the candidate against its own baseline and production, and the gate it must pass."""

import json
from functools import partial
from typing import Any

import dagster as dg

from twin_assets.core.models.version import closed_rows
from twin_assets.core.prompts.templates import prompts_fingerprint
from twin_assets.core.records import VISIBILITIES, Message, SplitDocument, most_closed
from twin_assets.core.release.approval import propose
from twin_assets.core.vectors import open_store
from twin_assets.defs.evaluation.publish import publish_report
from twin_assets.defs.shared.common import EVALUATION, OWNERS, personas
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.retries import retried_when_away
from twin_assets.evaluation.advice import advise
from twin_assets.evaluation.comparison import Comparison
from twin_assets.evaluation.contest.ability import right_answers
from twin_assets.evaluation.contest.judge import Judge
from twin_assets.evaluation.contest.write import Prompting
from twin_assets.evaluation.evaluate import Instruments, System, evaluate, read_questions
from twin_assets.evaluation.gate import GATES, GateResult, check_gate, compare_systems
from twin_assets.evaluation.grounding.entailment import open_measure
from twin_assets.evaluation.grounding.made_questions import read_public
from twin_assets.evaluation.report.page import render_html, report_key, stages_table, summary_table
from twin_assets.evaluation.report.plots import systems_plot, voice_plot
from twin_assets.evaluation.results import (
    BASELINE,
    CANDIDATE,
    PRODUCTION,
    PROMPTED,
    SFT_ALONE,
    EvaluationReport,
)
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.persona_meter import persona_background
from twin_assets.feature.instruct.build import may_be_learnt
from twin_assets.inference.generation.local import Generation, LocalGenerator
from twin_assets.inference.generation.sampling import ANSWERING, WRITING, Manner
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.retrieval.retriever import open_retriever
from twin_assets.inference.twin.answer import Twin

# Writing of the author that a judge is shown.
JUDGE_SAMPLES = 3


@dg.asset(
    deps=["vector_index"],
    partitions_def=personas,
    group_name=EVALUATION,
    owners=OWNERS,
    kinds={"scikitlearn", "html"},
    code_version="6",
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=[
        dg.AssetCheckSpec(
            gate, asset="evaluation_report", blocking=True, description="See the profile's gate."
        )
        for gate in GATES
    ],
)
@retried_when_away
def evaluation_report(
    context: dg.AssetExecutionContext,
    platform: Platform,
    dpo_model: str,
    sft_model: str,
    base_model: str,
    corpus_split: list[SplitDocument],
) -> dg.MaterializeResult:
    """Voice, grounding, refusals, safety, ability and cost: the candidate beside its baseline and production."""
    persona, settings = platform.persona(context.partition_key), platform.settings
    ledger = platform.ledger(persona.name)
    # What isn't learnt from is not measured on either, and stands in no report.
    learnt = may_be_learnt(corpus_split, persona)
    audience = most_closed(d.visibility for d in learnt)
    store = open_store(settings, persona.name)
    retriever = open_retriever(settings, persona, store, platform.embedder, audience)
    models = _Models(platform)
    twin = Twin(persona, platform.profile, retriever.retrieve, retriever.find, platform.thresholds)
    systems = {
        CANDIDATE: models.system(dpo_model, "twin"),
        BASELINE: models.system(base_model, "baseline"),
        PROMPTED: models.system(base_model, "prompted"),
    }
    if platform.profile.evaluation.bare:
        systems["base"] = models.system(base_model, "bare")
    if not platform.profile.plumbing:  # two who write noise gain nothing on each other
        systems[SFT_ALONE] = models.system(sft_model, "twin")
    production = ledger.production()
    if production and production not in (dpo_model, sft_model):
        systems[PRODUCTION] = models.system(production, "twin")
    train = [d for d in learnt if d.split == "train"]
    sense, no_sense = persona_sense(settings, platform.profile, train)
    background = persona_background(persona, corpus_split, platform.lake, settings.impostors_dir)
    impostors = read_impostors(persona.impostors)
    # Who rewarded a model is no judge of it.
    rewarded = {name for s in systems.values() for name in platform.registry.get(s.model).about.rewarded_by}
    background = background.without(rewarded)
    impostors = {name: texts for name, texts in impostors.items() if name not in rewarded}
    shown = [d.voice_text for d in train if d.category != "code"][:JUDGE_SAMPLES]
    measure, supported = open_measure(settings, platform.thresholds.supported)
    report = evaluate(
        systems,
        heldout=[d for d in learnt if d.split == "heldout"],
        train=train,
        impostors=impostors,
        background=background,
        persona=persona,
        profile=platform.profile,
        instruments=Instruments(
            retrieve=retriever.retrieve,
            plan=twin.plan_answer,
            embed=platform.embedder.embed,
            right_answers=lambda tag: right_answers(models.open(tag)),
            judge=Judge(settings, shown) if settings.judge_model else None,
            supported=supported,
            measure=measure,
            sense=sense,
            no_sense=no_sense,
            same_subject=platform.thresholds.same_subject,
            public_questions=tuple(read_public(settings.public_questions, settings.seed)),
            desk=FactDesk(platform.embedder, platform.thresholds),
        ),
        questions=read_questions(persona.questions),
        seed=settings.seed,
        on_progress=context.log.info,
        method=platform.registry.get(dpo_model).lineage.stage.upper(),
    )
    candidate = report.candidate  # the SFT model where the second stage gained nothing
    rows = platform.registry.get(candidate).about.learnt_from
    seen = most_closed([report.visibility, *(v for v in VISIBILITIES if rows.get(v))])
    report = report.model_copy(update={"learnt_from": rows, "visibility": seen})
    gates = check_gate(report, platform.profile.gate)
    comparison = compare_systems(report, platform.profile.gate)
    report = report.model_copy(update={"advice": advise(report, gates, comparison)})
    metadata = _metadata(platform, report, gates, comparison)  # stored before anybody can decide by it
    failed = [gate.message for gate in gates if gate.blocking and not gate.passed]
    closed = closed_rows(rows, "public")
    propose(
        ledger,
        candidate,
        failed,
        f"learnt from {closed}, which it may repeat to whoever it serves" if closed else "",
        platform.profile.plumbing,
    )
    return dg.MaterializeResult(
        value=report,
        metadata=metadata,
        check_results=[_as_check(gate) for gate in gates],
    )


class _Models:
    """Models by tag, each loaded once however many systems it is."""

    def __init__(self, platform: Platform) -> None:
        self._registry, self._profile, self._settings = platform.registry, platform.profile, platform.settings
        self._open: dict[str, LocalGenerator] = {}

    def open(self, tag: str) -> LocalGenerator:
        if tag not in self._open:
            self._open[tag] = LocalGenerator.of(self._registry, tag)
        return self._open[tag]

    def system(self, tag: str, prompting: Prompting) -> System:
        def written(manner: Manner, conversations: list[list[Message]], tokens: int) -> list[Generation]:
            # What a conversation may hold doesn't depend on how short its answer is: samples are not cut twice.
            token_budget = self._profile.answer_tokens
            fitting = [self.open(tag).fit(c, token_budget) for c in conversations]
            return self.open(tag).generate(fitting, manner.sampling(tokens, self._settings.seed))

        usd = self._settings.hardware_usd_per_hour
        writing, answering = partial(written, WRITING), partial(written, ANSWERING)
        return System(tag, writing, prompting, usd, answering)


def _as_check(gate: GateResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=gate.name,
        passed=gate.passed,
        severity=dg.AssetCheckSeverity.ERROR if gate.blocking else dg.AssetCheckSeverity.WARN,
        description=gate.message,
        metadata={
            "value": gate.value if gate.value is not None else "not measured",
            "threshold": gate.threshold if gate.threshold is not None else "none: reported only",
        }
        | ({"example": gate.example} if gate.example and not gate.passed else {}),
    )


def _metadata(
    platform: Platform, report: EvaluationReport, gates: list[GateResult], comparison: Comparison
) -> dict[str, Any]:
    html = render_html(report, gates, comparison).encode()
    facts = report.model_dump(mode="json") | {
        "gates": [g.model_dump() for g in gates],
        "comparison": comparison.model_dump(),
    }
    written = json.dumps(facts, indent=1, ensure_ascii=False).encode()
    lake = platform.lake
    data = lake.write(report_key(report.persona, report.candidate, "json"), written)
    page = lake.write(report_key(report.persona, report.candidate, "html"), html)
    return {
        "candidate": report.candidate,
        "passed": all(g.passed for g in gates if g.blocking),
        "summary": dg.MetadataValue.md(summary_table(report)),
        "gates": dg.MetadataValue.md("\n".join(f"- {g.mark} {g.message}" for g in gates)),
        "comparison": comparison.verdict,
        "worth_it": report.advice.verdict if report.advice else "",
        "gain_over_sft": dg.MetadataValue.md(stages_table(report.stages)),
        "voice": image(voice_plot(report), "voice"),
        "systems": image(systems_plot(report), "what each system reaches"),
        "report": dg.MetadataValue.url(page),
        "report_json": dg.MetadataValue.url(data),
        "wandb": publish_report(platform.settings, report.persona, report.candidate, html, written),
        "prompts": prompts_fingerprint(),
    }
