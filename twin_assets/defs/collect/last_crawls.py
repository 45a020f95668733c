"""What Dagster knows of the last crawl of each source."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg

from twin_assets.core.persona.definition import SOURCES
from twin_assets.defs.collect.assets import ERROR
from twin_assets.defs.shared.versions import newest_records


class LastCrawl(NamedTuple):
    """`error` is what is wrong with the source, None where nothing is; `asset` is where it stands."""

    persona: str
    source: str
    asset: str
    at: datetime
    error: str | None


def last_crawls(instance: dg.DagsterInstance, personas: Collection[str] | None = None) -> Iterator[LastCrawl]:
    """Of every source of everybody, or of some; two queries a source, however many personas there are."""
    for source in SOURCES:
        asset = f"raw_{source}"
        for persona, record in newest_records(instance, asset, personas).items():
            told = record.asset_materialization
            error = told.metadata.get(ERROR) if told is not None else None
            at = datetime.fromtimestamp(record.timestamp, UTC)
            yield LastCrawl(persona, source, asset, at, str(error.value) if error is not None else None)
