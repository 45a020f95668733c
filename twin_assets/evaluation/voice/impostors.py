"""Other authors' writing, which the voice metric holds a text against."""

from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.impostors import ATTRIBUTION
from twin_assets.core.text.front_matter import split_front_matter

TEXTS = (".md", ".markdown", ".txt")


def read_impostors(folders: list[Path]) -> dict[str, list[str]]:
    """Texts by author: one folder of Markdown or plain text an author, front matter taken off.

    Raises TwinError on a folder without either, on a file that isn't UTF-8 or whose front matter is broken, and on two folders of one
    name, which would pass for one author.
    """
    found: dict[str, list[str]] = {}
    for folder in folders:
        if folder.name in found:
            raise TwinError(f"Two impostor folders are called {folder.name!r}.", "give each author a name.")
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in TEXTS and p.name != ATTRIBUTION)
        texts = [text for path in paths if (text := _read(path))]
        if not texts:
            raise TwinError(
                f"The impostor folder {folder} holds no Markdown and no plain text.",
                "name a folder of *.md or *.txt files.",
            )
        found[folder.name] = texts
    return found


def _read(path: Path) -> str:
    try:
        return split_front_matter(path.read_text(encoding="utf-8"))[1].strip()
    except UnicodeDecodeError as error:
        raise TwinError(f"{path} is not UTF-8 ({error.reason}).", "save it as UTF-8.") from None
    except ValueError as error:
        raise TwinError(f"{path}: {error}.", "mend or remove the lines above its text.") from None
