"""Warehouse: the dbt project on DuckDB that standardises raw payloads into documents."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from twin_assets.core.persona.definition import SOURCES
from twin_assets.core.processes import time_limit, took_too_long
from twin_assets.core.storage.experiments import FOLDER as EXPERIMENTS_FOLDER
from twin_assets.core.storage.library import LIBRARY
from twin_assets.defs.shared.common import OWNERS, WAREHOUSE, WAREHOUSE_POOL, personas, when_inputs_change
from twin_assets.defs.shared.resources import DBT_PROJECT, Platform, dbt_cli
from twin_assets.feature.corpus.warehouse import count_damaged

os.environ.setdefault("TWIN_WAREHOUSE", "unset.duckdb")  # parsing asks for it, but opens nothing
project = DbtProject(project_dir=DBT_PROJECT, profiles_dir=DBT_PROJECT)


# Selects the models that come after training and in production; they are assets of the folders `evaluation` and
# `monitoring`.
EXPERIMENTS = "tag:experiments"
PRODUCTION = "tag:monitoring"
STAGED = "stg_documents"
DBT_SECONDS = 3600.0


def dbt_manifest() -> Path:
    """The dbt manifest, parsed again when a project file is newer than it."""
    manifest = project.manifest_path
    sources = [
        p for p in DBT_PROJECT.rglob("*") if p.suffix in {".sql", ".yml", ".csv"} and "target" not in p.parts
    ]
    if not manifest.exists() or manifest.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        parsing = dbt_cli().cli(["parse", "--quiet"], target_path=project.project_dir / project.target_path)
        with time_limit(parsing.process, DBT_SECONDS):
            parsing.wait()
    return manifest


class Translator(DagsterDbtTranslator):
    """Names, groups and policies of dbt models as assets of this graph.

    `after` says which assets a staging model follows: dbt reads folders of the lake, whose objects are assets here.
    """

    def __init__(
        self, group: str, after: Mapping[str, Sequence[str]], condition: dg.AutomationCondition | None = None
    ) -> None:
        super().__init__()
        self._group, self._after, self._condition = group, after, condition

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey(dbt_resource_props["name"])

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        after = self._after.get(spec.key.to_user_string())
        return spec.replace_attributes(deps=[dg.AssetKey(name) for name in after]) if after else spec

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return self._group

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return OWNERS

    def get_automation_condition(
        self, dbt_resource_props: Mapping[str, Any]
    ) -> dg.AutomationCondition | None:
        return self._condition


@dbt_assets(
    manifest=dbt_manifest(),
    project=project,
    exclude=f"{EXPERIMENTS} {PRODUCTION}",
    partitions_def=personas,
    dagster_dbt_translator=Translator(
        WAREHOUSE, {STAGED: [f"raw_{source}" for source in (*SOURCES, LIBRARY)]}, when_inputs_change
    ),
    pool=WAREHOUSE_POOL,
)
def warehouse(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform) -> Iterator[Any]:
    """`dbt build` for one persona: models and their tests, as assets and asset checks."""
    told: list[Any] = []
    try:
        told.extend(build_models(context, dbt, platform))
    except Exception:
        yield from told
        raise
    damaged = count_damaged(
        platform.settings.warehouse_path, context.partition_key
    )  # dbt has let go of the database
    for event in told:
        if isinstance(event, dg.Output) and event.output_name == STAGED:
            about = dict(event.metadata) | {"damaged_lines": dg.MetadataValue.int(damaged)}
            yield dg.Output(event.value, STAGED, metadata=about, data_version=event.data_version)
        else:
            yield event


def build_models(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform, **folders: str
) -> Iterator[Any]:
    """`dbt build` of the context's models for its persona. `folders` are variables beside those that every run is told,
    each with the folder of the lake that it stands for."""
    variables = json.dumps(_variables(platform, context.partition_key, folders))
    building = dbt.cli(["build", "--vars", variables], context=context)
    with time_limit(building.process, DBT_SECONDS) as late:
        try:
            yield from building.stream()
        except Exception:
            if late.is_set():
                raise took_too_long("dbt build", DBT_SECONDS, "see what else holds the warehouse, then run it again.") from None  # fmt: skip
            raise


def _variables(platform: Platform, persona: str, folders: Mapping[str, str]) -> dict[str, str]:
    """Whose models to build, and where the lake's objects lie."""
    settings, lake = platform.settings, platform.lake
    settings.home.mkdir(parents=True, exist_ok=True)
    os.environ["TWIN_WAREHOUSE"] = str(settings.warehouse_path)
    folders = {"raw_dir": "raw", "experiments_dir": EXPERIMENTS_FOLDER, "reports_dir": "reports"} | dict(
        folders
    )
    return {"persona": persona} | {name: str(lake.local(prefix)) for name, prefix in folders.items()}
