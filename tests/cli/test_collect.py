"""Collecting from a terminal, from real sites on this machine, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.sites import DemoSites
from tests.cli.terminal import Terminal
from tests.feature.crawl.writing import write_article, write_post
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import ROOT


def test_one_source_or_all_of_them_are_collected_and_an_ill_one_is_told(tmp_path: Path) -> None:
    write_post(tmp_path / "w", 1)
    write_article(tmp_path / "w", "medium", 1)
    with DemoSites(tmp_path / "w") as sites:
        terminal = Terminal(
            tmp_path / "home", allow_private_hosts="true", linkedin_token="t", crawl_backoff="0.01"
        )
        terminal.declare(
            "runa", medium={"feed": sites.url("/medium/feed/@runahollis")},
            linkedin={"profile": "https://www.linkedin.com/in/r", "api": sites.url("/linkedin")},
        )  # fmt: skip
        lake = LocalLake(terminal.settings.lake_dir)

        def collect(*words: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [sys.executable, "-m", "twin_assets.cli", "collect", *words], cwd=ROOT, text=True,
                env=os.environ | terminal.environment, capture_output=True, check=False,
            )  # fmt: skip

        one = collect("runa", "--source", "medium")
        assert one.returncode == 0, one.stdout + one.stderr
        assert "✓ raw_medium" in one.stdout
        assert list(lake.keys("raw/medium/runa"))
        assert not list(lake.keys("raw/linkedin/runa"))
        sites.fail["/linkedin"] = 500
        both = collect()  # there is only one persona
        assert both.returncode == 3, both.stdout + both.stderr
        assert "✗ raw_linkedin: " in both.stdout
        assert "HTTP 500" in both.stdout
        assert "✓ raw_medium" in both.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["collect", "runa", "--source", "github"], "declares no source github (declared: web)"),
        (["collect", "nobody"], "no persona 'nobody'"),
        (["collect"], "name one of: ada, runa"),
        (["run", "nobody"], "no persona 'nobody'"),
    ],
)
def test_what_is_not_declared_is_not_collected(tmp_path: Path, words: list[str], said: str) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("ada")
    terminal.declare("runa")
    result = terminal.twin(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["personas"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"impostors": ["others/nobody"]}, "nobody holds no Markdown and no plain text"),
        ({"questions": "asked.yaml"}, "asked.yaml can't be read"),
    ],
)
def test_a_walk_says_before_it_begins_which_file_its_evaluation_could_not_read(
    tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("ada", web={"pages": ["https://ada.example/a"]}, **fields)
    result = terminal.twin("run", "ada")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["personas"]
