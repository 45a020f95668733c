"""The API on the real BentoML services with a tiny model: OpenAI's client, LiteLLM, metrics, OpenAPI, keys."""

import re
import time
from collections.abc import Iterator

import httpx
import openai
import pytest

from serving.access.keys import FRESH_SECONDS, Keys
from tests.e2e.released_twin import ReleasedTwin
from tests.e2e.web_browser import LLM, TWIN, services
from tests.support.machine import free_port
from twin_assets.core.llm.client import open_litellm
from twin_assets.inference.twin.request_log import read_requests

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
METRICS = {"TWIN_LLM_METRICS_PORT": str(free_port()), "TWIN_TWIN_METRICS_PORT": str(free_port())}
QUESTION = [{"role": "user", "content": "What did the sturgeon ledger cost?"}]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> ReleasedTwin:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))
        return ReleasedTwin(home)


@pytest.fixture(scope="module")
def key(twin: ReleasedTwin) -> str:
    return Keys(twin.lake).create("test", ["runa"], ["read", "chat", "write"])[0]


@pytest.fixture(scope="module")
def served(twin: ReleasedTwin, key: str) -> Iterator[str]:
    with services(twin, LLM, TWIN, TWIN_TWIN_WORKERS="2", TWIN_RATE_PER_MINUTE="0", **METRICS) as address:
        yield address


@pytest.fixture(scope="module")
def client(served: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served}/v1", api_key=key, max_retries=0)


def test_openai_s_client_chats_streams_lists_and_raises(
    client: openai.OpenAI, twin: ReleasedTwin, served: str
) -> None:
    assert [m.id for m in client.models.list()] == ["runa"]
    whole = client.chat.completions.create(model="runa", messages=QUESTION, max_tokens=12, seed=3)
    assert whole.model == twin.released.tag
    assert whole.choices[0].message.content
    assert whole.usage.completion_tokens <= 12
    assert "Sturgeon" in whole.citations[0]["title"]
    stream = client.chat.completions.create(
        model="runa", messages=QUESTION, max_tokens=12, seed=3, stream=True
    )
    pieces = list(stream)
    text = "".join(p.choices[0].delta.content or "" for p in pieces)
    assert text.strip() == whole.choices[0].message.content.strip()
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    *_, last = client.chat.completions.create(
        model="runa",
        messages=QUESTION,
        max_tokens=12,
        seed=3,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert (last.choices, last.usage) == ([], whole.usage)
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="nobody", messages=QUESTION)
    with pytest.raises(openai.UnprocessableEntityError) as misfit:
        client.chat.completions.create(model="runa", messages=QUESTION, temperature=9)
    assert misfit.value.body["param"] == "temperature"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{served}/v1", api_key="wrong", max_retries=0).models.list()


def test_litellm_chats_and_streams(served: str, key: str, twin: ReleasedTwin) -> None:
    litellm = open_litellm()
    asked = {
        "model": "openai/runa",
        "messages": QUESTION,
        "api_base": f"{served}/v1",
        "api_key": key,
        "max_tokens": 12,
    }
    whole = litellm.completion(**asked, seed=4)
    assert twin.released.tag in whole.model
    pieces = litellm.completion(**asked, seed=4, stream=True)
    text = "".join(p.choices[0].delta.content or "" for p in pieces)
    assert text.strip() == whole.choices[0].message.content.strip()
    with pytest.raises(litellm.exceptions.AuthenticationError):
        litellm.completion(**(asked | {"api_key": "wrong"}))


def test_every_kind_is_written_by_the_real_model(served: str, key: str, twin: ReleasedTwin) -> None:
    sent = {"Authorization": f"Bearer {key}", "X-Request-ID": "e2e-1"}
    bodies = [
        {"kind": "linkedin_post", "topic": "late tides", "formality": "casual", "words": 20},
        {"kind": "x_post", "topic": "late tides"}, {"kind": "article", "draft": "tides are late", "language": "de"},
        {"kind": "reply", "reply_to": "Is SQL dead?"}, {"kind": "rewrite", "draft": "The ferry was late."},
    ]  # fmt: skip
    for body in bodies:
        answer = httpx.post(
            f"{served}/v1/write", json=body | {"persona": "runa", "seed": 5}, headers=sent, timeout=120
        )
        assert answer.status_code == 200, answer.text
        assert (answer.json()["model"], answer.json()["seed"]) == (twin.released.tag, 5)
    first, again = [
        httpx.post(f"{served}/v1/write", json=bodies[0] | {"persona": "runa", "seed": 6}, headers=sent, timeout=120).json()["text"]
        for _ in range(2)
    ]  # fmt: skip
    assert first == again


def metrics(service: str = "TWIN") -> str:
    return httpx.get(f"http://127.0.0.1:{METRICS[f'TWIN_{service}_METRICS_PORT']}/metrics").text


def test_metrics_and_the_description_list_everything(served: str, key: str, client: openai.OpenAI) -> None:
    for _ in range(4):  # whichever worker answers, the one port tells of both
        client.chat.completions.create(model="runa", messages=QUESTION, max_tokens=4)
    told = metrics()
    assert 'twin_requests_total{kind="answer",outcome="answered",persona="runa"' in told
    assert 'twin_step_seconds_bucket{kind="answer",le="0.005",step="search"}' in told
    assert 'twin_http_requests_total{method="POST",route="/v1/chat/completions",status="200"}' in told
    for name in ("twin_tokens_total", "twin_queue", "twin_lost_request_rows", "twin_http_seconds_bucket"):
        assert name in told
    assert "twin_llm_steps_total" in metrics("LLM")
    paths = httpx.get(f"{served}/docs.json", headers={"Authorization": f"Bearer {key}"}).json()["paths"]
    assert {"/v1/chat/completions", "/v1/write", "/v1/links", "/v1/models", "/v1/personas", "/v1/feedback", "/health",
            "/ready"} <= set(paths)  # fmt: skip


def test_without_a_key_there_are_probes_which_say_nothing_and_no_pages_of_the_server(
    served: str, key: str, twin: ReleasedTwin
) -> None:
    llm = f"http://127.0.0.1:{twin.environment['TWIN_LLM_PORT']}"
    for address in (served, llm):
        for path in ("/readyz", "/livez", "/healthz"):
            answer = httpx.get(address + path)
            assert (answer.status_code, answer.text.strip()) == (200, ""), path
    assert httpx.get(f"{served}/health").json() == {"status": "ok"}
    pages = ("/metrics", "/docs.json", "/schema.json", "/static_content/swagger-ui.css", "/assets/index.js", "/any", "/any/where?x=1")  # fmt: skip
    for path in pages:
        answer = httpx.get(served + path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "LoginNeeded"), path
    admin = {"Authorization": f"Bearer {Keys(twin.lake).create('pages', ['runa'], ['admin'])[0]}"}
    time.sleep(FRESH_SECONDS)  # by then each of the workers reads the keys again
    for path in (*pages[2:], "/metrics"):
        assert httpx.get(served + path, headers=admin).json()["error"]["type"] == "invalid_request_error", (
            path
        )
        assert httpx.get(llm + path).status_code == 404, path


def test_no_path_or_method_that_anybody_asks_for_becomes_a_label(served: str, key: str) -> None:
    def sizes() -> list[int]:
        return [len(re.findall(r"^twin_http\w*{", metrics(), re.MULTILINE)), len(metrics("LLM").splitlines())]

    with httpx.Client(base_url=served, headers={"Authorization": f"Bearer {key}"}) as client:
        client.get("/odd/first")
        client.get("/v1/odd-first")
        client.request("ODD", "/v1/models")
        before = sizes()
        for number in range(300):
            client.get(f"/odd/{number}")
            client.get(f"/ui/api/odd-{number}/documents")
        for number in range(30):
            client.request(f"ODD{number}", "/v1/models")
    assert "odd" not in metrics().lower()
    # Another worker, or another status of a route, may come to be counted first: no more than a few.
    assert all(after - one < 20 for after, one in zip(sizes(), before, strict=True))


def test_a_stopped_service_has_logged_every_request(twin: ReleasedTwin, key: str) -> None:
    changes = {"TWIN_LLM_URL": "http://127.0.0.1:1/v1", "TWIN_TWIN_PORT": str(free_port())}
    with services(twin, TWIN, **changes) as address:
        sent = {"Authorization": f"Bearer {key}", "X-Request-ID": "last-words"}
        body = {"persona": "runa", "topic": "tides"}
        answer = httpx.post(f"{address}/v1/write", json=body, headers=sent, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["x-request-id"] == "last-words"
    (row,) = [r for r in read_requests(twin.lake, "runa") if r.request_id == "last-words"]
    assert row.outcome == "failed"
