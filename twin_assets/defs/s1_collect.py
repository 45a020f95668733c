"""Collect: one asset a source. Raw payloads go to the lake as fetched, append-only."""

from typing import Any

import dagster as dg

from twin_assets.core.hashing import fingerprint
from twin_assets.defs.common import COLLECT, CRAWL_POOL, OWNERS, READS_OUTSIDE, collected_daily, personas
from twin_assets.defs.resources import Platform
from twin_assets.feature.crawl.crawl import CrawlReport, crawl_source

SOURCES = ["linkedin", "medium", "substack", "github", "web"]

MAX_BLOCKED_SHARE = 0.2
MAX_PARTIAL_SHARE = 0.5


def _raw_asset(source: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"raw_{source}",
        partitions_def=personas,
        group_name=COLLECT,
        owners=OWNERS,
        kinds={"scrapy", "json"},
        tags={"source": source} | READS_OUTSIDE,
        code_version="1",
        pool=CRAWL_POOL,
        freshness_policy=collected_daily,
        description=f"Payloads collected from {source}: immutable, as fetched, append-only.",
        check_specs=[
            dg.AssetCheckSpec("few_blocked", asset=f"raw_{source}", description="Few block pages."),
            dg.AssetCheckSpec("few_partial", asset=f"raw_{source}", description="Few truncated items."),
        ],
    )
    def collect(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        persona = platform.persona(context.partition_key)
        if source not in persona.sources():
            return dg.MaterializeResult(
                metadata={"note": f"{persona.name} has no {source} source"},
                check_results=[
                    dg.AssetCheckResult(check_name=c, passed=True) for c in ("few_blocked", "few_partial")
                ],
                data_version=dg.DataVersion("none"),
            )
        report = crawl_source(platform.settings, persona, source, context.log.info)
        if report.error:
            # What was fetched is stored already; the asset fails so that nobody takes it for complete.
            raise dg.Failure(report.error, metadata=_metadata(report))
        stored = list(platform.lake.keys(f"raw/{source}/{persona.name}"))
        return dg.MaterializeResult(
            metadata=_metadata(report) | {"objects": len(stored)},
            check_results=_checks(report),
            data_version=dg.DataVersion(fingerprint(stored)),
        )

    return collect


def _metadata(report: CrawlReport) -> dict[str, Any]:
    counts = {
        "fetched": report.fetched, "new": report.new, "changed": report.changed,
        "unchanged": report.unchanged, "partial": report.partial, "deleted": report.deleted,
        "requests": report.requests, "bytes": report.bytes, "not_modified": report.not_modified,
    }  # fmt: skip
    return counts | {
        "blocked": dg.MetadataValue.json(report.blocked),
        "failed": dg.MetadataValue.json(report.failed),
        "samples": dg.MetadataValue.json(report.samples),
    }


def _checks(report: CrawlReport) -> list[dg.AssetCheckResult]:
    blocked, seen = sum(report.blocked.values()), max(report.fetched, 1)
    return [
        _share_check("few_blocked", blocked / (seen + blocked), MAX_BLOCKED_SHARE),
        _share_check("few_partial", report.partial / seen, MAX_PARTIAL_SHARE),
    ]


def _share_check(name: str, share: float, limit: float) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=share <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": share, "limit": limit},
    )


raw_assets = [_raw_asset(source) for source in SOURCES]
