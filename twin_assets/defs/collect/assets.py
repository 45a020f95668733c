"""Collect: one asset a source. Raw payloads go to the lake as fetched, append-only."""

import time
from typing import Any

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.storage.library import LIBRARY
from twin_assets.core.uploads.staging import drop_replaced, sweep_staged
from twin_assets.defs.shared.common import COLLECT, OWNERS, READS_OUTSIDE, personas
from twin_assets.defs.shared.metadata import left_out_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.retries import retried_when_away
from twin_assets.defs.shared.versions import latest
from twin_assets.feature.crawl.crawl import CrawlReport, crawl_source

MAX_BLOCKED_SHARE = 0.2
MAX_PARTIAL_SHARE = 0.5
# A source that suddenly has so much less has rather changed its format than lost its writing.
MAX_DROP = 0.3
WHOLE = "collected_whole"
ERROR = "error"  # the metadata that says what is wrong with the source, where something is
CHECKS = {
    WHOLE: "The source was read to its end; else what is stored of it stays as it is.",
    "no_spider_errors": "No answer on which our own code failed.",
    "few_blocked": "Few block pages.",
    "few_partial": "Few truncated items.",
    "no_volume_drop": "Not much fewer items than the crawl before.",
}


class RawSources(dg.Component, dg.Model, dg.Resolvable):
    """One asset for each source that a persona may declare."""

    sources: list[str]

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Raises TwinError where the sources named aren't those that a persona may declare."""
        if wrong := sorted(set(self.sources) ^ set(SOURCES)):
            raise TwinError(
                f"{', '.join(wrong)}: named in defs/collect/sources/defs.yaml or a source of personas, not both.",
                "name there exactly the sources that core/persona has.",
            )
        return dg.Definitions(assets=[_raw_asset(source) for source in self.sources])


def _raw_asset(source: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"raw_{source}",
        partitions_def=personas,
        group_name=COLLECT,
        owners=OWNERS,
        kinds={"scrapy", "json"},
        tags={"source": source} | READS_OUTSIDE,
        code_version="1",
        # One crawl of a source at a time, for its hosts' sake. In one pool for all, each of a persona's fifteen sources
        # would wait for a slot up to 15 s longer than it has to: Dagster looks again ever more seldom.
        pool=f"crawl_{source}",
        description=f"Payloads collected from {source}: immutable, as fetched, append-only.",
        check_specs=[
            dg.AssetCheckSpec(name, asset=f"raw_{source}", description=about)
            for name, about in CHECKS.items()
        ],
    )
    @retried_when_away
    def collect(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        persona = platform.persona(context.partition_key)
        if source not in persona.sources():
            return dg.MaterializeResult(
                metadata={"note": f"{persona.name} has no {source} source"},
                check_results=[dg.AssetCheckResult(check_name=name, passed=True) for name in CHECKS],
                data_version=dg.DataVersion("none"),
            )
        began = time.time()
        sweep_staged(platform.settings.home)
        report = crawl_source(platform.settings, persona, source, context.log.info)
        before = _items_before(context)
        if report.error:
            # What was fetched is stored, and the rest of the graph goes on with what is stored: of this source and of
            # the others. The check says that it isn't all.
            context.log.error(report.error)
        else:
            drop_replaced(platform.settings.home, source, [persona, platform.persona(persona.name)], began)
        stored = list(platform.lake.keys(f"raw/{source}/{persona.name}"))
        return dg.MaterializeResult(
            metadata=_metadata(report, before) | {"objects": len(stored)},
            check_results=_checks(report, before),
            data_version=dg.DataVersion(fingerprint(stored)),
        )

    return collect


def _metadata(report: CrawlReport, before: int) -> dict[str, Any]:
    # A crawl that couldn't even begin has counted nothing; what was there still is.
    items = before if report.error and not report.items else report.items
    error = {ERROR: report.error} if report.error else {}
    counts = {
        "fetched": report.fetched, "new": report.new, "changed": report.changed,
        "unchanged": report.unchanged, "partial": report.partial, "deleted": report.deleted,
        "items": items, "bugs": report.bugs, "recovered": report.recovered,
        "damaged": report.damaged,
        "requests": report.requests, "bytes": report.bytes, "not_modified": report.not_modified,
        "saved_requests": report.saved_requests, "saved_bytes": report.saved_bytes,
    }  # fmt: skip
    return (
        error
        | counts
        | {
            "blocked": dg.MetadataValue.json(report.blocked),
            "failed": dg.MetadataValue.json(report.failed),
            "skipped": left_out_table(report.skipped, report.left_out),
            "samples": dg.MetadataValue.json(report.samples),
            "troubles": dg.MetadataValue.json(report.troubles),
        }
    )


def _items_before(context: dg.AssetExecutionContext) -> int:
    """How many items the source had after the crawl before this one; 0 when there was none."""
    before = latest(context.instance, context.asset_key, context.partition_key)
    items = before.metadata.get("items") if before else None
    return int(str(items.value)) if items else 0


def _checks(report: CrawlReport, before: int) -> list[dg.AssetCheckResult]:
    blocked, seen = sum(report.blocked.values()), max(report.fetched, 1)
    lost = max(before - report.items, 0) if not report.error else 0
    return [
        dg.AssetCheckResult(
            check_name=WHOLE,
            passed=report.error is None,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={ERROR: report.error or "none"},
            description=report.error,
        ),
        dg.AssetCheckResult(
            check_name="no_spider_errors",
            passed=report.bugs == 0,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"count": report.bugs},
        ),
        _share_check("few_blocked", blocked / (seen + blocked), MAX_BLOCKED_SHARE),
        _share_check("few_partial", report.partial / seen, MAX_PARTIAL_SHARE),
        _share_check("no_volume_drop", lost / max(before, 1), MAX_DROP),
    ]


def _share_check(name: str, share: float, limit: float) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=share <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": share, "limit": limit},
    )


@dg.asset(
    partitions_def=personas,
    group_name=COLLECT,
    owners=OWNERS,
    kinds={"json"},
    tags={"source": LIBRARY} | READS_OUTSIDE,
    code_version="1",
)
@retried_when_away
def raw_library(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Pages and papers that the API added to the persona's library; nothing is fetched here."""
    stored = list(platform.lake.keys(f"raw/{LIBRARY}/{context.partition_key}"))
    version = fingerprint(stored) if stored else "none"
    return dg.MaterializeResult(metadata={"objects": len(stored)}, data_version=dg.DataVersion(version))
