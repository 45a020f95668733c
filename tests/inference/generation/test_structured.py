"""Answers that are JSON of a schema, whatever the model would rather say: real grammars over a model with random weights."""

# ruff: noqa: F401, F811 (fixtures of the engine's tests)
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tokenizers import decoders
from transformers import AutoTokenizer, LlamaForCausalLM

from tests.core.models.tiny_llama import tiny_tokenizer
from tests.inference.generation.test_engine import (
    TOKENIZER,
    decoder,
    engine,
    make_tokenizer,
    model,
    tokenizer,
    torch_engine,
)
from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.engine import Engine, GenerationHandle
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.structured.grammar import check_schema, constraint_of
from twin_assets.inference.generation.structured.schema import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    ResponseFormat,
    UnsupportedSchema,
    check_size,
)

PROMPT = TOKENIZER("The ferry leaves at six.", add_special_tokens=False).input_ids
WORD = {"type": "string", "maxLength": 6}
SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 2, "maxLength": 9},
            "year": {"type": "integer", "minimum": 1990, "maximum": 2030},
            "tags": {"type": "array", "items": {"enum": ["ferry", "rope", "naïve 🚢"]}, "minItems": 1, "maxItems": 3},
            "by": {"anyOf": [{"$ref": "#/$defs/person"}, {"type": "null"}]},
        },
        "required": ["title", "year", "tags", "by"],
        "additionalProperties": False,
        "$defs": {"person": {"type": "object", "properties": {"name": WORD}, "required": ["name"], "additionalProperties": False}},
    },
    {"type": "array", "items": {"type": "number", "minimum": -2, "maximum": 2, "multipleOf": 0.25}, "minItems": 2, "maxItems": 3},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    {"type": "string", "format": "date"},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": k}, k: WORD}, "required": ["kind", k], "additionalProperties": False}
               for k in ("post", "reply")]},
    {"enum": [1, "two", None, [3], {"four": True}]},
    {"type": "object", "patternProperties": {"^[a-c]{2}$": {"type": "boolean"}}, "additionalProperties": False, "minProperties": 1, "maxProperties": 2},
]  # fmt: skip


def wanting(schema: dict[str, Any] | None, seed: int, tokens: int = 120, **options: Any) -> Sampling:
    text = None if schema is None else json.dumps(schema, ensure_ascii=False)
    return Sampling(tokens, 1.0, seed, response_format=ResponseFormat(text), **options)


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(UnsupportedSchema) as refused:
        check_schema(json.dumps(schema))
    return refused.value.problem


def follows(schema: dict[str, Any], text: str, spelled_by: Any = TOKENIZER) -> bool:
    """Whether a model that is held to the schema can write the text and end."""
    ends = frozenset([spelled_by.eos_token_id])
    constraint = constraint_of(ResponseFormat(json.dumps(schema)), spelled_by, ends)
    return not any(
        constraint.take(token) for token in [*spelled_by(text, add_special_tokens=False).input_ids, *ends]
    )


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: next(iter(s)) + str(len(s)))
def test_every_answer_of_random_weights_is_valid(schema: dict[str, Any], engine: Engine) -> None:
    handles = [engine.submit(PROMPT, wanting(schema, seed)) for seed in range(12)]
    answers = [handle.result() for handle in handles]
    for answer, handle in zip(answers, handles, strict=True):
        jsonschema.validate(json.loads(answer), schema, jsonschema.Draft202012Validator)
        assert handle.finish_reason == "stop"
    assert len(set(answers)) > 1  # the model chooses, within the schema


def test_any_object_is_an_object_or_is_cut_by_its_limit(engine: Engine) -> None:
    handles = [engine.submit(PROMPT, wanting(None, seed, tokens=60)) for seed in range(9)]
    for handle in handles:
        answer = handle.result()
        assert answer.startswith("{")
        if handle.finish_reason == "stop":
            assert isinstance(json.loads(answer), dict)
        else:
            assert (handle.finish_reason, handle.tokens_out) == ("length", 60)


def test_a_text_that_is_cut_says_so_and_one_that_just_fits_does_not(engine: Engine) -> None:
    whole = engine.submit(PROMPT, wanting(SCHEMAS[0], 3))
    text = whole.result()
    exact = engine.submit(PROMPT, wanting(SCHEMAS[0], 3, whole.tokens_out))
    assert (exact.result(), exact.finish_reason) == (text, "stop")
    short = engine.submit(PROMPT, wanting(SCHEMAS[0], 3, whole.tokens_out - 1))
    assert (text.startswith(short.result()), short.finish_reason) == (True, "length")
    stopped = engine.submit(PROMPT, wanting(SCHEMAS[0], 3, stop=('"year"',)))
    assert (stopped.result(), stopped.finish_reason) == (text.split('"year"')[0].rstrip(), "stop")


def test_rows_beside_it_write_what_they_write_alone(engine: Engine) -> None:
    alone = engine.submit(PROMPT, Sampling(40, 1.0, seed=8)).result()
    held = engine.submit(PROMPT, wanting(SCHEMAS[0], 5)).result()
    beside = [
        engine.submit(PROMPT, s)
        for s in (wanting(SCHEMAS[0], 5), Sampling(40, 1.0, seed=8), wanting(SCHEMAS[1], 6))
    ]
    assert [handle.result() for handle in beside][:2] == [held, alone]


def test_likelihoods_are_the_models_own_and_penalties_leave_the_form(engine: Engine) -> None:
    sampling = wanting(SCHEMAS[0], 2, top_logprobs=1, presence_penalty=2.0, frequency_penalty=2.0)
    handle = engine.submit(PROMPT, sampling)
    jsonschema.validate(json.loads(handle.result()), SCHEMAS[0])
    # Its likeliest token is seldom the one that the schema lets it write.
    assert any(told.token != told.top[0][0] for told in handle.logprobs)
    assert all(told.logprob > -100 for told in handle.logprobs)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"properties": {"a": {"not": {"type": "null"}}}}, "not"),
        ({"type": "string", "pattern": "^(?=a)"}, "look-ahead"),
        ({"type": "string", "format": "poem"}, "poem"),
        ({"oneOf": [{"type": "object"}, {"type": "object"}]}, "oneOf"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"const": "a\u0000b"}, "control character"),
        ({"type": "object", "properties": {"a\u0001": {}}}, "control character"),
        ({"allOf": [{"multipleOf": 997}, {"multipleOf": 1009}]}, "multipleOf"),
        ({"x-guidance": {"lenient": True}, "uniqueItems": True}, "x-guidance"),
        ({"$ref": "https://example.org/schema.json"}, "example.org"),
        ({"type": "wibble"}, "wibble"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength"),
    ],
)  # fmt: skip
def test_what_can_not_be_kept_is_refused_by_name(schema: dict[str, Any], named: str, engine: Engine) -> None:
    assert named in refusal(schema)
    with pytest.raises(UnsupportedSchema, match=named):
        engine.submit(PROMPT, wanting(schema, 1))


def test_names_of_properties_and_constants_are_no_keywords() -> None:
    check_schema(
        json.dumps(
            {"properties": {"uniqueItems": {"type": "integer"}, "minProperties": {}, "x-guidance": {}}}
        )
    )
    check_schema(json.dumps({"enum": [{"minProperties": 5, "x-guidance": 1}]}))


def test_a_name_has_one_spelling_and_counts_are_of_characters() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert follows(schema, '{"a": 1, "b": "x"}')
    assert follows(schema, '{"a":1,"b":"x"}')
    assert not follows(schema, '{"\\u0061": "x"}')
    assert not follows(schema, '{"a": 1, "a": "x"}')
    assert not follows(schema, '{ "a": 1}')
    assert [follows({"type": "string", "minLength": 2}, text) for text in ('"🚢"', '"éé"', '"🌊🚢"')] == [
        False,
        True,
        True,
    ]


def test_a_tokenizer_that_came_from_gguf_is_spelled_by_its_bytes() -> None:
    mixed = make_tokenizer()
    mixed.backend_tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " "), decoders.ByteLevel()]
    )  # type: ignore[assignment]
    assert follows({"type": "string", "maxLength": 2}, '"é "', mixed)
    assert not follows({"type": "string", "minLength": 2}, '"é"', mixed)


def test_a_model_without_tokens_for_json_is_told_so(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path)
    words = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(TwinError, match="no tokens for JSON"):
        constraint_of(ResponseFormat(), words, frozenset([words.eos_token_id]))


def test_a_row_whose_grammar_grows_too_large_ends_alone(engine: Engine) -> None:
    wild = {"type": "string", "pattern": "^([a-z]{1,300}[e-s]{1,300}){60,300}$"}
    beside = engine.submit(PROMPT, Sampling(60, 1.0, seed=8))
    ends: list[GenerationHandle] = [engine.submit(PROMPT, wanting(wild, seed, 200)) for seed in range(2)]
    for handle in ends:
        with pytest.raises(UnsupportedSchema, match="too many"):
            handle.result()
        assert handle.finish_reason == "failed"
    assert beside.result() == engine.submit(PROMPT, Sampling(60, 1.0, seed=8)).result()
    assert engine.done["failed"] == 2


def test_size_and_depth_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"items": deep}
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} levels"):
        check_size(deep)
    check_size(deep["items"])
    with pytest.raises(ValueError, match=f"{MAX_CHARACTERS} are allowed"):
        check_size({"enum": ["x" * MAX_CHARACTERS]})
