"""`make up` on a home where nothing ran yet, with a password: every part answers whom it should, and nobody else."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.access.session import COOKIE, sign_session
from tests.e2e.released_twin import ReleasedTwin
from tests.support.machine import PATIENCE, until
from twin_assets.settings import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
PASSWORD = "open sesame"
LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleasedTwin]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))
        twin = ReleasedTwin(home)
    environment = {k: v for k, v in twin.environment.items() if k != "TWIN_LLM_URL"} | {
        "TWIN_UI_PASSWORD": PASSWORD
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "twin_assets.cli", "up"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C stops everything" in line:
                break
        assert process.poll() is None, said
        yield twin
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def url(up: ReleasedTwin, part: str, path: str) -> str:
    return f"http://127.0.0.1:{up.ports[f'TWIN_{part}_PORT']}{path}"


def test_dagster_loads_and_asks_for_the_login(up: ReleasedTwin) -> None:
    def ask(**headers: str) -> httpx.Response:
        return httpx.post(
            url(up, "DAGSTER", "/graphql"), json={"query": LOCATIONS}, headers=headers, timeout=PATIENCE
        )

    assert ask().status_code == 401
    found = ask(Cookie=f"{COOKIE}={sign_session(up.home, PASSWORD)}").json()
    assert found["data"]["workspaceOrError"]["locationEntries"] == [
        {"name": "twin_assets", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]
    answer = httpx.get(url(up, "DAGSTER", "/graphql"), params={"query": LOCATIONS})
    assert answer.status_code == 401


def test_the_twin_knows_the_key_of_the_llm_service_and_others_do_not(up: ReleasedTwin) -> None:
    models = url(up, "LLM", "/v1/models")
    assert httpx.get(models).status_code == 401
    key = (up.home / "llm_key").read_text()
    assert httpx.get(models, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    asked = {
        "model": "runa",
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "What did the sturgeon ledger cost?"}],
    }
    mine = {"Authorization": f"Bearer {PASSWORD}"}
    answer = httpx.post(url(up, "TWIN", "/v1/chat/completions"), json=asked, headers=mine, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["model"]) == (200, up.released.tag)


def test_the_page_collects_through_dagster_s_front_and_its_daemon(up: ReleasedTwin) -> None:
    mine = {"Authorization": f"Bearer {PASSWORD}", "X-Twin-UI": "1"}

    def page(method: str, path: str) -> dict[str, Any] | None:
        """The answer; None while Dagster, which loads what the daemon loads beside it, is too busy to give one."""
        answer = httpx.request(
            method, url(up, "TWIN", f"/ui/api/runa/{path}"), headers=mine, timeout=PATIENCE
        )
        busy = answer.status_code != 200 and answer.json()["error"]["type"] == "DagsterDown"
        assert busy or answer.status_code == 200, answer.text
        return None if busy else dict(answer.json())

    def state(run: str) -> str | None:
        told = page("GET", "runs")
        return next((r["status"] for r in told["runs"] if r["runId"] == run), None) if told else None

    started = until(lambda: page("POST", "collect"), "Dagster")
    assert started is not None
    until(lambda: state(started["run"]) in ("STARTED", "SUCCESS"), "the daemon's start of the run")
