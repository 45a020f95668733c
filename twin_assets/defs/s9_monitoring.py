"""Monitoring: production's requests scored and counted; `s9_drift` compares what is measured here."""

import dagster as dg

from twin_assets.core.records import EmbeddedChunk
from twin_assets.defs.common import MONITORING, OWNERS, READS_OUTSIDE, personas
from twin_assets.defs.metadata import sample_table
from twin_assets.defs.resources import Platform, records_result
from twin_assets.inference.monitor import (
    CostReport,
    ScoredRequest,
    count_cost,
    score_requests,
)
from twin_assets.inference.request_log import read_requests


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


assets = [scored_requests, cost_report]
