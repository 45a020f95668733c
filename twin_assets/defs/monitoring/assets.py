"""Monitoring: production's requests scored, counted in the warehouse, and priced. `drift` compares them."""

from datetime import date, datetime, timedelta
from functools import cache

import dagster as dg

from twin_assets.core.drafts.store import remove_old
from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.defs.shared.common import MONITORING, OWNERS, READS_OUTSIDE, personas
from twin_assets.defs.shared.metadata import image, sample_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.evaluation.grounding.entailment import open_measure
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.voice.persona_meter import no_voice, persona_instrument, persona_meter
from twin_assets.inference.twin.log_days import compact_days
from twin_assets.inference.twin.threads.removal import sweep
from twin_assets.monitoring.erasure import finish_erasures, remove_texts
from twin_assets.monitoring.report.plots import cost_plot, quality_plot
from twin_assets.monitoring.scores import scored
from twin_assets.monitoring.scores.cost_report import CostReport, read_costs
from twin_assets.monitoring.scores.live_quality import Quality, quality_by
from twin_assets.monitoring.scores.live_scores import KeptMix, LiveScorer, score_new
from twin_assets.monitoring.scores.live_voice import pooled, read_voices
from twin_assets.monitoring.scores.scored import read_scored
from twin_assets.monitoring.scores.toxicity import open_toxicity

SHOWN_DAYS = 28
# Rows that reports take into memory; the warehouse has all of them.
NEWEST = 20_000


@dg.asset(
    deps=["release"],
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python", "parquet"},
    tags=READS_OUTSIDE,
    code_version="2",
)
def scored_requests(
    context: dg.AssetExecutionContext,
    platform: Platform,
    embeddings: list[EmbeddedChunk],
    corpus_split: list[SplitDocument],
) -> dg.MaterializeResult[None]:
    """New requests of the log with their scores, in the lake; texts, threads and drafts past their days taken out, days of the log
    that are over made one object each, and erasures that broke off finished."""
    persona, lake, settings = platform.persona(context.partition_key), platform.lake, platform.settings
    lake.sweep()
    finished = finish_erasures(settings, lake, persona.name)
    bare = remove_texts(lake, persona.name, persona.log_text_days, settings.now.date())
    swept = sweep(lake, persona.name, persona.threads_kept_days, settings.now)
    old = remove_old(lake, persona.name, settings.draft_days, settings.now)
    sense, no_sense = persona_sense(settings, platform.profile, corpus_split)
    measure, supported = open_measure(settings, platform.thresholds.supported)
    rule, is_toxic = open_toxicity(settings.toxicity_model)
    scorer = LiveScorer(
        persona,
        {c.chunk_id: c.text for c in embeddings},
        measure or KeptMix(platform.embedder),
        persona_meter(persona, corpus_split),
        is_toxic,
        settings.monitor_sample_per_hour,
        settings.seed,
        supported,
        sense,
        cache(lambda: persona_instrument(persona, corpus_split, lake, settings.impostors_dir)),
        cache(lambda: no_voice(persona, corpus_split, lake, settings.impostors_dir)),
    )
    run = score_new(lake, scorer, runner=settings.data_runner)
    compacted = compact_days(lake, persona.name, settings.now.date())
    since = shown_since(settings.now)
    rows, voices = read_scored(lake, persona.name, since, NEWEST), read_voices(lake, persona.name, since)
    versions = quality_by(rows, lambda row: row.model)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint(sorted(lake.keys(f"{scored.FOLDER}/{persona.name}")))),
        metadata={
            "new": run.scored,
            "new_in_sample": run.sampled,
            "texts_removed": bare,
            "threads_swept": swept,
            "drafts_removed": old,
            "days_compacted": compacted.days,
            "objects_compacted": compacted.objects,
            "erasures_finished": finished,
            "toxicity_rule": rule,
            "reads_as_language": no_sense or f"measured under {settings.reference_model}",
            "requests": len(rows),
            "refused": sum(row.outcome == "refused" for row in rows),
            "failed": sum(row.outcome == "failed" for row in rows),
            "versions": dg.MetadataValue.md(quality_table(versions)),
            "voices": sample_table(
                pooled(voices, settings.seed),
                [
                    "model",
                    "kind",
                    "figure",
                    "figure_low",
                    "figure_high",
                    "margin",
                    "words",
                    "windows",
                    "note",
                ],
            ),
            "by_day": image(quality_plot(quality_by(rows, lambda row: f"{row.time:%Y-%m-%d}"), voices)),
            "sample": sample_table(
                rows[::-1], ["time", "model", "outcome", "top_score", "grounded_share", "personal_data"]
            ),
        },
    )


def shown_since(now: datetime) -> date:
    """The first day that reports show."""
    return now.date() - timedelta(days=SHOWN_DAYS - 1)


def quality_table(versions: list[Quality]) -> str:
    """Versions side by side, as Markdown."""
    fields = [
        "group", "requests", "failed", "declined", "grounded", "grounded_answers", "reads", "top_score_p50", "leaks", "toxic", "up",
        "down", "edited",
    ]  # fmt: skip
    lines = [f"| {' | '.join(fields)} |", "|" + "---|" * len(fields)]
    for one in versions:
        cells = [getattr(one, field) for field in fields]
        lines.append("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return "\n".join(lines)


@dg.asset(
    deps=["requests"],
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python", "duckdb"},
    code_version="2",
)
def cost_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[CostReport]:
    """Tokens, money and time of production, with what training and the teacher took beside it."""
    report = read_costs(platform.settings.warehouse_path, context.partition_key)
    report = report.model_copy(update={"teacher_usd": _teacher_usd(context)})
    unknown = "no price is set (TWIN_HARDWARE_USD_PER_HOUR, TWIN_LLM_USD_PER_HOUR)"
    return dg.MaterializeResult(
        value=report,
        metadata={
            "requests": report.requests,
            "tokens_in": report.tokens_in,
            "tokens_out": report.tokens_out,
            "cost_usd": unknown if report.cost_usd is None else round(report.cost_usd, 4),
            "accepted": report.accepted,
            "usd_per_accepted": unknown if report.usd_per_accepted is None else report.usd_per_accepted,
            "training_usd": unknown if report.training_usd is None else round(report.training_usd, 4),
            "training_hours": round(report.training_hours, 2),
            "teacher_usd": report.teacher_usd,
            "latency_p50_ms": dg.MetadataValue.json({s.step: s.p50 for s in report.steps}),
            "latency_p95_ms": dg.MetadataValue.json({s.step: s.p95 for s in report.steps}),
            "plot": image(cost_plot(report)),
        },
    )


def _teacher_usd(context: dg.AssetExecutionContext) -> float:
    """What the teacher took for all datasets of the persona that this instance knows of."""
    made = dg.AssetRecordsFilter(dg.AssetKey("instruct_dataset"), asset_partitions=[context.partition_key])
    total, cursor = 0.0, None
    while True:
        page = context.instance.fetch_materializations(made, limit=100, cursor=cursor)
        for record in page.records:
            about = (
                record.asset_materialization.metadata.get("teacher") if record.asset_materialization else None
            )
            total += float((about.value or {}).get("cost", 0.0)) if about else 0.0
        cursor = page.cursor
        if not page.has_more:
            return round(total, 6)
