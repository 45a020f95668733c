"""What both OpenAPI documents say: every error that may come, in its one shape; and types are what they are."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from serving.api.feedback import FeedbackRequest
from serving.app import create_app
from serving.errors import STATUS
from serving.llm.service import app as llm_app
from serving.protocol import ChatRequest, LinkRequest, TwinChatRequest, WriteRequest
from twin_assets.settings import Settings

OF_THE_FRONT = {400, 401, 403, 404, 405, 408, 413, 422, 429, 500, 503}


def documents() -> dict[str, dict[str, Any]]:
    return {"twin": create_app(Settings()).openapi(), "llm": llm_app.openapi()}


@pytest.mark.parametrize("service", ["twin", "llm"])
def test_every_operation_documents_every_error_in_its_one_shape(service: str) -> None:
    document = documents()[service]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert operations
    for operation in operations:
        for status in OF_THE_FRONT | set(STATUS.values()):
            [body] = operation["responses"][str(status)]["content"].values()
            assert body["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    facts = document["components"]["schemas"]["ErrorFacts"]
    assert set(facts["required"]) == {"message", "type", "param", "code", "fix"}


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
