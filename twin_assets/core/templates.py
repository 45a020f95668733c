"""Texts made from template files, which lie beside the code that fills them: HTML pages and Markdown cards."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_PACKAGE = Path(__file__).resolve().parents[1]


def render(template: str, **values: Any) -> str:
    """The template at this path below `twin_assets`, filled in. What goes into a `.html` file is escaped.

    Raises jinja2.UndefinedError where the template asks for what it is not given.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PACKAGE),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shown": _shown, "base64": lambda data: base64.b64encode(data).decode()}
    return environment


def _shown(value: Any, how: str, missing: str = "not measured") -> str:
    """The value in a format of Python's, `missing` for None."""
    return missing if value is None else format(value, how)
