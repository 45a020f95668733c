"""The code location is what lies in `defs/`: found there, light to import, and kept fresh."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
from dagster_dbt import DbtProjectComponent

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import SOURCES
from twin_assets.definitions import defs
from twin_assets.defs.collect.assets import RawSources
from twin_assets.defs.shared.common import FRESHNESS, STAGES
from twin_assets.settings import ROOT

SHARED = sorted((ROOT / "twin_assets" / "defs" / "shared").glob("*.py"))
DEFINED = (
    dg.AssetsDefinition, dg.AssetSpec, dg.JobDefinition, dg.SensorDefinition, dg.ScheduleDefinition, dg.Definitions,
)  # fmt: skip
# Kubernetes' is of an extra too: who installs without it must be able to import the definitions.
HEAVY = {
    "torch", "axolotl", "transformers", "scrapy", "bentoml", "litellm", "lancedb", "daft", "wandb", "kubernetes", "dagster_k8s",
}  # fmt: skip
# A dbt that parses is a process.
IMPORT = """
import subprocess, sys
started = []
begin = subprocess.Popen.__init__
def noted(self, args, *rest, **named):
    started.append(args)
    begin(self, args, *rest, **named)
subprocess.Popen.__init__ = noted
import twin_assets.definitions
print(*sys.modules)
print(started)
"""


def test_importing_the_definitions_loads_no_heavy_library_and_parses_no_dbt() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT,
        env=environment,
    )  # fmt: skip
    modules, started = ended.stdout.splitlines()[-2:]
    assert "twin_assets.defs.monitoring.assets" in modules.split()
    assert not HEAVY & set(modules.split())
    assert "scipy.stats" not in modules.split()
    assert "dbt" not in started  # this process has imported the definitions, so that the manifest is current


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_what_stages_share_defines_nothing(path: Path) -> None:
    module = import_module(f"twin_assets.defs.shared.{path.stem}")
    for name, value in vars(module).items():
        inside = value if isinstance(value, list) else [value]
        assert not any(isinstance(one, DEFINED) for one in inside), name


def test_dbt_and_the_sources_are_components_named_in_yaml() -> None:
    tree = defs.component_tree
    assert tree is not None
    projects = tree.get_all_components(of_type=DbtProjectComponent)
    assert {one.op.name for one in projects if one.op} == {
        "warehouse",
        "experiments_mart",
        "production_marts",
    }
    [raw] = tree.get_all_components(of_type=RawSources)
    assert raw.sources == list(SOURCES)
    named = {path.parent.relative_to(ROOT / "twin_assets/defs").as_posix() for path in ROOT.glob("twin_assets/defs/**/defs.yaml")}  # fmt: skip
    assert named == {"collect/sources", "warehouse", "evaluation/marts", "monitoring/marts"}


@pytest.mark.parametrize("sources", [[*SOURCES[1:]], [*SOURCES, "fax"]])
def test_a_source_that_personas_or_the_yaml_lack_is_named(sources: list[str]) -> None:
    wrong = "fax" if "fax" in sources else SOURCES[0]
    with pytest.raises(TwinError, match=f"^{wrong}: named in defs/collect/sources/defs.yaml or"):
        dg.build_defs_for_component(RawSources(sources=sources))


def test_every_asset_says_until_when_it_is_fresh() -> None:
    graph = defs.resolve_asset_graph()
    assert set(FRESHNESS) == set(STAGES)
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.freshness_policy == FRESHNESS[str(node.group_name)], key
