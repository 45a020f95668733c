"""dbt models as assets: a component that builds a selection of the project for one persona."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.utils.defs_state import DefsStateConfig
from dagster_dbt import DbtCliResource, DbtProject, DbtProjectComponent, dbt_assets
from dagster_shared.record import replace

from twin_assets.core.processes import time_limit, took_too_long
from twin_assets.core.storage.experiments import FOLDER as EXPERIMENTS_FOLDER
from twin_assets.defs.shared import common
from twin_assets.defs.shared.common import OWNERS, personas
from twin_assets.defs.shared.resources import Platform, dbt_cli

os.environ.setdefault("TWIN_WAREHOUSE", "unset.duckdb")  # parsing asks for it, but opens nothing
DBT_SECONDS = 3600.0
FAILED_KEPT_DAYS = 7.0


@dg.template_var
def when_inputs_change() -> dg.AutomationCondition:
    return common.when_inputs_change


@dg.template_var
def when_a_run_has_ended() -> dg.AutomationCondition:
    return common.when_a_run_has_ended


@dataclass
class PersonaModels(DbtProjectComponent):
    """Models of the dbt project, partitioned by persona.

    Each run is told whose models to build, and where in the lake what they read lies. The manifest is parsed again when
    a file of the project is newer than it, and at no other time.
    """

    group: str = ""
    automation: Annotated[dg.AutomationCondition | None, dg.Resolver.default(model_field_type=str | None)] = (
        None
    )
    # Which assets a staging model follows: dbt reads folders of the lake, whose objects are assets here.
    after: dict[str, list[str]] = field(default_factory=dict)
    # Variables beside those that every run is told, each with the folder of the lake that it stands for.
    folders: dict[str, str] = field(default_factory=dict)
    prepare_if_dev: bool = False

    @property
    def defs_state_config(self) -> DefsStateConfig:
        name = self.op.name if self.op else self.select
        return replace(super().defs_state_config, key=f"dbt_project-{name}")

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        after = self.after.get(spec.key.to_user_string())
        return spec.replace_attributes(
            group_name=self.group,
            owners=OWNERS,
            automation_condition=self.automation,
            deps=[dg.AssetKey(name) for name in after] if after else spec.deps,
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Dagster would keep a copy of the project below a pyproject.toml. It lies beside this code, as does its manifest,
        also where there is no such file: in an installed wheel."""
        return self.build_defs_from_state(context, None)

    def build_defs_from_state(
        self, context: dg.ComponentLoadContext, state_path: Path | None
    ) -> dg.Definitions:
        @dbt_assets(
            manifest=current_manifest(self.dbt_project),
            project=self.dbt_project,
            select=self.select,
            exclude=self.exclude,
            name=self.op.name if self.op else None,
            pool=self.op.pool if self.op else None,
            partitions_def=personas,
            dagster_dbt_translator=self.translator,
        )
        def models(
            context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform
        ) -> Iterator[Any]:
            yield from self.execute(context, dbt)

        return dg.Definitions(assets=[models])

    def execute(self, context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
        """`dbt build` of the context's models for its persona: models and their tests, as assets and asset checks."""
        variables = json.dumps(self._variables(context.resources.platform, context.partition_key))
        building = dbt.cli(["build", "--vars", variables], context=context)
        remove_old_targets(building.target_path)
        with time_limit(building.process, DBT_SECONDS) as late:
            try:
                yield from building.stream()
            except Exception:
                if late.is_set():
                    raise took_too_long(
                        "dbt build", DBT_SECONDS, "see what else holds the warehouse, then run it again."
                    ) from None
                raise
        # Some three megabytes a run, which nobody reads but where a build failed: its error names the folder.
        shutil.rmtree(building.target_path, ignore_errors=True)

    def _variables(self, platform: Platform, persona: str) -> dict[str, str]:
        """Whose models to build, and where the lake's objects lie."""
        settings, lake = platform.settings, platform.lake
        settings.home.mkdir(parents=True, exist_ok=True)
        os.environ["TWIN_WAREHOUSE"] = str(settings.warehouse_path)
        folders = {"raw_dir": "raw", "experiments_dir": EXPERIMENTS_FOLDER, "reports_dir": "reports"}
        return {"persona": persona} | {
            name: str(lake.local(prefix)) for name, prefix in (folders | self.folders).items()
        }


def remove_old_targets(target: Path) -> None:
    """Of runs of the same models, what failed ones and those that were killed left more than some days ago."""
    kind = target.name.split("-", 1)[0]
    for left in target.parent.glob(f"{kind}-*"):
        with suppress(OSError):  # another run's, which removes it now
            if left != target and time.time() - left.stat().st_mtime > FAILED_KEPT_DAYS * 86400:
                shutil.rmtree(left, ignore_errors=True)


def current_manifest(project: DbtProject) -> Path:
    """The manifest, parsed again when a project file is newer than it."""
    manifest = project.manifest_path
    # What dbt writes is not looked through: `target` grows with every run, and each import of the graph asks.
    parts = [part for part in Path(project.project_dir).iterdir() if part.name != "target"]
    files = (path for part in parts for path in (part, *part.rglob("*")))
    sources = [path for path in files if path.suffix in {".sql", ".yml", ".csv"}]
    if not manifest.exists() or manifest.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        parsing = dbt_cli().cli(["parse", "--quiet"], target_path=project.project_dir / project.target_path)
        with time_limit(parsing.process, DBT_SECONDS):
            parsing.wait()
    return manifest
