"""Which files of a folder of writing are worth reading, told by their paths, and why the others are left out."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from twin_assets.feature.crawl.formats.not_own import not_own_reason

MAX_FILES = 50_000
MAX_DEPTH = 40
MADE = "made by a program"
UNOPENED = "a folder that cannot be opened"

_VERSION_CONTROL = {".git", ".hg", ".svn", ".jj", "__pycache__"}
_DRAFTS = {"_drafts", "drafts", "_draft", "draft", "unpublished", "_unpublished", "_discarded", "wip", "_wip"}
_TRASH = {".trash", "_trash", "trash", ".recycle", "$recycle.bin", ".stversions"}
_PRIVATE = {"private", "_private", ".private"}
# Not every folder with the word: a blog may have one on private equity.
_PRIVATE_KIND = re.compile(
    r"[._]?(?:my[ _-])?(?:private[ _-](?:notes?|journals?|diar(?:y|ies)|posts?|files?|stuff|writings?|drafts?|docs?|pages?|vault)"
    r"|(?:notes?|journals?|posts?|files?|docs?|pages?)[ _-](?:are[ _-])?private)"
)
_TEMPLATES = {
    "_layouts",
    "_includes",
    "_templates",
    "templates",
    "archetypes",
    "layouts",
    "_partials",
    "partials",
    "scaffolds",
    "_sass",
}
_BUILT = {"_site", "_build", "_book", "_freeze", ".docusaurus", "_output"}
# A folder that a program builds goes by a common name, so the program's file beside it must say so.
_BUILT_BESIDE = {
    "public": ("hugo.toml", "hugo.yaml", "hugo.yml", "config.toml", "config.yaml", "_config.yml", "gatsby-config.js"),
    "output": ("pelicanconf.py", "conf.py"),
    "site": ("mkdocs.yml",),
    "resources": ("hugo.toml", "config.toml"),
    "themes": ("hugo.toml", "hugo.yaml", "hugo.yml", "config.toml", "config.yaml", "_config.yml", "pelicanconf.py"),
    "bak": ("config.edn",),
}  # fmt: skip
_NUMBER = re.compile(r"^\d{1,3}(?:[ ._-]+)(?=[^\W\d])")
_PROGRAM_FILES = re.compile(
    r"^(?:robots|humans|ads|security|llms|llms-full|requirements[\w-]*|constraints[\w-]*|cmakelists|runtime|packages)\.txt$"
    r"|^404\.\w+$|^(?:google|yandex_|bingsiteauth|pinterest-)[0-9a-f]+\.html$|\.excalidraw\.md$|^sitemap\.\w+$",
    re.IGNORECASE,
)


def files_of(
    folder: Path, max_files: int = MAX_FILES, max_depth: int = MAX_DEPTH
) -> Iterator[tuple[str, str | None]]:
    """(relative path with slashes, why it is left out by its path or None) of each file, folder by folder.

    What version control keeps isn't looked into. Deeper than max_depth and after max_files each folder or the
    rest is one path, with that reason, as is a folder that can't be opened. Links to folders are not followed.
    """
    seen = 0
    closed: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=closed.append):
        here = Path(root)
        inside = here.relative_to(folder)
        folders[:] = sorted(name for name in folders if name.lower() not in _VERSION_CONTROL)
        for name in folders:
            if (here / name).is_symlink():
                yield (inside / name).as_posix() + "/", "link to a folder"
        if len(inside.parts) >= max_depth and folders:
            for name in folders:
                yield (inside / name).as_posix() + "/", f"more than {max_depth} folders deep"
            folders.clear()
        built = {name for name in folders if _is_built(here, name)}
        for name in sorted(built):
            folders.remove(name)
            for file in sorted((here / name).rglob("*")):
                if file.is_file() and (seen := seen + 1) <= max_files:
                    yield file.relative_to(folder).as_posix(), MADE
        for name in sorted(names):
            if (seen := seen + 1) > max_files:
                yield (inside / name).as_posix(), f"beyond the first {max_files:,} files"
                return
            path = (inside / name).as_posix()
            yield path, path_reason(path)
    for error in closed:
        yield Path(error.filename).relative_to(folder).as_posix() + "/", UNOPENED


def is_unseen(reason: str) -> bool:
    """Whether a reason means that files were not even looked at, so that their absence proves nothing."""
    return reason.startswith(("beyond the first", "more than")) or reason == UNOPENED


def path_reason(path: str) -> str | None:
    """Why a file at this path of a folder of writing is left out, or None."""
    pure = PurePosixPath(path)
    # In a vault folders are often numbered: 99 Templates.
    folders = [_NUMBER.sub("", part.lower()) for part in pure.parts[:-1]]
    for names, reason in (
        (_TRASH, "trash"),
        (_DRAFTS, "draft"),
        (_PRIVATE, "private"),
        (_BUILT, MADE),
    ):
        if names & set(folders):
            return reason
    if any(map(_PRIVATE_KIND.fullmatch, folders)):
        return "private"
    if pure.stem.lower().endswith(".draft"):
        return "draft"
    if any(part.startswith(".") for part in pure.parts):
        return "hidden file or folder"
    # A page of its own may be named so: posts/templates/index.md.
    bundle = pure.stem == "index" and pure.suffix != ".html" and not _TEMPLATES & set(folders[:-1])
    if _TEMPLATES & set(folders) and not bundle:
        return "template"
    if _PROGRAM_FILES.search(pure.name):
        return MADE
    return not_own_reason(path)


def _is_built(parent: Path, name: str) -> bool:
    return any((parent / file).is_file() for file in _BUILT_BESIDE.get(name.lower(), ()))
