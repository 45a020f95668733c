"""Other authors' writing, which the voice metric holds a text against."""

import re
from pathlib import Path

from twin_assets.core.errors import TwinError

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\n.*?\n\1\n", re.DOTALL)


def read_impostors(folders: list[Path]) -> dict[str, list[str]]:
    """Texts by author: one folder of Markdown an author. Raises TwinError on a folder without any."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        texts = [_FRONT_MATTER.sub("", p.read_text()).strip() for p in sorted(folder.glob("**/*.md"))]
        if not texts:
            raise TwinError(
                f"The impostor folder {folder} holds no Markdown.", "name a folder of *.md files."
            )
        found[folder.name] = texts
    return found
