"""Warehouse: the dbt project on DuckDB that standardises raw payloads into documents."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource

from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.storage.library import LIBRARY
from twin_assets.defs.shared.dbt import PersonaModels
from twin_assets.feature.corpus.warehouse import count_damaged

STAGED = "stg_documents"


@dataclass
class DocumentModels(PersonaModels):
    """The models of documents. Their staging follows every source, and says how many lines could not be read."""

    after: dict[str, list[str]] = field(
        default_factory=lambda: {STAGED: [f"raw_{source}" for source in (*SOURCES, LIBRARY)]}
    )

    def execute(self, context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
        told: list[Any] = []
        try:
            told.extend(super().execute(context, dbt))
        except Exception:
            yield from told
            raise
        # dbt has let go of the database
        damaged = count_damaged(context.resources.platform.settings.warehouse_path, context.partition_key)
        for event in told:
            if isinstance(event, dg.Output) and event.output_name == STAGED:
                about = dict(event.metadata) | {"damaged_lines": dg.MetadataValue.int(damaged)}
                yield dg.Output(event.value, STAGED, metadata=about, data_version=event.data_version)
            else:
                yield event
