"""`twin settings`: every setting, what it is here, and what it is for. docs/settings.md is made from it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from twin_assets.cli.base import AsJson, command, read_settings, setting_name
from twin_assets.core.text.addresses import HIDDEN, hide_logins

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

HEAD = """# Settings

Each is read from the environment, or from a file `.env` in the working directory, and has a default with which everything
runs on one machine without an account. Lists and tables are written as JSON. `twin settings` shows what is set here,
secrets hidden; `twin settings --markdown > docs/settings.md` writes this page.
"""


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to the whole."""
    command(
        app,
        "twin settings",
        "twin settings port",
        "twin settings --changed",
        "twin settings --json",
        panel=panel,
    )(settings)


def settings(
    word: Annotated[
        str | None, typer.Argument(help="Only settings that have this in their name or description.")
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not as it comes.")] = False,
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/settings.md; of this installation it says nothing.")
    ] = False,
) -> None:
    """Shows every setting: its name in the environment, what it is here, its default, and what it is for.

    Set them in the environment or in a file .env. Secrets are never shown, only whether they are set.
    """
    if markdown:
        typer.echo(as_markdown(), nl=False)
        return
    rows = [
        row
        for row in _rows()
        if (not word or word.lower() in f"{row['name']} {row['description']}".lower())
        and (not changed or row["changed"])
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        default = f"  (default {_text(row['default']) or 'none'})" if row["changed"] else ""
        typer.echo(f"{row['name']}={_text(row['value'])}{default}\n    {row['description']}{_choices(row)}")


def as_markdown() -> str:
    """docs/settings.md: the same on every machine."""
    from twin_assets.settings import settings_parts

    lines = [HEAD.rstrip()]
    for part in settings_parts():
        lines += ["", f"## {part.__doc__}", "", "| setting | default | what it is |", "|---|---|---|"]
        for name, field in part.model_fields.items():
            default = f"`{_text(_default(field))}`" if _default(field) not in (None, "") else ""
            about = f"{field.description}{_choices({'choices': _literals(field.annotation)})}"
            lines.append(f"| `{setting_name(name)}` | {default} | {about.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _rows() -> list[dict[str, Any]]:
    """Every setting as it is here."""
    from twin_assets.settings import settings_parts

    here = read_settings()
    rows = []
    for name, field in ((n, f) for part in settings_parts() for n, f in part.model_fields.items()):
        value = getattr(here, name)
        rows.append(
            {
                "name": setting_name(name),
                "value": _shown(value),
                "default": _default(field),
                "changed": value != field.get_default(call_default_factory=True),
                "description": field.description,
                "choices": _literals(field.annotation),
            }
        )
    return rows


def _default(field: "FieldInfo") -> Any:
    return _shown(field.get_default(call_default_factory=True))


def _shown(value: Any) -> Any:
    """As JSON has it: secrets hidden, those in an address too, and paths of the checkout relative to it."""
    from pydantic import SecretStr
    from pydantic_core import to_jsonable_python

    from twin_assets.settings import WORK_DIR

    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Path):
        return str(value.relative_to(WORK_DIR)) if value.is_relative_to(WORK_DIR) else str(value)
    if isinstance(value, str):
        return hide_logins(value)
    return to_jsonable_python(value)


def _text(value: Any) -> str:
    """As the environment would have it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _literals(annotation: Any) -> list[str]:
    """What a setting may be, where that is one of a few words."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for one in get_args(annotation) for word in _literals(one)]


def _choices(row: dict[str, Any]) -> str:
    return f" One of {', '.join(f'`{word}`' for word in row['choices'])}." if row["choices"] else ""
