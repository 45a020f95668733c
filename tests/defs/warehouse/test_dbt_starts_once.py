"""A dbt command is one process: neither is its version asked of the package index beside it, nor the project loaded a second time."""

import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

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
