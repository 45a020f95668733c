"""Warehouse: the dbt project on DuckDB that standardises raw payloads into documents."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from twin_assets.core.experiments import FOLDER as EXPERIMENTS_FOLDER
from twin_assets.core.library import LIBRARY
from twin_assets.core.persona import SOURCES
from twin_assets.defs.common import OWNERS, WAREHOUSE, WAREHOUSE_POOL, personas, when_inputs_change
from twin_assets.defs.resources import DBT_PROJECT, Platform, dbt_cli

os.environ.setdefault("TWIN_WAREHOUSE", "unset.duckdb")  # parsing asks for it, but opens nothing
project = DbtProject(project_dir=DBT_PROJECT, profiles_dir=DBT_PROJECT)


# Selects the models that come after training and in production; they are assets of `s7_experiments` and
# `s9_monitoring`.
EXPERIMENTS = "tag:experiments"
PRODUCTION = "tag:monitoring"


def dbt_manifest() -> Path:
    """The dbt manifest, parsed again when a project file is newer than it."""
    manifest = project.manifest_path
    sources = [
        p for p in DBT_PROJECT.rglob("*") if p.suffix in {".sql", ".yml", ".csv"} and "target" not in p.parts
    ]
    if not manifest.exists() or manifest.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        dbt_cli().cli(["parse", "--quiet"], target_path=project.project_dir / project.target_path).wait()
    return manifest


class Translator(DagsterDbtTranslator):
    """Names, groups and policies of dbt models as assets of this graph."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey(dbt_resource_props["name"])

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        if unique_id.endswith(".stg_documents"):
            # dbt reads one folder with every source in it; each source is an asset of its own here.
            return spec.replace_attributes(
                deps=[dg.AssetKey(f"raw_{source}") for source in (*SOURCES, LIBRARY)]
            )
        return spec

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return WAREHOUSE

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return OWNERS

    def get_automation_condition(self, dbt_resource_props: Mapping[str, Any]) -> dg.AutomationCondition:
        return when_inputs_change


@dbt_assets(
    manifest=dbt_manifest(),
    project=project,
    exclude=f"{EXPERIMENTS} {PRODUCTION}",
    partitions_def=personas,
    dagster_dbt_translator=Translator(),
    pool=WAREHOUSE_POOL,
)
def warehouse(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform) -> Iterator[Any]:
    """`dbt build` for one persona: models and their tests, as assets and asset checks."""
    variables = json.dumps(dbt_variables(platform, context.partition_key))
    yield from dbt.cli(["build", "--vars", variables], context=context).stream()


def dbt_variables(platform: Platform, persona: str, **folders: str) -> dict[str, str]:
    """What every dbt run is told: whose models to build, and where the lake's objects lie.

    `folders` are further variables, each with the folder of the lake that it stands for.
    """
    settings, lake = platform.settings, platform.lake
    settings.home.mkdir(parents=True, exist_ok=True)
    os.environ["TWIN_WAREHOUSE"] = str(settings.warehouse_path)
    folders = {"raw_dir": "raw", "experiments_dir": EXPERIMENTS_FOLDER, "reports_dir": "reports"} | folders
    return {"persona": persona} | {name: str(lake.local(prefix)) for name, prefix in folders.items()}
