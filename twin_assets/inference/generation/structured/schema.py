"""What OpenAI's `response_format` asks for, and which schemas are refused before anything is made of them."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from twin_assets.core.errors import TwinError

MAX_CHARACTERS = 20_000
MAX_DEPTH = 32
# multipleOf is a machine of so many states, all made at once: this many in a fifth of a second.
MAX_MULTIPLE = 100_000
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class UnsupportedSchema(TwinError):
    """A schema that answers can't be held to."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"response_format: answers can't be held to this schema: {why}.", "leave that out of the schema."
        )


@dataclass(frozen=True)
class ResponseFormat:
    """JSON of a `schema`, which is JSON Schema as text; any object where it is None."""

    schema: str | None = None
    name: str = "answer"

    def as_openai(self) -> dict[str, Any]:
        """As an engine behind us is asked."""
        if self.schema is None:
            return {"type": "json_object"}
        wanted = {"name": self.name, "schema": json.loads(self.schema), "strict": True}
        return {"type": "json_schema", "json_schema": wanted}


def check_size(schema: dict[str, Any]) -> None:
    """Raises ValueError for a schema that is too long or too deep to be worked on."""
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            break
    else:
        raise ValueError(f"the schema is more than {MAX_DEPTH} levels deep")
    if (length := len(json.dumps(schema, ensure_ascii=False))) > MAX_CHARACTERS:
        raise ValueError(f"the schema has {length} characters, {MAX_CHARACTERS} are allowed")


def refuse_inexact(schema: dict[str, Any]) -> None:
    """Raises UnsupportedSchema for what llguidance takes and would not keep, or not within bounds."""
    multiple = 1
    for part in _parts(schema):
        if "x-guidance" in part:
            raise UnsupportedSchema("x-guidance is no keyword of JSON Schema")
        # Names beside `properties` can be written twice, and two of one name are one property.
        if _number(part.get("minProperties")) > 1:
            raise UnsupportedSchema("minProperties above 1 is not counted")
        # They would need \u escapes, by which "\u0061" were a second spelling of the property "a".
        if any(character < " " for text in _texts(part) for character in text):
            raise UnsupportedSchema("a name, const or enum has a control character")
        if (step := _number(part.get("multipleOf"))) > 0:
            multiple = math.lcm(multiple, Fraction(str(step)).numerator)
        if multiple > MAX_MULTIPLE:
            raise UnsupportedSchema(
                f"a multipleOf, or the common multiple of several, is above {MAX_MULTIPLE}"
            )


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and all schemas in it: names of properties and constants are none."""
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        yield part
        waiting += [part[key] for key in _SCHEMAS if key in part]
        waiting += [one for key in _LISTS if isinstance(part.get(key), list) for one in part[key]]
        waiting += [one for key in _MAPS if isinstance(part.get(key), dict) for one in part[key].values()]


def _texts(part: dict[str, Any]) -> Iterator[str]:
    """What an answer says word by word."""
    names = part.get("properties")
    waiting: list[Any] = [part.get("const"), part.get("enum"), part.get("required")]
    waiting += list(names) if isinstance(names, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
