"""The command as a whole: it starts at once, its help teaches, and it ends as scripts are told."""

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from tests.cli.terminal import Terminal
from twin_assets.cli.main import app
from twin_assets.core.storage.dagster_home import INSTANCE
from twin_assets.settings import ROOT

HEAVY = {"torch", "dagster", "dbt", "transformers", "bentoml", "duckdb", "lancedb", "pyarrow", "scrapy"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:  # fmt: skip
    """Every command that does something, with the words that lead to it."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield path, command


ALL = dict(commands(typer.main.get_command(app)))


def test_help_and_completion_wait_for_nothing_heavy() -> None:
    """Looked at in a process of its own: here much is imported already."""
    code = (
        "import sys; from twin_assets.cli.main import app\n"
        "try: app(sys.argv[1:], prog_name='twin')\n"
        "except SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    for words in (["--help"], ["run", "--help"], ["keys", "create", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "Usage: twin" in done.stdout
        assert "'typer'" in done.stderr
        assert not {name for name in HEAVY if f"'{name}'" in done.stderr}


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_says_what_it_does_and_shows_itself_in_use(words: tuple[str, ...], tmp_path: Path) -> None:  # fmt: skip
    shown = " ".join(Terminal(tmp_path).said(*words, "--help").replace("│", " ").split())
    assert "Examples $ " in shown
    assert f"twin {' '.join(words)}" in shown.partition("Examples")[2]
    for parameter in ALL[words].params:
        about = getattr(parameter, "help", None)
        assert about, (words, parameter.name)
        assert " ".join(about.split()[:2]) in shown


def test_examples_can_be_parsed_by_the_commands_that_they_show() -> None:
    shown = [
        line.partition("twin ")[2].partition(" && ")[0].partition(" > ")[0]
        for command in ALL.values() for line in (command.epilog or "").split("\n\n")[1:]
    ]  # fmt: skip
    assert len(shown) > len(ALL)
    for example in shown:
        words = shlex.split(example)
        path = next(path for path in ALL if tuple(words[: len(path)]) == path)
        given = [
            str(ROOT) if word.endswith(".zip") else word for word in words[len(path) :]
        ]  # a path that is there
        ALL[path].make_context("twin", given)


def test_what_cannot_be_done_is_told_with_its_fix_and_ends_with_1(tmp_path: Path) -> None:
    result = Terminal(tmp_path).twin("registry", "trace", "twin-runa-sft:nope")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no model 'twin-runa-sft:nope'" in result.stderr
    assert "Fix: " in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"], ["registry", "push", "a:b", "--to", "moon"], ["registry", "gc", "--keep-last", "0"],
        ["collect", "--json"], ["collect", "--preview", "nowhere.zip"], ["collect", "--source", "web", "--preview", "."],
        ["erase", "runa"], ["erase", "runa", "--user", "ann"], ["erase", "runa", "--request", "1", "--document", "2"],
        ["erase", "runa", "--texts-older-than", "-1"], ["keys", "create", "bot", "--action", "fly"],
        ["keys", "create", "bot", "--per-minute", "-1"], ["release", "approve", "runa"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2_and_touches_nothing(tmp_path: Path, words: list[str]) -> None:
    result = Terminal(tmp_path / "home").twin(*words)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert "Usage: twin" in result.stderr
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["personas"]


def test_settings_that_cannot_be_used_are_named_without_their_values(tmp_path: Path) -> None:
    result = Terminal(tmp_path, llm_port="hunter2", watch_minutes="soon").twin("personas")
    assert result.exit_code == 1
    assert "TWIN_LLM_PORT: " in result.stderr
    assert "TWIN_WATCH_MINUTES: " in result.stderr
    assert "hunter2" not in result.output
    result = Terminal(tmp_path, cors_origins="hunter2").twin("personas")
    assert (result.exit_code, "cors_origins" in result.stderr, "hunter2" in result.output) == (1, True, False)


def test_a_shell_completes_personas(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("ada")
    terminal.declare("runa")
    terminal.environment |= {"_TWIN_COMPLETE": "complete_bash", "COMP_WORDS": "twin run ", "COMP_CWORD": "2"}
    assert terminal.twin().stdout.split() == ["ada", "runa"]
    terminal.environment |= {"TWIN_LLM_PORT": "soon"}
    assert terminal.twin().output.split() == []


def test_sites_whose_port_is_taken_say_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = Terminal(tmp_path).twin("demo-sites", "--port", str(port))
    assert (result.exit_code, f"Port {port}" in result.stderr, "Fix: " in result.stderr) == (1, True, True)


def test_init_makes_the_home_as_a_process_of_its_own(tmp_path: Path) -> None:
    environment = Terminal(tmp_path).environment | {"PATH": ""}
    command = [sys.executable, "-m", "twin_assets.cli"]
    done = subprocess.run(
        [*command, "init"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "dagster" / "dagster.yaml").read_text()) == INSTANCE
    refused = subprocess.run(
        [*command, "run", "nobody"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout, "Traceback" in refused.stderr) == (1, "", False)
    assert "no persona 'nobody'" in refused.stderr


def test_personas_are_listed_with_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert "none yet" in terminal.said("personas")
    terminal.declare("runa")
    assert "Runa, public: web" in terminal.said("personas")
    (terminal.settings.personas_dir / "ill.yaml").write_text("web: [")
    result = terminal.twin("personas", "--json")
    assert result.exit_code == 1
    ill, runa = json.loads(result.stdout)
    assert (runa["name"], runa["sources"]) == ("runa", ["web"])
    assert "ill.yaml is not YAML" in ill["problem"]
    assert terminal.said("personas", "--schema") == (ROOT / "personas" / "schema.json").read_text()


def test_a_person_is_paused_and_goes_on(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.declare("runa")
    unknown = terminal.twin("personas", "pause", "nobody")
    assert (unknown.exit_code, "no persona 'nobody'" in unknown.output) == (1, True)
    long = terminal.twin("personas", "pause", "runa", "--reason", "x" * 301)
    assert (long.exit_code, "300 characters at most" in long.output) == (1, True)
    assert "paused" not in terminal.said("personas")
    told = terminal.said("personas", "pause", "runa", "--reason", "on leave", "--by", "Ines")
    assert "by Ines (system user " in told
    assert "What serves goes on serving" in told
    assert "Runa, public: web (paused since " in terminal.said("personas")
    assert json.loads(terminal.said("personas", "--json"))[0]["paused"]["reason"] == "on leave"
    looked = json.loads(terminal.twin("doctor", "--json").stdout)
    note = next(one for one in looked if one["look"] == "paused" and "on leave" in one["says"])
    assert (note["state"], note["fix"].startswith("twin personas resume runa")) == ("note", True)
    assert terminal.said("personas", "resume", "runa") == "runa goes on.\n"
    assert "paused" not in terminal.said("personas")
    assert terminal.twin("personas", "resume", "runa").exit_code == 1
