"""What a text file says about itself above its text, in the forms of the site builders and note programs.

YAML between --- (Jekyll, Hugo, Obsidian...), TOML between +++ and JSON (Hugo), both also with their name behind the
fence (Eleventy), YAML with a closing fence alone and JSON between ;;; (Hexo), each also inside a comment; Pelican's and
MultiMarkdown's unfenced `Title: ...`, Nikola's `.. title: ...`, Logseq's `title:: ...`, pandoc's `% title`. Where YAML or
TOML is broken, its plain lines are read.
"""

import json
import re
import tomllib
from typing import Any

import yaml

Fields = dict[str, Any]
MAX_BLOCK = 100_000  # characters
MAX_VALUES = 10_000  # a few lines of YAML aliases can stand for billions

_FENCED = re.compile(
    r"\A\s*+(?P<fence>\+{3,}|-{3,}|;{3,})[ \t]*+(?P<language>ya?ml|toml|json)?[ \t]*+(?:#[^\n]*)?\n(?P<fields>.*?)(?:\n)?^(?:(?P=fence)|\.\.\.)[ \t]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
# Hexo's, without the fence above: lines that look like YAML, down to a rule.
_HALF_FENCED = re.compile(
    r"\A\s*+((?:(?:[A-Za-z][\w -]{0,40}:(?:[ \t][^\n]*)?|[ \t]*-[ \t][^\n]*|[ \t]+(?!-[ \t])\S[^\n]*|[ \t]*)\n)+)-{3,}[ \t]*(?:\n|\Z)"
)
# YAML alone, each line of which looks like fields: a rule may stand above a text that has another below it.
_LEFT_IN_BODY = re.compile(
    r"\A---[ \t]*\n(?=[\w-]+[ \t]*:)(?:(?>[\w -]+:|[ \t]+\S|- |#)[^\n]*\n|[ \t]*\n)+?---[ \t]*(?:\n|\Z)"
)
_COMMENTED = re.compile(r"\A\s*+<!--[ \t]*+\n?(.*?)-->[ \t]*(?:\n|\Z)", re.DOTALL)
_PROPERTIES = re.compile(r"\A\s*+((?:(?:-[ \t]+)?[A-Za-z][\w-]{0,40}::(?:[ \t][^\n]*)?(?:\n|\Z))+)")
_PANDOC = re.compile(
    r"\A%[ \t]++(?P<title>[^\n]++(?:\n[ \t]++\S[^\n]*+)*+)\n(?:%[ \t]*+(?P<author>[^\n]*+(?:\n[ \t]++\S[^\n]*+)*+)\n(?:%[ \t]*+(?P<date>[^\n]*+)\n)?)?[ \t]*+\n"
)
_UNFENCED = re.compile(
    r"\A\s*+((?:[A-Za-z][\w .-]{0,40}:(?:[ \t][^\n]*)?\n(?:[ \t]+\S[^\n]*\n)*)+)(?:[ \t]*\n|\Z)"
)
_NIKOLA = re.compile(r"\A\s*+(?:<!--\s*+)?((?:\.\. [a-z_-]+:[^\n]*\n)+)(?:\s*-->)?")
_KNOWN = {
    "title", "date", "author", "authors", "slug", "tags", "category", "status", "summary", "modified", "lang", "keywords",
    "subtitle", "description", "template", "permalink", "link", "published", "draft", "private", "publish", "layout",
    "public", "created", "type", "categories",
}  # fmt: skip
_NOT_PLAIN = re.compile(r"[|>][+-]?\d*|[&*][\w-]+|\[[^\]]*|\{[^}]*")
_LINE = re.compile(r"^(?P<key>\w[\w.-]*+(?: ++[\w.-]++)*+)[ \t]*+[:=][ \t]*+(?P<value>.*)$")


def split_front_matter(text: str) -> tuple[Fields, str]:
    """(fields, body). A file without front matter has no fields; keys are as written, unfenced ones in lower case.

    Raises ValueError when there are fields and not one can be read.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    head = text[:MAX_BLOCK]
    if match := _FENCED.match(head):
        fields = _fenced(match["fence"], match["fields"], (match["language"] or "").lower())
        # A rule above a text and another below it are none; nobody leaves a line empty above fields.
        odd = match["fields"].startswith("\n") or len(match["fence"]) > 3
        if fields is None or (odd and not _KNOWN & fields.keys()):
            return {}, text
        return bounded(fields), text[match.end() :].lstrip("\n")
    if re.match(r"\s*\{\s*[\"}]", text):
        return _json(text)
    if match := _NIKOLA.match(head):
        lines = [line[3:].partition(":") for line in match[1].splitlines()]
        return _nikola({key: value.strip() for key, _, value in lines}), text[match.end() :].lstrip("\n")
    if (match := _COMMENTED.match(head)) and (fields := _commented(match[1].rstrip())):
        return fields, text[match.end() :].lstrip("\n")
    if match := _PANDOC.match(head):
        return {key: value for key, value in match.groupdict().items() if value}, text[match.end() :].lstrip(
            "\n"
        )
    if match := _PROPERTIES.match(head):
        lines = [line.lstrip("- \t").partition("::") for line in match[1].splitlines()]
        return {key.lower(): value.strip() for key, _, value in lines}, text[match.end() :].lstrip("\n")
    if (match := _HALF_FENCED.match(head)) and match[1].strip().count("\n"):
        fields = _fenced("---", match[1], "") or {}
        if len(_KNOWN & {key.lower() for key in fields}) > 1:
            return bounded(fields), text[match.end() :].lstrip("\n")
    if match := _UNFENCED.match(head + ("" if text.endswith("\n") else "\n")):
        fields = _unfenced(match[1])
        usual = _KNOWN & fields.keys()
        if next(iter(fields)) in _KNOWN and ("title" in usual or len(usual) > 1):
            return fields, text[match.end() :].lstrip("\n")
    return {}, text


def without_front_matter(body: str) -> str:
    """The body of an item, with line feeds, without YAML that was left above it, such as where it can't be read.

    For what is no file: a post may begin with a rule, or with a line that `split_front_matter` would take for a field.
    """
    return _LEFT_IN_BODY.sub("", body.removeprefix("\ufeff"))


def _commented(inside: str) -> Fields:
    """Fields that a comment above a text holds, in any form but one with a comment; none for a remark."""
    if inside.lstrip().startswith("<!--"):
        return {}
    try:
        fields, rest = split_front_matter(inside + "\n\n")
    except ValueError:
        return {}
    return {} if rest.strip() or not _KNOWN & {key.lower() for key in fields} else fields


def _nikola(fields: Fields) -> Fields:
    """Nikola's fields; its tags `draft` and `private` say what `status` says."""
    tags = {tag.strip().lower() for tag in fields.get("tags", "").split(",")}
    said = next((word for word in ("draft", "private") if word in tags), None)
    return {"status": said} | fields if said else fields


def _fenced(fence: str, block: str, language: str) -> Fields | None:
    try:
        if fence[0] == ";" or language == "json":
            fields = json.loads(
                block if block.lstrip().startswith("{") else f"{{{block.rstrip().rstrip(',')}}}"
            )
        else:
            is_toml = language == "toml" or (fence[0] == "+" and not language)
            fields = tomllib.loads(block) if is_toml else yaml.safe_load(block)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if fence[0] == "-" and not re.match(r"(?:#[^\n]*\n\s*)*[\w\"'][^\n:]*:(?:\s|$)", block):
            return None
        if fields := _by_line(block):
            return fields
        raise ValueError(f"broken front matter ({str(error).splitlines()[0]})") from None
    if fields is None:
        return {}
    if isinstance(fields, str | list) and fence[0] == "-":
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
        elif match := _LINE.match(line):
            key = match["key"].strip()
            value = match["value"].strip()
            inside = re.fullmatch(r"\[(.*)\]", value)
            if inside:
                fields[key] = [_scalar(part) for part in inside[1].split(",") if part.strip()]
            # What goes on below, or stands for something else, is no plain value.
            elif value and not _NOT_PLAIN.fullmatch(value):
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
        # A comma behind the last field is what people leave there.
        whole = re.match(r"\s*(\{.*?),(\s*\}[ \t]*(?:\n|\Z))", text[:MAX_BLOCK], re.DOTALL)
        if whole and _is_json(whole[1] + whole[2]):
            return _json(whole[1] + whole[2] + text[whole.end() :])
        # Prose may begin with a brace; only what looks like fields to the end of a line is broken.
        if re.match(r"\s*+\{[^\S\n]*+\n\s*+\"[\w-]+\"\s*+:", text):
            raise ValueError("broken front matter (not JSON)") from None
        return {}, text
    if not isinstance(fields, dict) or text[end:].lstrip(" \t")[:1] not in ("", "\n"):
        return {}, text
    if not _KNOWN & {key.lower() for key in fields}:  # an example that a text begins with
        return {}, text
    return bounded(fields), text[end:].lstrip()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


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
