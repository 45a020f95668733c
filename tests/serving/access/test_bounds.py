"""Every number and every text is bounded at the door: what fits in no model, generator or memory is refused there, by
name."""

import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from serving.protocol import ChatRequest
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import Server, twin
from twin_assets.inference.generation.sampling import new_random
from twin_assets.settings import ROOT

SERVING = ROOT / "serving"
# A declaration of the page is checked as the YAML file is, by `core.persona`; the body's bytes bound it before.
CHECKED_ELSEWHERE = ("Declared.general", "Declared.sources")


def unbounded(schema: dict[str, Any], named: dict[str, Any], where: str) -> Iterator[str]:
    """What in a JSON schema has no greatest or least value."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from unbounded(named[name], named, name)
    for part in [*schema.get("anyOf", []), *schema.get("allOf", []), *schema.get("oneOf", [])]:
        yield from unbounded(part, named, where)
    kind = schema.get("type")
    if kind == "string" and not {"maxLength", "enum", "const"} & schema.keys() and "format" not in schema:
        yield f"{where} may be of any length"
    if kind in ("integer", "number") and "const" not in schema:
        least, most = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
        if not (least & schema.keys() and most & schema.keys()):
            yield f"{where} may be any number"
    if kind == "array":
        if "maxItems" not in schema:
            yield f"{where} may have any number of items"
        yield from unbounded(schema.get("items", {}), named, f"{where}[]")
    if kind == "object":
        if isinstance(more := schema.get("additionalProperties"), dict):
            if "maxProperties" not in schema:
                yield f"{where} may have any number of names"
            yield from unbounded(more, named, f"{where}{{}}")
        for name, one in schema.get("properties", {}).items():
            yield from unbounded(one, named, f"{where}.{name}")


def test_nothing_that_is_sent_is_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [
        import_module(".".join(file.relative_to(SERVING.parent).with_suffix("").parts))
        for file in sorted(SERVING.rglob("*.py"))
        if "router = APIRouter(" in file.read_text()
    ]
    routes = [route for module in modules for route in module.router.routes if isinstance(route, APIRoute)]
    for route in routes:  # they are of the modules, and other tests describe them too
        monkeypatch.setattr(route, "include_in_schema", True)
    found = get_openapi(title="all", version="1", routes=routes)
    named, faults = found["components"]["schemas"], []
    for path, methods in found["paths"].items():
        for asked in methods.values():
            # A path is as long as the HTTP server lets it be.
            for given in (p for p in asked.get("parameters", []) if p["in"] != "path"):
                faults += unbounded(given["schema"], named, f"{path}?{given['name']}")
            for body in asked.get("requestBody", {}).get("content", {}).values():
                faults += unbounded(body["schema"], named, path)
    own = ChatRequest.model_json_schema()
    faults += unbounded(own, own.get("$defs", {}), "ChatRequest")
    assert len(routes) > 30
    assert [fault for fault in faults if not fault.startswith(CHECKED_ELSEWHERE)] == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path_factory.mktemp("home")) as both:
        yield both


NUMBERS = {
    "seed": [2**63, 2**70, -(2**63) - 1, 10**400, 1e300, 0.5],
    "temperature": [2.01, -0.01, 1e400, float("nan"), float("-inf"), 10**400],
    "max_tokens": [0, -1, 8193, 2**70, float("nan")],
    "max_completion_tokens": [0, 2**70],
    "n": [0, 2, 2**70, float("nan")],
    "top_p": [0, 1.01, -1, float("nan"), 10**400],
    "presence_penalty": [2.1, -2.1, float("inf"), float("nan")],
    "frequency_penalty": [2.1, -2.1, float("inf"), float("nan")],
    "logprobs": [True],
    "top_logprobs": [1, -1, 21, 2**70],  # without logprobs
    "response_format": [
        {"type": "json_schema", "json_schema": {"name": "x"}},
        {"type": "json_schema", "json_schema": {"name": "x" * 65, "schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["x" * 20_000]}}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}},
        {"type": "grammar"},
        "json",
    ],
    "tools": [[{"type": "function", "function": {"name": "f"}}]],
    "tool_choice": ["required"],
    "functions": [[{"name": "f"}]],
    "function_call": [{"name": "f"}],
    "logit_bias": [{"50": -100}],
    "modalities": [["text", "audio"]],
    "audio": [{"voice": "alloy", "format": "wav"}],
    "prediction": [{"type": "content", "content": "x"}],
    "reasoning_effort": ["high"],
    "verbosity": ["low"],
    "web_search_options": [{"search_context_size": "low"}],
    "stop": ["", "x" * 201, [""], ["x"] * 5, [["x"]]],
    "user": ["x" * 201],
    "model": ["x" * 201, "\ud800"],
    "messages": [
        [],
        [{"role": "user", "content": "x"}] * 501,
        [{"role": "user", "content": "x" * 20_001}],
        [{"role": "user", "content": [{"type": "text", "text": "x" * 20_001}]}],
        [{"role": "user", "content": "\ud800"}],
    ],
}
WRITING = {
    "seed": [-1, 2**31, 2**70, float("nan")], "temperature": [2.01, float("nan"), float("inf")], "words": [9, 2001, 2**70],
    "persona": ["x" * 81], "draft": ["x" * 20_001, "\ud800"], "user": ["x" * 201], "links": [["https://x.example/"] * 4],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [("/v1/chat/completions", f, v) for f, values in NUMBERS.items() for v in values]
    + [("/v1/write", f, v) for f, values in WRITING.items() for v in values],
    ids=lambda v: str(v)[:30],
)
def test_what_does_not_fit_is_refused_by_name_and_asks_no_engine(
    running: tuple[Server, EngineDouble], path: str, field: str, value: object
) -> None:
    server, engine = running
    asked = len(engine.asked)
    body: dict[str, Any] = (
        {"persona": "runa", "topic": "tides"} if path == "/v1/write" else
        {"model": "runa", "messages": [{"role": "user", "content": "Why?"}]}
    ) | {field: value}  # fmt: skip
    # As a caller may write it, NaN and all.
    answer = server.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"].split(".")[0] == field
    assert len(engine.asked) == asked


def test_the_greatest_and_least_that_pass_are_what_generators_take() -> None:
    for seed in (-(2**63), 2**63 - 1, 0, None):
        ChatRequest(model="runa", messages=[{"role": "user", "content": "?"}], seed=seed)  # type: ignore[list-item]
        new_random(seed)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 50_000, b'{"seed": ' + b"9" * 5_000 + b"}", b"\xff\xfe", b""]
)
def test_a_body_that_no_parser_takes_is_the_callers_fault(
    running: tuple[Server, EngineDouble], body: bytes
) -> None:
    answer = running[0].client.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["fix"]
