"""A real person as an installation has one: a persona's YAML over a folder of writing, and a home of its own."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.authors import MOST_LETTERS, author_folders
from twin_assets.evaluation.voice.background import EVERY
from twin_assets.settings import Settings, load_settings

LEFT_OUT = ("azu-ja",)  # writes Japanese, and would be told by that alone


@dataclass(frozen=True)
class Person:
    """Whose writing it is, as their repositories say."""

    name: str
    folder: str
    full_name: str
    about: str
    license: str


PEOPLE = {
    person.name: person
    for person in (
        Person(
            "jessfraz",
            "jessfraz-blog",
            "Jessie Frazelle",
            "Jessie Frazelle is a software engineer. She writes about containers, Linux, security, firmware and hardware.",
            "MIT",
        ),
        Person(
            "simonw",
            "simonw-til",
            "Simon Willison",
            "Simon Willison is a software engineer who writes short notes about what he learnt today: Python, SQLite, "
            "the web and many tools.",
            "Apache-2.0",
        ),
        Person(
            "matklad",
            "matklad",
            "Alex Kladov",
            "Alex Kladov is a software engineer who writes about Rust, Zig, compilers, testing and building software.",
            "MIT or Apache-2.0",
        ),
        Person(
            "skeeto",
            "skeeto",
            "Christopher Wellons",
            "Christopher Wellons is a software engineer who writes about C, Emacs, random numbers and small programs.",
            "Unlicense",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Home:
    """A person's installation in a folder of its own. `choosing` are folders of the writers that only a chooser is shown."""

    person: Person
    folder: Path
    choosing: list[Path]
    settings: Settings

    @property
    def results(self) -> Path:
        return self.folder / "results.json"


def open_home(name: str, folder: Path, profile: str) -> Home:
    """Write what a user would write, and point this process's settings to it. Raises SystemExit for an unknown name."""
    if name not in PEOPLE:
        raise SystemExit(f"There is no person {name!r}. Fix: name one of {', '.join(PEOPLE)}.")
    folders = {path.name: path for path in author_folders() if path.name not in LEFT_OUT}
    person, root = PEOPLE[name], folder / name
    if person.folder not in folders:
        raise SystemExit(
            f"There is no folder {person.folder!r} of writing. Fix: let TWIN_AUTHORS name its parent folder."
        )
    others = sorted(set(folders) - {person.folder})
    shown = {other: _beginning(folders[other], folder / "others" / other) for other in others}
    choosing = others[1::EVERY]
    personas = root / "personas"
    personas.mkdir(parents=True, exist_ok=True)
    declared = {
        "name": name,
        "full_name": person.full_name,
        "about": person.about,
        "license": person.license,
        "languages": ["en"],
        "web": {"folders": [str(folders[person.folder])]},
        "impostors": [str(path) for other, path in shown.items() if other not in choosing],
    }
    (personas / f"{name}.yaml").write_text(yaml.safe_dump(declared, sort_keys=False, width=110))
    os.environ |= {
        "TWIN_HOME": str(root / "home"),
        "TWIN_PERSONAS_DIR": str(personas),
        "TWIN_PROFILE": profile,
    }
    return Home(person, root, [shown[other] for other in choosing], load_settings())


def _beginning(folder: Path, into: Path) -> Path:
    """The first texts of a writer, as many as tell them and little enough to be fitted in seconds."""
    if not into.is_dir():
        into.mkdir(parents=True)
        left = MOST_LETTERS
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".txt")):
            text = path.read_text(encoding="utf-8", errors="replace")
            if left > 0 and text.strip():
                name = path.relative_to(folder).with_suffix(".md").as_posix().replace("/", "-")
                (into / name).write_text(text, encoding="utf-8")
                left -= len(text)
    return into
