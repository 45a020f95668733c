"""Factories of the social sources: a persona with one of them, and one crawl of it."""

from pathlib import Path
from typing import Any

from tests.feature.crawl.writing import crawl, settings, stored
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import SourcePart
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.items import CrawlReport


def only(**source: Any) -> Persona:
    """A persona with one source."""
    return Persona(name="runa", full_name="Runa Hollis", about="Ferries.", license="CC-BY-4.0", **source)


def collect(home: Path, source: str, part: SourcePart, **more: Any) -> tuple[CrawlReport, dict[str, RawItem]]:
    """One crawl of a source: its report, and the stored items by id."""
    here = settings(home, linkedin_token=None)
    report = crawl(here, only(**{source: part}, **more), source)
    return report, {item.item_id: item for item in stored(here, source) if item.kind == "item"}
