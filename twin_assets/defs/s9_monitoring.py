"""Monitoring: production's requests scored, watched for drift, and counted."""

import dagster as dg

from twin_assets.core.lake import Lake
from twin_assets.core.ledger import Ledger
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.defs.common import MONITORING, OWNERS, READS_OUTSIDE, personas
from twin_assets.defs.metadata import sample_table
from twin_assets.defs.resources import Platform, records_result
from twin_assets.inference.evaluate import EvaluationReport
from twin_assets.inference.impostors import read_impostors
from twin_assets.inference.monitor import (
    CostReport,
    DriftReport,
    ScoredRequest,
    count_cost,
    find_drift,
    score_requests,
    voices,
)
from twin_assets.inference.report import report_key
from twin_assets.inference.request_log import read_requests
from twin_assets.inference.voice import VoiceMeter


@dg.asset(
    deps=["release"],
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python", "parquet"},
    tags=READS_OUTSIDE,
    code_version="1",
)
def scored_requests(
    context: dg.AssetExecutionContext, platform: Platform, embeddings: list[EmbeddedChunk]
) -> dg.MaterializeResult[list[ScoredRequest]]:
    """Every logged request with its retrieval score and how far its passages support the answer."""
    requests = read_requests(platform.lake, context.partition_key)
    scored = score_requests(requests, {c.chunk_id: c.text for c in embeddings})
    return records_result(
        scored,
        ScoredRequest,
        {
            "requests": len(scored),
            "refused": sum(s.outcome == "refused" for s in scored),
            "failed": sum(s.outcome == "failed" for s in scored),
            "sample": sample_table(scored[::-1], ["time", "model", "outcome", "top_score", "support"]),
        },
    )


@dg.asset(
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
)
def drift_report(
    context: dg.AssetExecutionContext, platform: Platform, scored_requests: list[ScoredRequest],
    corpus_split: list[SplitDocument],
) -> dg.MaterializeResult[DriftReport]:  # fmt: skip
    """Whether newer requests differ from older ones, and the voice from what was measured at release; a
    drift starts a rebuild through the same gates."""
    persona, lake = platform.persona(context.partition_key), platform.lake
    prose = [d.voice_text for d in corpus_split if d.split == "train" and d.category != "code"]
    meter = VoiceMeter.fit(prose, read_impostors(persona.impostors))
    measured = voices(read_requests(lake, persona.name), meter, platform.settings.seed)
    report = find_drift(scored_requests, measured, _released_with(lake, persona.name))
    return dg.MaterializeResult(
        value=report,
        metadata={
            "drifted": report.drifted,
            "requests": report.requests,
            "voices": sample_table(measured, ["model", "kind", "margin", "words", "windows"]),
            "findings": dg.MetadataValue.md("\n".join(f"- {f}" for f in report.findings)),
        },
    )


def _released_with(lake: Lake, persona: str) -> EvaluationReport | None:
    """The evaluation report of the version in production, if both are there."""
    production = Ledger(lake, persona).production()
    key = report_key(persona, production, "json") if production else None
    return EvaluationReport.model_validate_json(lake.read(key)) if key and lake.exists(key) else None


@dg.asset(
    deps=["scored_requests"],
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python"},
    code_version="1",
)
def cost_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[CostReport]:
    """Tokens, money and latency of production."""
    report = count_cost(read_requests(platform.lake, context.partition_key))
    return dg.MaterializeResult(
        value=report,
        metadata={
            "requests": report.requests,
            "tokens_in": report.tokens_in,
            "tokens_out": report.tokens_out,
            "cost": report.cost,
            "latency_p50_ms": dg.MetadataValue.json(report.latency_p50),
            "latency_p95_ms": dg.MetadataValue.json(report.latency_p95),
        },
    )


assets = [scored_requests, drift_report, cost_report]
