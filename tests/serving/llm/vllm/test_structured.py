"""Answers of vLLM's that are held to a schema: against the double, or the real one where `TWIN_TEST_VLLM` names it."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from serving.llm.vllm.host import VllmHost
from serving.llm.vllm.model import VllmModel
from serving.llm.vllm.servers import Given
from tests.core.models.tiny_llama import TEMPLATE, tiny_llama
from tests.inference.generation.test_engine import make_tokenizer
from tests.support.models import PUBLIC, lineage
from tests.support.vllm.servers import KEY, VllmProcess, save_adapter
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Message
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.structured.schema import ResponseFormat, UnsupportedSchema
from twin_assets.settings import Settings

ASKED = [Message(role="user", content="When?")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 2, "maxLength": 6},
        "year": {"type": "integer", "minimum": 1990, "maximum": 2030},
        "tags": {"type": "array", "items": {"enum": ["ferry", "rope"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["title", "year", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmModel]:
    """An adapter on a base whose tokens are letters."""
    home = tmp_path_factory.mktemp("spelled")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    base = tiny_llama(home / "base", 0, "bfloat16", **shape, eos_token_id=tokenizer.eos_token_id)
    tokenizer.save_pretrained(base)
    with VllmProcess(base, home / "vllm.log") as vllm:
        settings = Settings.model_validate({"home": home, "vllm_url": vllm.url, "vllm_api_key": KEY})
        registry = Registry(settings)
        stored = registry.save(base, lineage("base"), about=PUBLIC)
        version = save_adapter(registry, home, stored, 1)
        yield VllmHost(settings, registry, Given(settings)).load(version.tag)


def wanting(schema: dict[str, Any] | None, tokens: int = 100) -> Sampling:
    text = None if schema is None else json.dumps(schema)
    return Sampling(tokens, 1.0, seed=4, response_format=ResponseFormat(text))


def test_its_answers_are_valid_and_say_when_they_were_cut(model: VllmModel) -> None:
    handle = model.start(ASKED, wanting(SCHEMA))
    jsonschema.validate(json.loads(text := handle.result()), SCHEMA)
    assert handle.finish_reason == "stop"
    short = model.start(ASKED, wanting(SCHEMA, 3))
    assert (text.startswith(short.result()), short.finish_reason, short.tokens_out) == (True, "length", 3)
    assert model.start(ASKED, wanting(None, 30)).result().startswith("{")


def test_what_can_not_be_kept_is_refused_as_by_our_own_engine(model: VllmModel) -> None:
    with pytest.raises(UnsupportedSchema, match="uniqueItems"):
        model.start(ASKED, wanting({"type": "array", "uniqueItems": True}))
    assert model.engine.waiting == 0
