"""The LLM service as it runs: one batch for all who ask, its queue, its counts, and clients that go away."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import jsonschema
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.released_twin import ReleasedTwin
from tests.e2e.web_browser import LLM, services
from tests.support.machine import PATIENCE, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ASKED = [{"role": "user", "content": "What did the sturgeon ledger cost?"}]
ROWS, WAITING = 8, 3
# One for all threads: making a client takes longer than so small a model takes for a text.
AT_ONCE = httpx.Client(timeout=120, limits=httpx.Limits(max_connections=None))
METRICS = free_port()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))
        twin = ReleasedTwin(home)
    changes = {
        "TWIN_LLM_BATCH": str(ROWS),
        "TWIN_LLM_WAITING": str(WAITING),
        "TWIN_LLM_METRICS_PORT": str(METRICS),
    }
    with services(twin, LLM, **changes) as address:
        yield address


@pytest.fixture
def client(service: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)


def counts() -> dict[str, float]:
    """The engine's metrics, `texts` by how they ended."""
    found = {}
    for family in text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{METRICS}/metrics").text):
        for sample in family.samples if family.name.startswith("twin_llm") else []:
            name = sample.name.removeprefix("twin_llm_").removesuffix("_total")
            found[sample.labels.get("ending", name)] = sample.value
    return found


def ask(service: str, seed: int, **body: Any) -> httpx.Response:
    given = {"model": "runa", "messages": ASKED, "seed": seed, "max_tokens": 500} | body
    return AT_ONCE.post(f"{service}/v1/chat/completions", json=given)


def text_of(answer: httpx.Response) -> str:
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


def wait_until_idle() -> None:
    deadline = time.monotonic() + PATIENCE
    while counts()["writing"] or counts()["waiting"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_requests_at_once_are_written_in_one_batch_and_get_the_same_texts(service: str) -> None:
    before = counts()["steps"]
    alone = [text_of(ask(service, seed)) for seed in range(ROWS)]
    one_by_one = counts()["steps"] - before
    with ThreadPoolExecutor(ROWS) as pool:
        together = [text_of(answer) for answer in pool.map(lambda seed: ask(service, seed), range(ROWS))]
    at_once = counts()["steps"] - before - one_by_one
    assert together == alone
    assert len(set(alone)) == ROWS
    # Near a third, that of the longest text, where all come together; a busy machine asks one after another.
    assert at_once < one_by_one


def test_a_full_queue_tells_when_to_come_back_and_the_service_still_answers(service: str) -> None:
    with ThreadPoolExecutor(5 * ROWS) as pool:
        asked = [pool.submit(ask, service, seed, max_tokens=900, temperature=2) for seed in range(5 * ROWS)]
        assert httpx.get(f"{service}/v1/models").json()["data"]
        answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) <= len(answers) - ROWS - WAITING
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "EngineBusy")
        assert int(answer.headers["retry-after"]) > 0
    assert text_of(ask(service, 1, max_tokens=5))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_row(service: str, stream: bool) -> None:
    wait_until_idle()
    body = {"model": "runa", "messages": ASKED, "max_tokens": 900, "temperature": 2, "stream": stream}
    patience = 60 if stream else 0.25

    def leave() -> tuple[dict[str, float], dict[str, float]] | None:
        """The counts before and after some went away, when one of them did while its text was written: one that is not
        patient may go before that, and one that is may have its text before it goes."""
        nonlocal patience
        before, patience = counts(), patience if stream else patience * 2
        with httpx.Client(timeout=patience) as leaver:
            for seed in range(ROWS):
                asked = leaver.stream("POST", f"{service}/v1/chat/completions", json=body | {"seed": seed})
                with suppress(httpx.TimeoutException), asked as answer:
                    next(answer.iter_lines())
        wait_until_idle()
        after = counts()
        return (before, after) if after["cancelled"] > before["cancelled"] else None

    before, after = until(leave, "a client that goes away while its text is written")
    assert after["tokens"] - before["tokens"] < 900 * ROWS


def test_streams_stop_seeds_and_usage_as_openai_s_client_reads_them(client: openai.OpenAI) -> None:
    asked = {"model": "runa", "messages": ASKED, "max_tokens": 40, "seed": 4, "temperature": 0.9}
    whole = client.chat.completions.create(**asked)
    again = client.chat.completions.create(**asked)
    other = client.chat.completions.create(**(asked | {"seed": 5}))
    text = whole.choices[0].message.content
    assert again.choices[0].message.content == text != other.choices[0].message.content
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

    pieces = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(p.choices[0].delta.content or "" for p in pieces[:-1]) == text
    assert (pieces[-1].choices, pieces[-1].usage) == ([], whole.usage)
    assert pieces[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert all(p.usage is None for p in client.chat.completions.create(**asked, stream=True))

    stop = text[len(text) // 2 :][:3]
    for stream in (False, True):
        cut = client.chat.completions.create(**asked, stop=[stop], stream=stream)
        said = (
            "".join(p.choices[0].delta.content or "" for p in cut)
            if stream
            else cut.choices[0].message.content
        )
        assert said == text[: text.index(stop)].rstrip()
        assert stream or cut.choices[0].finish_reason == "stop"


def test_what_does_not_fit_is_refused_in_openai_s_words(service: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.chat.completions.create(model="runa", messages=ASKED, max_tokens=8000)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=ASKED)
    refused = ask(service, 1, stream=True, max_tokens=8000)  # also where a stream was asked for
    assert (refused.status_code, json.loads(refused.text)["error"]["type"]) == (400, "TwinError")


def test_numbers_that_no_generator_takes_are_refused_and_fail_no_engine(service: str) -> None:
    for field, value in (
        ("seed", 2**70),
        ("seed", -(2**70)),
        ("temperature", float("nan")),
        ("temperature", 1e400),
    ):
        body = json.dumps({"model": "runa", "messages": ASKED} | {field: value})
        answer = httpx.post(
            f"{service}/v1/chat/completions",
            content=body,
            headers={"Content-Type": "application/json"},
            timeout=120,
        )
        assert (answer.status_code, field in answer.json()["error"]["message"]) == (422, True), answer.text
    assert text_of(ask(service, -(2**63), max_tokens=2))
    assert counts().get("failed", 0) == 0


def test_several_choices_are_of_seeds_that_follow_each_other(client: openai.OpenAI) -> None:
    asked = {"model": "runa", "messages": ASKED, "max_tokens": 24, "temperature": 0.9}
    alone = [
        client.chat.completions.create(**asked, seed=seed).choices[0].message.content for seed in (7, 8, 9)
    ]
    together = client.chat.completions.create(**asked, seed=7, n=3)
    assert [c.message.content for c in together.choices] == alone
    assert [c.index for c in together.choices] == [0, 1, 2]
    assert together.usage.completion_tokens > 24
    texts, ends = ["", "", ""], list[int]()
    for event in client.chat.completions.create(**asked, seed=7, n=3, stream=True):
        for said in event.choices:
            texts[said.index] += said.delta.content or ""
            ends += [said.index] if said.finish_reason else []
    assert (texts, sorted(ends)) == (alone, [0, 1, 2])


def test_logprobs_come_in_openai_s_shape_whole_and_streamed(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "runa", "messages": ASKED, "max_tokens": 16, "seed": 4}
    plain = client.chat.completions.create(**asked).choices[0]
    assert plain.logprobs is None
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2).choices[0]
    assert whole.message.content == plain.message.content
    told = whole.logprobs.content
    assert plain.message.content.startswith(told[0].token.strip())
    assert len(told) == 16
    assert all(t.logprob <= 0 and len(t.top_logprobs) == 2 for t in told)
    assert all(t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob for t in told)
    assert all(bytes(t.bytes).decode() == t.token for t in told if t.bytes is not None)
    streamed = [
        t
        for event in client.chat.completions.create(**asked, logprobs=True, top_logprobs=2, stream=True)
        for t in (event.choices[0].logprobs.content if event.choices[0].logprobs else [])
    ]
    assert [(t.token, t.logprob) for t in streamed] == [(t.token, t.logprob) for t in told]


def test_limits_penalties_and_nucleus_are_heeded_and_the_rest_refused_by_name(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "runa", "messages": ASKED, "seed": 4}
    short = client.chat.completions.create(**asked, max_completion_tokens=5)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (5, "length")
    greedy = client.chat.completions.create(**asked, max_tokens=20, temperature=0).choices[0].message.content
    narrow = client.chat.completions.create(**asked, max_tokens=20, temperature=2, top_p=1e-6)
    assert narrow.choices[0].message.content == greedy
    varied = client.chat.completions.create(**asked, max_tokens=20, temperature=0, frequency_penalty=2)
    assert varied.choices[0].message.content != greedy
    for refused in (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": {"uniqueItems": True}},
            }
        },
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"logit_bias": {"50": -100}},
        {"n": 9},
        {"top_logprobs": 2},
    ):
        with pytest.raises(openai.UnprocessableEntityError) as error:
            client.chat.completions.create(**asked, **refused)
        assert error.value.param == next(iter(refused))


def test_answers_are_held_to_a_schema_whole_streamed_and_in_several_choices(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 40},
            "cost": {"type": "integer", "minimum": 1, "maximum": 99_999},
            "kind": {"enum": ["ledger", "ferry"]},
        },
        "required": ["title", "cost", "kind"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "cost", "schema": schema}}
    asked: dict[str, Any] = {
        "model": "runa",
        "messages": ASKED,
        "max_tokens": 200,
        "seed": 4,
        "response_format": wanted,
    }
    several = client.chat.completions.create(**asked, n=3).choices
    for choice in several:
        jsonschema.validate(json.loads(choice.message.content), schema)
        assert choice.finish_reason == "stop"
    streamed = client.chat.completions.create(**asked, stream=True)
    text = "".join(e.choices[0].delta.content or "" for e in streamed)
    assert text == several[0].message.content  # the same seed, another batch
    short = client.chat.completions.create(**asked | {"max_tokens": 4}).choices[0]
    assert (short.finish_reason, text.startswith(short.message.content)) == ("length", True)
    prose = client.chat.completions.create(**asked | {"response_format": {"type": "text"}}).choices[0]
    assert not prose.message.content.startswith("{")
