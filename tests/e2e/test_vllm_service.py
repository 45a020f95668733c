"""The LLM service as it runs, with a vLLM server beneath it: clients see no difference, and nothing of the server's own."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.web_browser import LLM, services
from tests.support.machine import free_port, until
from tests.support.models import PUBLIC, lineage
from tests.support.releases import Office
from tests.support.vllm.servers import KEY, VllmProcess, make_base, save_adapter
from twin_assets.core.persona.definition import save_persona

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ASKED: Any = [{"role": "user", "content": "ferry2 ferry3"}]


class Served(SimpleNamespace):
    office: Office
    vllm: VllmProcess
    url: str
    metrics: str
    first: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "personas").mkdir()
    save_persona(home / "personas", {
        "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Runa runs ferries.",
        "web": {"pages": ["https://runa.example/ferries"]},
    })  # fmt: skip
    office = Office(home)
    base = office.registry.save(make_base(home / "base"), lineage("base"), about=PUBLIC)
    office.ready = [save_adapter(office.registry, home, base, n).tag for n in (1, 2)]
    first = office.release().model
    metrics, port = free_port(), str(free_port())
    with VllmProcess(base.path, home / "vllm.log", pace=0.02) as vllm:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | {
            "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas"), "TWIN_LLM_PORT": port, "TWIN_VLLM_URL": vllm.url,
            "TWIN_VLLM_API_KEY": KEY, "TWIN_LLM_METRICS_PORT": str(metrics), "BENTOML_HOME": str(home / "bento"),
            "BENTOML_DO_NOT_TRACK": "True", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        started: Any = SimpleNamespace(home=home, environment=environment)
        with services(started, LLM) as url:
            yield Served(
                office=office, vllm=vllm, url=url, metrics=f"http://127.0.0.1:{metrics}/metrics", first=first
            )


@pytest.fixture
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def test_answers_whole_and_streamed_are_the_same_and_counted(served: Served, client: openai.OpenAI) -> None:
    given: Any = {"model": "runa", "messages": ASKED, "max_tokens": 12, "temperature": 1, "seed": 4}
    whole = client.chat.completions.create(**given)
    text = whole.choices[0].message.content or ""
    assert (whole.model, whole.choices[0].finish_reason) == (served.first, "length")
    assert whole.usage
    assert (whole.usage.completion_tokens, whole.usage.prompt_tokens) == (12, 4)
    events = list(
        client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == text
    assert sum(bool(e.choices and e.choices[0].delta.content) for e in events) > 3, "as it was written"
    assert events[-1].usage == whole.usage
    word = text.split()[3]
    stopped = client.chat.completions.create(**given, stop=[word]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (text[: text.index(word)].strip(), "stop")
    told = httpx.get(served.metrics).text
    assert f'twin_llm_texts_total{{ending="length",version="{served.first}"}}' in told


def test_nothing_of_the_server_is_reached_through_the_service(served: Served) -> None:
    for route in ("load_lora_adapter", "unload_lora_adapter", "completions"):
        body = {"lora_name": "x", "lora_path": "/etc", "model": str(served.vllm.model), "prompt": [1]}
        assert httpx.post(f"{served.url}/v1/{route}", json=body).status_code in (404, 405)
    for name in (*served.vllm.names(), str(served.vllm.model), "/etc"):
        asked = {"model": name, "messages": ASKED}
        answer = httpx.post(f"{served.url}/v1/chat/completions", json=asked)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "Unknown")
    listed = httpx.get(f"{served.url}/v1/models").json()["data"]
    assert [(m["id"], m["owned_by"]) for m in listed] == [(served.first, "runa")]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_ends_the_writing_in_vllm(served: Served, stream: bool) -> None:
    asked = {"model": "runa", "messages": ASKED, "max_tokens": 110, "stream": stream}
    with httpx.Client(timeout=0.5) as client:
        try:
            with client.stream("POST", f"{served.url}/v1/chat/completions", json=asked) as answer:
                next(answer.iter_lines())
        except httpx.TimeoutException:
            assert not stream
    until(lambda: served.vllm.running() == 0, "the end of the writing")


def test_a_server_that_is_away_is_told_as_an_engine_and_a_release_needs_no_restart(served: Served) -> None:
    served.vllm.kill()
    asked = {"model": "runa", "messages": ASKED, "max_tokens": 4}
    answer = httpx.post(f"{served.url}/v1/chat/completions", json=asked, timeout=60)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "EngineUnavailable")
    assert answer.headers["Retry-After"]
    assert KEY not in answer.text
    broken = httpx.post(f"{served.url}/v1/chat/completions", json=asked | {"stream": True}, timeout=60)
    assert "EngineUnavailable" in broken.text
    served.vllm.begin()
    served.vllm.wait()
    second = served.office.release().model

    def model() -> str:
        answer = httpx.post(f"{served.url}/v1/chat/completions", json=asked, timeout=60)
        return str(answer.json().get("model"))

    until(lambda: model() == second, "the next version")
