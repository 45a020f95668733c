"""The grammar that one text is held to, token by token.

llguidance (which vLLM, llama.cpp and Chromium have too) makes a grammar of a JSON Schema and says of every token whether the text
may go on with it. It refuses the keywords that it can't keep, and approximates none.
"""

import json
import threading
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from twin_assets.core.errors import TwinError
from twin_assets.inference.generation.structured.schema import (
    ResponseFormat,
    UnsupportedSchema,
    refuse_inexact,
)

# One blank or none between values, none elsewhere: a weak model would write blanks without end. Letters have one spelling.
_SPELLING = {
    "whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?", "json_allowed_escapes": 'nrbtf\\"',
    "coerce_one_of": False, "lenient": False,
}  # fmt: skip
# A quarter of llguidance's own: rows of others wait for a step.
_LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 250_000, "step_lexer_fuel": 50_000, "step_max_items": 20_000, "max_lexer_states": 50_000,
    "max_grammar_size": 100_000, "verbose_errors": False,
}  # fmt: skip
_TEXT_ONLY = "leave response_format out."
_PROBE = '{"é 💩": [1, 2.5, "a  b"]}'


class Constraint:
    """What one text may go on with. Of one thread at a time."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, scores: Any) -> None:
        """Take from logits of shape (vocabulary,), in place, every token that the text can't go on with."""
        import numpy as np
        import torch

        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            return  # the token that comes of it is not taken
        barred = torch.ones(scores.shape[-1], dtype=torch.bool)
        known = np.unpackbits(bits, bitorder="little")[: len(barred)] == 0
        barred[: len(known)] = torch.from_numpy(known)
        scores.masked_fill_(barred.to(scores.device), -torch.inf)

    def take(self, token: int) -> UnsupportedSchema | None:
        """Follow the text by a token; what is wrong where it can't be followed."""
        return None if self._matcher.consume_token(token) else _refusal(self._matcher.get_error())

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""
        return bool(self._matcher.is_stopped())


def constraint_of(wanted: ResponseFormat, tokenizer: Any, ends: frozenset[int]) -> Constraint:
    """The grammar for one text in the tokens of `tokenizer`, of which `ends` end it.

    Raises UnsupportedSchema where no answer can be held to it, and TwinError for a model without tokens for JSON.
    """
    from llguidance import LLMatcher, LLParserLimits

    grammar, tokens = _grammar(wanted.schema), SPELLINGS.of(tokenizer, ends)
    matcher = LLMatcher(tokens, grammar, log_level=0, limits=LLParserLimits(**_LIMITS))
    if matcher.is_error():
        raise _refusal(matcher.get_error())
    if not any(matcher.compute_bitmask()):
        raise TwinError("The model has no tokens for JSON.", _TEXT_ONLY)
    return Constraint(matcher)


@lru_cache(maxsize=256)
def check_schema(schema: str | None) -> None:
    """Raises UnsupportedSchema, which names the keyword, where no model's answers can be held to a schema."""
    from llguidance import LLMatcher, LLParserLimits

    wrong, told = LLMatcher.validate_grammar_with_warnings(_grammar(schema), limits=LLParserLimits(**_LIMITS))
    if wrong:
        raise _refusal(told[0])


@lru_cache(maxsize=256)
def _grammar(schema: str | None) -> str:
    from llguidance import LLMatcher

    given = {"type": "object"} if schema is None else json.loads(schema)
    refuse_inexact(given)
    grammar: str = LLMatcher.grammar_from_json_schema(given, overrides=_SPELLING)  # type: ignore[arg-type]
    return grammar


def _refusal(said: str) -> UnsupportedSchema:
    if "coerce_one_of" in said:
        said = "oneOf is kept where one type or constant tells its schemas apart, and here none does"
    return UnsupportedSchema(" ".join(said.replace("<non-verbose/>", "").split())[:300].rstrip("."))


class Spellings:
    """llguidance's own form of the tokenizers of this process, which takes half a second to make."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, dict[frozenset[int], Any]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, tokenizer: Any, ends: frozenset[int]) -> Any:
        """Raises TwinError for a tokenizer that can't be told how it spells."""
        with self._lock:
            known = self._known.setdefault(tokenizer, {})
            if ends not in known:
                tokens = _built(tokenizer.backend_tokenizer.to_str(), tuple(sorted(ends)))
                probe = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
                if tokenizer.unk_token_id not in probe and tokens.decode_bytes(probe).decode() != _PROBE:
                    raise TwinError("The spelling of the model's tokens is not understood.", _TEXT_ONLY)
                known[ends] = tokens
            return known[ends]


SPELLINGS = Spellings()


@lru_cache(maxsize=4)
def _built(layout: str, ends: tuple[int, ...]) -> Any:
    """Kept by content: versions on one base have a tokenizer each, and all the same."""
    from llguidance import LLTokenizer

    told = json.loads(layout) | {"truncation": None, "padding": None}
    decoder = told.get("decoder") or {}
    if any(one.get("type") == "ByteLevel" for one in [decoder, *decoder.get("decoders", ())]):
        # A tokenizer that comes from GGUF names several, and llguidance goes by the first.
        told["decoder"] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        }
    try:
        return LLTokenizer(json.dumps(told), eos_token=list(ends) or None)
    except ValueError:  # a vocabulary of whole words, say
        raise TwinError("The model has no tokens for JSON.", _TEXT_ONLY) from None
