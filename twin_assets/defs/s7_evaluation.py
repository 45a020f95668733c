"""Evaluation: the candidate against its own baseline and production, and the gate it must pass."""

from typing import Any

import dagster as dg

from twin_assets.core.ledger import Ledger
from twin_assets.core.prompts import prompts_fingerprint
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.vectors import open_store
from twin_assets.defs.common import EVALUATION, OWNERS, personas
from twin_assets.defs.metadata import image
from twin_assets.defs.resources import Platform
from twin_assets.inference.answer import Twin
from twin_assets.inference.evaluate import Contestant, EvaluationReport, Prompting, evaluate, read_questions
from twin_assets.inference.gate import GateResult, check_gate
from twin_assets.inference.generation import LocalGenerator
from twin_assets.inference.impostors import read_impostors
from twin_assets.inference.report import render_html, report_key, summary_table, voice_plot
from twin_assets.inference.retrieve import open_retriever

TEMPERATURE = 0.8
GATES = ["voice_beats_baseline", "not_copied", "refuses"]


@dg.asset(
    deps=["vector_index"],
    partitions_def=personas,
    group_name=EVALUATION,
    owners=OWNERS,
    kinds={"scikitlearn", "html"},
    code_version="1",
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=[
        dg.AssetCheckSpec(
            gate, asset="evaluation_report", blocking=True, description="See the profile's gate."
        )
        for gate in GATES
    ],
)
def evaluation_report(
    context: dg.AssetExecutionContext, platform: Platform, dpo_model: str, base_model: str,
    corpus_split: list[SplitDocument],
) -> dg.MaterializeResult:  # fmt: skip
    """Voice, copying, retrieval and refusals: the candidate beside its baseline and production."""
    persona, settings = platform.persona(context.partition_key), platform.settings
    ledger = platform.ledger(persona.name)
    retriever = open_retriever(settings, persona, open_store(settings, persona.name), platform.embedder)
    generator = LocalGenerator(platform.registry.get(dpo_model).path, dpo_model)
    twin = Twin(persona, platform.profile, generator, retriever.retrieve, retriever.find)
    contestants = {
        "candidate": _contestant(platform, dpo_model, "twin"),
        "base+prompt+retrieval": _contestant(platform, base_model, "baseline"),
        "base": _contestant(platform, base_model, "bare"),
    }
    production = ledger.production()
    if production and production != dpo_model:
        contestants["production"] = _contestant(platform, production, "twin")
    report = evaluate(
        contestants,
        heldout=[d for d in corpus_split if d.split == "heldout"],
        train=[d for d in corpus_split if d.split == "train"],
        impostors=read_impostors(persona.impostors),
        persona=persona,
        profile=platform.profile,
        retrieve=retriever.retrieve,
        questions=read_questions(persona.questions),
        would_refuse=lambda question: twin.plan_answer(question).refusal is not None,
        seed=settings.seed,
        on_progress=context.log.info,
    )
    gates = check_gate(report, platform.profile.gate)
    _propose(ledger, dpo_model, gates)
    return dg.MaterializeResult(
        value=report,
        metadata=_metadata(platform, report, gates),
        check_results=[_as_check(gate) for gate in gates],
    )


def _contestant(platform: Platform, tag: str, prompting: Prompting) -> Contestant:
    generator = LocalGenerator(platform.registry.get(tag).path, tag)
    profile, seed = platform.profile, platform.settings.seed

    def generate(conversations: list[list[Message]]) -> list[str]:
        written = generator.generate(
            [generator.fit(c, profile.answer_tokens) for c in conversations],
            max_tokens=profile.answer_tokens,
            temperature=TEMPERATURE,
            seed=seed,
        )
        return [g.text for g in written]

    return Contestant(model=tag, generate=generate, prompting=prompting)


def _propose(ledger: Ledger, candidate: str, gates: list[GateResult]) -> None:
    """Put the candidate and its verdict into the ledger, unless it is there already."""
    failed = [g for g in gates if g.blocking and not g.passed]
    if ledger.state(candidate) in (None, "rejected", "rolled_back"):
        ledger.append(candidate, "proposed", "pipeline", "new candidate")
    if ledger.state(candidate) in ("proposed", "evaluated"):
        reason = "; ".join(g.message for g in failed) or "passed every gate"
        ledger.append(candidate, "evaluated", "pipeline", reason, passed=not failed)


def _as_check(gate: GateResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=gate.name,
        passed=gate.passed,
        severity=dg.AssetCheckSeverity.ERROR if gate.blocking else dg.AssetCheckSeverity.WARN,
        description=gate.message,
        metadata={
            "value": gate.value if gate.value is not None else "not measured",
            "threshold": gate.threshold,
        },
    )


def _metadata(platform: Platform, report: EvaluationReport, gates: list[GateResult]) -> dict[str, Any]:
    html = render_html(report, gates).encode()
    lake = platform.lake
    lake.write(
        report_key(report.persona, report.candidate, "json"), report.model_dump_json(indent=1).encode()
    )
    page = lake.write(report_key(report.persona, report.candidate, "html"), html)
    return {
        "candidate": report.candidate,
        "passed": all(g.passed for g in gates if g.blocking),
        "summary": dg.MetadataValue.md(summary_table(report)),
        "gates": dg.MetadataValue.md("\n".join(f"- {'✓' if g.passed else '✗'} {g.message}" for g in gates)),
        "voice": image(voice_plot(report), "voice"),
        "report": dg.MetadataValue.url(page),
        "prompts": prompts_fingerprint(),
    }


assets = [evaluation_report]
