"""Makes storable what came out of somebody's JSON: halves of surrogate pairs are text to JSON, and to nothing else."""

import json
from typing import Any


def clean_text(text: str) -> str:
    """The text with halves of surrogate pairs put together, or replaced where one is missing, and without NUL."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "")


def clean_value(value: Any) -> Any:
    """A JSON value with all its texts cleaned."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else clean_text(value)
    if isinstance(value, dict):
        return {clean_text(name): clean_value(part) for name, part in value.items()}
    return [clean_value(part) for part in value] if isinstance(value, list) else value


def load_json(data: bytes) -> Any:
    """The value of JSON in UTF-8, storable. Raises ValueError for what is none."""
    text = data.decode("utf-8-sig", errors="replace")
    try:
        value = json.loads(text, strict=False)
        return clean_value(value) if "\\u" in text else value
    except RecursionError:
        raise ValueError("nested too deeply") from None
