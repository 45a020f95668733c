"""Dagster's own command line takes this checkout for a project of its kind."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from twin_assets.definitions import defs
from twin_assets.settings import ROOT

DG = ROOT / ".venv" / "dg"


def dg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make dg` runs."""
    if not (DG / "dagster_dg_cli").is_dir():
        pytest.skip("DG NOT RUN: `make validate` installs it")
    environment = os.environ | {"PYTHONPATH": f"{DG}:{ROOT}", "VIRTUAL_ENV": str(ROOT / ".venv")}
    return subprocess.run(
        [sys.executable, "-m", "dagster_dg_cli.cli", *arguments], cwd=ROOT, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_dg_finds_nothing_wrong_with_definitions_and_yaml() -> None:
    ended = dg("check", "defs")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "All component YAML validated successfully." in ended.stdout
    assert "All definitions loaded successfully." in ended.stdout


def test_dg_lists_what_the_code_location_holds() -> None:
    ended = dg("list", "defs", "--json")
    assert ended.returncode == 0, ended.stderr
    listed: dict[str, list[dict[str, Any]]] = json.loads(ended.stdout)
    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    groups = {one["asset_key"]: one["group_name"] for one in listed["assets"]}
    assert groups == {
        key.to_user_string(): graph.get(key).group_name for key in graph.materializable_asset_keys
    }
    assert {one["name"] for one in listed["sensors"]} == {one.name for one in repository.sensor_defs}
    assert {one["name"] for one in listed["schedules"]} == {one.name for one in repository.schedule_defs}
    assert len(listed["asset_checks"]) == len(graph.asset_check_keys)


def test_what_dg_needs_is_pinned_by_bytes() -> None:
    pins = [
        line for line in (ROOT / "deploy/dg/pins.txt").read_text().splitlines() if not line.startswith("#")
    ]
    hashed = (ROOT / "deploy/dg/hashes.txt").read_text().splitlines()
    assert [line.split(" ")[0] for line in hashed if "==" in line] == pins, "run: python deploy/hashes.py"
    environment = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    versions = dict(pin.split("==") for pin in pins)
    assert versions["dagster-dg-cli"] == environment["dagster"]
