"""What a text file says about itself above its text, in the forms of the site builders and note programs.

YAML between --- (Jekyll, Hugo, Obsidian...), TOML between +++ and JSON (Hugo), Pelican's and MultiMarkdown's
unfenced `Title: ...`, Nikola's `.. title: ...`. Where YAML or TOML is broken, its plain lines are read.
"""

import datetime as dt
import json
import re
import tomllib
from typing import Any

import dateutil.parser
import yaml

from twin_assets.feature.crawl.formats.feeds import parse_time

Fields = dict[str, Any]
MAX_BLOCK = 100_000  # characters
MAX_VALUES = 10_000  # a few lines of YAML aliases can stand for billions

_FENCED = re.compile(
    r"\A\s*(\+\+\+|---)[ \t]*(?:#[^\n]*)?\n(.*?)(?:\n)?^(?:\1|\.\.\.)[ \t]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_UNFENCED = re.compile(
    r"\A\s*((?:[A-Za-z][\w .-]{0,40}:(?:[ \t][^\n]*)?\n(?:[ \t]+\S[^\n]*\n)*)+)(?:[ \t]*\n|\Z)"
)
_NIKOLA = re.compile(r"\A\s*(?:<!--\s*\n?)?((?:\.\. [a-z_-]+:[^\n]*\n)+)(?:\s*-->)?")
_KNOWN = {
    "title", "date", "author", "authors", "slug", "tags", "category", "status", "summary", "modified", "lang", "keywords",
    "subtitle", "description", "template", "permalink", "link", "published",
}  # fmt: skip
_LINE = re.compile(r"^(?P<key>[\w][\w .-]*?)[ \t]*[:=][ \t]*(?P<value>.*)$")


def split_front_matter(text: str) -> tuple[Fields, str]:
    """(fields, body). A file without front matter has no fields; keys are as written, unfenced ones in lower case.

    Raises ValueError when there are fields and not one can be read.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if found := _FENCED.match(text[:MAX_BLOCK]):
        fields = _fenced(found[1], found[2])
        # A rule above a text and another below it are none; nobody leaves a line empty above fields.
        if fields is None or (found[2].startswith("\n") and not _KNOWN & fields.keys()):
            return {}, text
        return bounded(fields), text[found.end() :].lstrip("\n")
    if re.match(r"\s*\{\s*[\"}]", text):
        return _json(text)
    if found := _NIKOLA.match(text[:MAX_BLOCK]):
        lines = [line[3:].partition(":") for line in found[1].splitlines()]
        return {key: value.strip() for key, _, value in lines}, text[found.end() :].lstrip("\n")
    if found := _UNFENCED.match(text[:MAX_BLOCK] + ("" if text.endswith("\n") else "\n")):
        fields = _unfenced(found[1])
        known = _KNOWN & fields.keys()
        if next(iter(fields)) in _KNOWN and ("title" in known or len(known) > 1):
            return fields, text[found.end() :].lstrip("\n")
    return {}, text


def _fenced(fence: str, block: str) -> Fields | None:
    try:
        fields = tomllib.loads(block) if fence == "+++" else yaml.safe_load(block)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if fence == "---" and not re.match(r"(?:#[^\n]*\n\s*)*[\w\"'][^\n:]*:(?:\s|$)", block):
            return None
        if fields := _by_line(block):
            return fields
        raise ValueError(f"broken front matter ({str(error).splitlines()[0]})") from None
    if fields is None:
        return {}
    if isinstance(fields, str | list) and fence == "---":
        return None
    if not isinstance(fields, dict):
        raise ValueError("broken front matter (not a mapping)")
    return {str(key): value for key, value in fields.items()}


def _by_line(block: str) -> Fields:
    """Fields of broken YAML or TOML: those whose value is plain, quoted, or a list of such, each on its lines."""
    fields: Fields = {}
    key = ""
    for line in block.split("\n"):
        if key and (item := re.match(r"^\s*-\s+(.+)$", line)):
            fields[key] = [*(fields[key] if isinstance(fields.get(key), list) else []), _scalar(item[1])]
        elif found := _LINE.match(line):
            key = found["key"].strip()
            value = found["value"].strip()
            inside = re.fullmatch(r"\[(.*)\]", value)
            if inside:
                fields[key] = [_scalar(part) for part in inside[1].split(",") if part.strip()]
            elif value and not value.startswith(("[", "{", "|", ">", "&", "*")):
                fields[key] = _scalar(value)
        elif line.strip() and not line[0].isspace():
            key = ""
    return fields


def _scalar(text: str) -> Any:
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text.strip("\"'") if text.count('"') == 1 or text.startswith("'") else text


def _json(text: str) -> tuple[Fields, str]:
    start = len(text) - len(text.lstrip())
    try:
        fields, end = json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError):
        # Prose may begin with a brace; only what looks like fields to the end of a line is broken.
        if re.match(r"\s*\{\s*\n\s*\"[\w-]+\"\s*:", text):
            raise ValueError("broken front matter (not JSON)") from None
        return {}, text
    if not isinstance(fields, dict) or text[end:].lstrip(" \t")[:1] not in ("", "\n"):
        return {}, text
    return bounded(fields), text[end:].lstrip()


def _unfenced(block: str) -> Fields:
    fields: Fields = {}
    key = ""
    for line in block.splitlines():
        if line[0].isspace():
            fields[key] = f"{fields[key]} {line.strip()}".strip()
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    return fields


def bounded(fields: Fields) -> Fields:
    """The same fields as plain data. Raises ValueError when they stand for more values than a file can mean."""
    left = [MAX_VALUES]

    def plain(value: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > 50:
            raise ValueError("broken front matter (aliases without end)")
        if isinstance(value, dict):
            return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple | set):
            return [plain(inner, depth + 1) for inner in value]
        return value

    return {str(key): plain(value, 0) for key, value in fields.items()}


def as_time(value: Any) -> dt.datetime | None:
    """UTC time of a date in any of its forms; None when it can't be read. One without a zone counts as UTC."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, str) or len(value) > 100 or not re.search(r"\d{4}", value):
        return None
    text = re.sub(r"[<>\[\]]", "", value).strip()
    if day := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", text):
        try:
            return dt.datetime(int(day[1]), int(day[2]), int(day[3]), tzinfo=dt.UTC)
        except ValueError:
            return None
    try:
        return parse_time(text) or as_time(dateutil.parser.parse(text))
    except (ValueError, OverflowError):
        return None
