"""What both OpenAPI documents say: every answer and every error that may come, in its one shape; types are what they are; and
the rules between fields that the services hold a body to."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

import serving
from serving.api.drafts import NewDraft
from serving.api.feedback import FeedbackRequest
from serving.api.threads import NewTitle
from serving.app import create_app
from serving.errors import ERRORS, STATUS
from serving.llm.service import app as llm_app
from serving.protocol import ChatRequest, LinkRequest, TwinChatRequest, WriteRequest
from tests.core.models.lent import lend_embedder
from tests.serving.twin_server import twin
from twin_assets.core.records import StrictTypes
from twin_assets.settings import Settings

OF_THE_FRONT = {400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 503}
# These say it in another shape: the protocol's own, and the state that is asked for.
OTHER_SHAPES = {("/v1/mcp", 400), ("/ready", 503)}


def documents() -> dict[str, dict[str, Any]]:
    return {"twin": create_app(Settings()).openapi(), "llm": llm_app.openapi()}


@pytest.mark.parametrize("service", ["twin", "llm"])
def test_every_operation_documents_every_error_in_its_one_shape(service: str) -> None:
    document = documents()[service]
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    assert operations
    for path, operation in operations:
        for status in OF_THE_FRONT | set(STATUS.values()):
            [body] = operation["responses"][str(status)]["content"].values()
            if (path, status) not in OTHER_SHAPES:
                assert body["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    facts = document["components"]["schemas"]["ErrorFacts"]
    assert set(facts["required"]) == {"message", "type", "param", "code", "fix"}


@pytest.mark.parametrize("service", ["twin", "llm"])
def test_every_answer_has_a_schema(service: str) -> None:
    for path, methods in documents()[service]["paths"].items():
        for method, operation in methods.items():
            bodies = [
                (status, kind, body.get("schema") or body.get("itemSchema"))
                for status, response in operation["responses"].items()
                for kind, body in response.get("content", {}).items()
            ]
            assert all(schema for *_, schema in bodies), (method, path, bodies)
            assert any(status.startswith("2") for status, *_ in bodies), (method, path)


@pytest.mark.parametrize("service", ["twin", "llm"])
def test_every_bound_has_all_its_digits(service: str) -> None:
    text = json.dumps(documents()[service])
    assert f'"exclusiveMaximum": {2**63}' in text
    assert re.findall(r'"(?:exclusive)?(?:min|max)imum": [^,}]*[.e]0*[,}]', text, re.I) == []


def test_every_status_that_the_code_says_is_documented() -> None:
    said = set(STATUS.values())
    for file in Path(serving.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                given = [k.value for k in node.keywords if k.arg == "status_code"]
                given += (
                    node.args[:2] if name in {"refusal", "_refused", "HTTPException", "JSONResponse"} else []
                )
                said |= {v.value for v in given if isinstance(v, ast.Constant) and type(v.value) is int}
    assert {401, 415, 503} < said
    assert {status for status in said if status >= 400} <= set(ERRORS)


def bodies(app: FastAPI) -> Iterator[type[BaseModel]]:
    """The models of all bodies, also of the page's, and of what is in them."""
    waiting: list[Any] = [
        field.field_info.annotation
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for field in route.original_route.dependant.body_params
    ]
    seen = set[Any]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one
            waiting += [field.annotation for field in one.model_fields.values()]
        else:
            waiting += get_args(one)


@pytest.mark.parametrize("app", [create_app(Settings()), llm_app], ids=["twin", "llm"])
def test_what_holds_numbers_and_booleans_in_a_body_has_strict_types(app: FastAPI) -> None:
    found = list(bodies(app))
    assert ChatRequest in found or TwinChatRequest in found
    for model in found:
        kinds = {
            kind for f in model.model_fields.values() for kind in (f.annotation, *get_args(f.annotation))
        }
        if kinds & {int, float, bool}:
            assert issubclass(model, StrictTypes), model


@pytest.mark.parametrize("service", ["twin", "llm"])
def test_bounds_of_numbers_stand_in_the_document(service: str) -> None:
    """A validator before a bounded number would hide its bounds."""
    fields = documents()[service]["components"]["schemas"][
        "TwinChatRequest" if service == "twin" else "ChatRequest"
    ]["properties"]
    assert (fields["n"]["minimum"], fields["n"]["maximum"]) == (1, 1 if service == "twin" else 8)
    [tokens] = [one for one in fields["max_tokens"]["anyOf"] if one["type"] == "integer"]
    assert (tokens["minimum"], tokens["maximum"]) == (1, 8192)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (TwinChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}]}),
        (TwinChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}], "seed": -320.0}),
        (TwinChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}], "top_logprobs": []}),
        (ChatRequest, {"model": "ada", "messages": [{"role": "system", "content": "?"}]}),
        (ChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}], "top_logprobs": 1, "logprobs": True}),
        (WriteRequest, {"persona": "ada", "draft": "Tides."}),
        (WriteRequest, {"persona": "ada", "kind": "reply", "reply_to": "Why?"}),
        (WriteRequest, {"persona": "ada", "kind": "rewrite", "draft": "Tides.", "words": 20.0}),
        (WriteRequest, {"persona": "ada", "topic": "tides", "chain": True, "draft": ""}),
        (NewDraft, {"persona": "ada", "title": "Tides"}),
        (NewDraft, {"persona": "ada", "text": "T", "citations": [{"number": 1.0, "chunk_id": "", "doc_id": "", "url": ""}]}),
        (FeedbackRequest, {"request_id": "1", "persona": "ada", "comment": "good"}),
    ],
)  # fmt: skip
def test_what_fits_the_document_fits_the_service(model: type[BaseModel], given: dict[str, Any]) -> None:
    jsonschema.validate(given, model.model_json_schema())
    model.model_validate(given)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (ChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}], "top_logprobs": 1}),
        (ChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}], "seed": 1.5}),
        (WriteRequest, {"persona": "ada"}),
        (WriteRequest, {"persona": "ada", "topic": "tides", "kind": "reply"}),
        (WriteRequest, {"persona": "ada", "topic": "tides", "kind": "rewrite"}),
        (WriteRequest, {"persona": "ada", "draft": "tides", "chain": True}),
        (WriteRequest, {"persona": "ada", "topic": "tides", "kind": "rewrite", "draft": "d", "chain": True}),
        (WriteRequest, {"persona": "ada", "topic": "tides", "given": {"idea": "harbours"}}),
        (NewDraft, {"persona": "ada", "text": " ", "title": ""}),
        (NewTitle, {"title": "\u00a0"}),
        (NewDraft, {"persona": "ada", "text": "T", "citations": [{"number": -1, "chunk_id": "", "doc_id": "", "url": ""}]}),
        (FeedbackRequest, {"request_id": "1", "persona": "ada"}),
        (FeedbackRequest, {"request_id": "1", "persona": "ada", "comment": "", "thumb": None}),
    ],
)  # fmt: skip
def test_what_the_service_refuses_the_document_refuses(model: type[BaseModel], given: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given, model.model_json_schema())
    with pytest.raises(ValidationError):
        model.model_validate(given)


def test_a_talk_without_a_question_is_refused_by_the_document_too() -> None:
    given = {"model": "ada", "messages": [{"role": "assistant", "content": "Hello."}]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given, TwinChatRequest.model_json_schema())


def test_a_method_that_a_path_does_not_have_is_told_those_that_it_has(tmp_path: Path) -> None:
    lend_embedder(tmp_path)
    with twin(tmp_path) as (server, _):
        for method in ("OPTIONS", "TRACE", "QUERY", "PATCH"):
            for path, allowed in {
                "/v1/drafts": "GET, POST",
                "/v1/drafts/0": "DELETE, GET, PUT",
                "/v1/drafts/difference": "POST",
                "/ui/api/runa/blind": "GET, POST",
            }.items():
                answer = server.client.request(method, path)
                assert (answer.status_code, answer.headers.get("allow")) == (405, allowed), (method, path)
                assert answer.json()["error"]["fix"]
        untyped = server.client.post("/v1/mcp", content=b"{}")
        assert (untyped.status_code, untyped.json()["error"]["type"]) == (415, "NotJson")
        # What was valid before is answered by the protocol itself.
        assert server.client.post("/v1/mcp", json={"jsonrpc": "2.0"}).status_code == 400


def test_the_llm_service_refuses_unknown_methods_as_such() -> None:
    with TestClient(llm_app, base_url="http://127.0.0.1", client=("127.0.0.1", 1)) as client:
        for method in ("TRACE", "QUERY", "DELETE"):
            answer = client.request(method, "/v1/models", headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET"), method
        for method in ("QUERY", "PUT"):
            assert client.request(method, "/v1/models").status_code == 405
        assert client.post("/v1/chat/completions", content=b"{}").status_code == 415


@pytest.mark.parametrize(
    ("model", "given", "field"),
    [
        (LinkRequest, {"persona": "ada", "url": "https://x.example"}, "add_to_library"),
        (ChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}]}, "stream"),
        (ChatRequest, {"model": "ada", "messages": [{"role": "user", "content": "?"}]}, "logprobs"),
        (WriteRequest, {"persona": "ada", "kind": "article", "topic": "tides"}, "stream"),
        (FeedbackRequest, {"request_id": "1", "persona": "ada", "thumb": "up"}, "consent"),
    ],
)
def test_a_number_or_a_word_is_no_boolean(model: type[BaseModel], given: dict[str, Any], field: str) -> None:
    model.model_validate(given | {field: True})
    for wrong in (0, 1, "true", "no"):
        with pytest.raises(ValidationError, match="valid boolean"):
            model.model_validate(given | {field: wrong})


CHAT = {"model": "ada", "messages": [{"role": "user", "content": "?"}]}
WRITE = {"persona": "ada", "kind": "article", "topic": "tides"}


@pytest.mark.parametrize(
    ("model", "given", "field", "good"),
    [
        *((ChatRequest, CHAT, field, 1) for field in ("max_tokens", "temperature", "top_p", "presence_penalty", "n", "seed")),
        (TwinChatRequest, CHAT, "n", 1), (TwinChatRequest, CHAT, "best_of", 2),
        (WriteRequest, WRITE, "words", 100), (WriteRequest, WRITE, "temperature", 1), (WriteRequest, WRITE, "seed", 1),
    ],
)  # fmt: skip
def test_a_boolean_or_a_word_is_no_number(
    model: type[BaseModel], given: dict[str, Any], field: str, good: int
) -> None:
    model.model_validate(given | {field: good})
    for wrong in (True, False, "1", [1]):
        with pytest.raises(ValidationError):
            model.model_validate(given | {field: wrong})


@pytest.mark.parametrize("field", ["tools", "best_of", "response_format", "logit_bias"])
def test_what_asks_for_nothing_is_no_number(field: str) -> None:
    for nothing in (None, False, [], {}, "none"):
        ChatRequest.model_validate(CHAT | {field: nothing})
    for wrong in (0, 1, True, 0.0):
        with pytest.raises(ValidationError):
            ChatRequest.model_validate(CHAT | {field: wrong})
