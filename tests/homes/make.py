"""Makes the home of this version: `python -m tests.homes.make`, once at each release, before its tag.

It writes `<version>.tar.xz`, the home with its facts in it, and never changes that of another version.
"""

import json
import os
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.homes.used_home import facts, fill

FOLDER = Path(__file__).parent
FACTS = "facts.json"
# Made anew wherever it is missing, and a thousand times the size of the rest.
LEFT_OUT = ("cache/embedder", "cache/lake-mirror")


def pack(home: Path, archive: Path) -> None:
    """Everything of a home but what is made anew. Names and times of who made it are left out."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name.startswith(LEFT_OUT):
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:xz") as packed:
        for path in sorted(home.iterdir()):
            packed.add(path, path.name, filter=plain)


def unpack(archive: Path, home: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(home, filter="data")


def main() -> int:
    name = version("llm-twin-platform")
    archive = FOLDER / f"{name}.tar.xz"
    if archive.exists():
        print(
            f"{archive.name} is there: a released home is never changed. Raise the version first.",
            file=sys.stderr,
        )
        return 1
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="home-") as folder:
        fill(Path(folder))
        (Path(folder) / FACTS).write_text(
            json.dumps(facts(Path(folder)), ensure_ascii=False), encoding="utf-8"
        )
        pack(Path(folder), archive)
    print(f"{archive.name}: {archive.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
