"""Which files of a repository count as the persona's code or prose, whatever the forge."""

import re
from pathlib import PurePosixPath

from twin_assets.core.records import Category

MAX_FILE_BYTES = 200_000
CODE = {
    ".py": "text/x-python", ".pyi": "text/x-python", ".rs": "text/x-rust", ".go": "text/x-go",
    ".js": "text/javascript", ".ts": "text/x-typescript", ".tsx": "text/x-typescript", ".c": "text/x-c",
    ".h": "text/x-c", ".cpp": "text/x-c++", ".java": "text/x-java", ".rb": "text/x-ruby",
    ".sh": "text/x-shellscript", ".sql": "text/x-sql", ".ex": "text/x-elixir", ".lua": "text/x-lua",
}  # fmt: skip
PROSE = {".md": "text/markdown", ".rst": "text/x-rst"}
VENDORED = re.compile(
    r"(^|/)(third[_-]party|vendor(ed)?|node_modules|external|extern|deps|dist|site-packages|\.venv)/"
    r"|\.min\.js$|_pb2\.py$"
)


def file_refusal(path: str, size: int = 0) -> str | None:
    """Why a file is left out, or None when it is worth having."""
    if VENDORED.search(path):
        return "vendored"
    if PurePosixPath(path).suffix not in CODE | PROSE:
        return "neither source nor prose"
    return "too large" if size > MAX_FILE_BYTES else None


def kind_of(path: str) -> tuple[Category, str]:
    """Category and media type of a file that was not refused."""
    suffix = PurePosixPath(path).suffix
    return ("code" if suffix in CODE else "article"), (CODE | PROSE)[suffix]
