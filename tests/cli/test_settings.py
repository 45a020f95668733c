"""Every setting is told, and none of what is secret; folders are the same for every process."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.cli.terminal import Terminal
from twin_assets.cli.settings import as_markdown
from twin_assets.settings import ROOT, Settings, load_settings, settings_parts


def test_the_page_of_settings_is_what_the_command_writes(tmp_path: Path) -> None:
    page = Terminal(tmp_path, llm_port="3999").said("settings", "--markdown")
    assert page == as_markdown()
    assert (ROOT / "docs" / "settings.md").read_text() == page, (
        "run: twin settings --markdown > docs/settings.md"
    )


def test_every_setting_has_its_name_and_its_meaning_on_the_page() -> None:
    page = as_markdown()
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"| `TWIN_{name.upper()}` |" in page
    named = [name for part in settings_parts() for name in part.model_fields]
    assert sorted(named) == sorted(Settings.model_fields), "every setting is of one part"
    assert all(part.__doc__ for part in settings_parts())
    assert str(ROOT) not in page


def test_values_are_shown_and_secrets_are_not(tmp_path: Path) -> None:
    terminal = Terminal(
        tmp_path, ui_password="hunter2", llm_url="http://me:hunter2@engine.example/v1", llm_port="3999"
    )
    for words in ([], ["--json"], ["--changed"], ["--changed", "--json"], ["engine"]):
        assert "hunter2" not in terminal.twin("settings", *words).output
    changed = {row["name"]: row for row in json.loads(terminal.said("settings", "--changed", "--json"))}
    assert set(changed) - {"TWIN_PROFILE"} == {  # which tests/conftest.py sets for all
        "TWIN_HOME",
        "TWIN_PERSONAS_DIR",
        "TWIN_UI_PASSWORD",
        "TWIN_LLM_URL",
        "TWIN_LLM_PORT",
    }
    assert (changed["TWIN_LLM_PORT"]["value"], changed["TWIN_LLM_PORT"]["default"]) == (3999, 3001)
    assert changed["TWIN_UI_PASSWORD"]["value"] == "(hidden)"
    assert "engine.example/v1" in changed["TWIN_LLM_URL"]["value"]
    assert "TWIN_LLM_PORT=3999  (default 3001)" in terminal.said("settings", "llm_port")
    assert {row["name"] for row in json.loads(terminal.said("settings", "--json"))} == {
        f"TWIN_{name.upper()}" for name in Settings.model_fields
    }


def test_folders_are_the_same_wherever_a_process_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("TWIN_HOME", "of mine")
    monkeypatch.setenv("TWIN_PERSONAS_DIR", "~/people")
    settings = load_settings()
    assert settings.home == tmp_path / "of mine"
    assert settings.personas_dir == tmp_path / "me" / "people"


def test_an_empty_home_is_refused_and_not_taken_for_the_folder_one_is_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TWIN_HOME", " ")
    with pytest.raises(ValidationError, match="it is empty: name a folder, or leave it unset"):
        load_settings()
