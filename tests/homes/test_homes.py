"""A home that a release made is read by the code of today: whole, and it goes on from there."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.homes.make import FACTS, FOLDER, unpack
from tests.homes.used_home import facts, holds, materialize, settings_of
from twin_assets.settings import ROOT

NEW = ROOT / "demo" / "writing" / "medium" / "04-names-are-load-bearing.md"
RELEASES = sorted(FOLDER.glob("*.tar.xz"))


def test_every_release_has_left_its_home() -> None:
    """A section of the changelog with a number is a release; the first has not been made, and its home is kept already."""
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    numbers = {line.split()[1] for line in log.splitlines() if line.startswith("## ") and line[3].isdigit()}
    homes = {path.name.removesuffix(".tar.xz") for path in RELEASES}
    assert numbers | {version("llm-twin-platform")} == homes, "run: python -m tests.homes.make"


@pytest.mark.e2e
@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_a_home_of_a_release_is_read_wholly_and_goes_on(release: Path, tmp_path: Path) -> None:
    unpack(release, tmp_path)
    then = json.loads((tmp_path / FACTS).read_text(encoding="utf-8"))
    assert not holds(facts(tmp_path), then)

    # The graph of today, on the tables, the crawl's state and the index of then: one new text is one new document.
    shutil.copy(NEW, tmp_path / "writing")
    materialize(settings_of(tmp_path))
    now = facts(tmp_path)
    titles = {item["title"] for item in now["raw"]} - {item["title"] for item in then["raw"]}
    assert titles == {"Names are load-bearing"}, (
        "the others are known, though their folder has another name here"
    )
    assert now["warehouse"]["documents"] == then["warehouse"]["documents"] + 1
    assert now["indexed"] > then["indexed"]
    assert now["found"] == then["found"]
    for part in (
        "ledger",
        "requests",
        "threads",
        "drafts",
        "posts",
        "feedback",
        "key",
        "models",
        "dataset_rows",
    ):
        assert not holds(now[part], then[part], part)


def test_what_has_changed_is_named_and_a_new_field_is_no_change() -> None:
    then = {"ledger": [{"number": 1, "kind": "proposed"}]}
    assert not holds({"ledger": [{"number": 1, "kind": "proposed", "caller": None}], "more": 1}, then)
    assert holds({"ledger": [{"number": 1}]}, then) == [".ledger[0].kind is gone"]
    assert holds({"ledger": []}, then) == [".ledger: \"[{'number': 1, 'kind': 'proposed'}]\" is read as '[]'"]
