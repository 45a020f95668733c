"""dbt as the platform runs it, on a warehouse of the test's own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb

from twin_assets.settings import ROOT


def run_dbt(
    tmp_path: Path, command: list[str], persona: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    warehouse = tmp_path / "warehouse.duckdb"
    (tmp_path / "raw").mkdir(exist_ok=True)
    told = json.dumps({"persona": persona, "raw_dir": str(tmp_path / "raw")} | variables)
    dbt = Path(sys.executable).with_name("dbt")
    project = str(ROOT / "dbt_project")
    return subprocess.run(
        [
            str(dbt), "--no-use-colors", *command, "--project-dir", project, "--profiles-dir", project,
            "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path), "--vars", told,
        ],
        env=os.environ | {"TWIN_WAREHOUSE": str(warehouse), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def query(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()
