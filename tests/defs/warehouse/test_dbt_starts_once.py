"""A dbt command is one process: neither is its version asked of the package index beside it, nor the project loaded a second time.
What it writes beside the warehouse does not pile up."""

import os
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from twin_assets.defs.shared.dbt import FAILED_KEPT_DAYS, remove_old_targets
from twin_assets.defs.shared.resources import dbt_cli


def test_a_dbt_command_starts_one_process_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    begin = subprocess.Popen.__init__

    def noted(self: Any, args: Any, *rest: Any, **named: Any) -> None:
        started.append(args)
        begin(self, args, *rest, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    monkeypatch.setenv("TWIN_WAREHOUSE", str(tmp_path / "warehouse.duckdb"))
    parsing = dbt_cli().cli(["parse", "--quiet"], target_path=tmp_path)
    assert parsing.is_successful()
    assert (tmp_path / "manifest.json").exists()
    assert [args[1:] for args in started] == [["parse", "--quiet"]]
    assert parsing.adapter is None
    assert str(parsing.cli_version) == version("dbt-core")


def test_what_a_failed_build_left_goes_after_a_week(tmp_path: Path) -> None:
    names = ["warehouse-now", "warehouse-old", "warehouse-new", "production_marts-old", "manifest.json"]
    for name in names:
        (tmp_path / name).mkdir()
    long_ago = time.time() - (FAILED_KEPT_DAYS + 1) * 86400
    for name in ("warehouse-now", "warehouse-old", "production_marts-old"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    remove_old_targets(tmp_path / "warehouse-now")
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {"warehouse-old"}
