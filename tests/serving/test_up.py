"""What `make up` hands to which of its processes. That they start and work together is `tests/e2e/test_whole_product.py`."""

import stat
from pathlib import Path
from typing import Any

import pytest

from serving.up import Running, parts
from twin_assets.settings import Settings


def settings(home: Path, **changes: Any) -> Settings:
    return Settings(home=home, llm_port=21001, **changes)


def test_both_services_get_one_key_which_is_made_once(tmp_path: Path) -> None:
    running = Running(settings(tmp_path))
    key = (tmp_path / "llm_key").read_text()
    assert len(key) == 64
    assert stat.S_IMODE((tmp_path / "llm_key").stat().st_mode) == 0o600
    assert running.of_part == {
        "llm": {"TWIN_LLM_API_KEY": key},
        "twin": {"TWIN_LLM_API_KEY": key, "TWIN_LLM_URL": "http://127.0.0.1:21001/v1"},
    }
    assert Running(settings(tmp_path)).of_part == running.of_part


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:21001/v1", "http://localhost:21001/v1"])
def test_a_key_of_one_s_own_is_taken(tmp_path: Path, url: str | None) -> None:
    given = {"llm_url": url} if url else {}
    own = Running(settings(tmp_path, llm_api_key="mine", **given)).of_part
    assert {part["TWIN_LLM_API_KEY"] for part in own.values()} == {"mine"}


def test_the_key_of_another_engine_is_not_for_our_service(tmp_path: Path) -> None:
    running = Running(settings(tmp_path, llm_url="https://engine.example/v1", llm_api_key="theirs"))
    assert running.of_part["twin"] == {}, "the twin's environment has both already"
    assert running.of_part["llm"]["TWIN_LLM_API_KEY"] != "theirs"


def test_the_daemon_waits_for_the_webserver(tmp_path: Path) -> None:
    first, second, *_ = parts(settings(tmp_path))
    assert (first.name, second.name, second.port) == ("dagster", "daemon", None)


def test_dagster_is_started_behind_its_front(tmp_path: Path) -> None:
    commands = {part.name: " ".join(part.command) for part in parts(settings(tmp_path))}
    assert "-m serving.dagster_web" in commands["dagster"]
    assert not any(
        "dagster dev" in command or "dagster-webserver" in command for command in commands.values()
    )
