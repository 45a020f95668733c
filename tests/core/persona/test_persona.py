"""What a persona's YAML may say, and how a mistake in it is told."""

from pathlib import Path

import dagster as dg
import pytest

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import SOURCES, load_persona, persona_schema, save_persona
from twin_assets.definitions import defs
from twin_assets.feature.crawl.run import spider_of
from twin_assets.settings import ROOT

START = "name: ada\nfull_name: Ada Example\nabout: Ada builds bridges.\nlicense: MIT\n"


def declared(folder: Path, more: str) -> Path:
    (folder / "ada.yaml").write_text(START + more)
    return folder


def test_paths_are_taken_from_the_folder_of_the_yaml(tmp_path: Path) -> None:
    more = "web: {folders: [blog, /abs]}\nx: {archive: x.zip}\nmedium: {export: m.zip}\nimpostors: [others]\n"
    persona = load_persona(declared(tmp_path, more), "ada")
    assert persona.sources() == ["medium", "x", "web"]
    assert persona.web is not None
    assert persona.web.folders == [tmp_path / "blog", Path("/abs")]
    assert (persona.x and persona.x.archive, persona.medium and persona.medium.export) == (
        tmp_path / "x.zip",
        tmp_path / "m.zip",
    )
    assert persona.impostors == [tmp_path / "others"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("substack: {url: ftp://x}\n", r"substack\.url: String should match pattern"),
        ("github: {usr: ada}\n", r"github\.user: Field required; github\.usr: Extra inputs"),
        ("train_on: secret\nx: {archive: a.zip}\n", r"train_on: Input should be 'public'"),
        ("visibility: secret\nx: {archive: a.zip}\n", r"visibility: Input should be 'public'"),
        ("web: [\n", r"ada\.yaml is not YAML"),
        ("", r"names no place where Ada Example writes.*linkedin, medium, substack, github, gitlab, x, web"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(TwinError, match=said):
        load_persona(declared(tmp_path, more), "ada")


def test_the_committed_schema_is_the_models_own() -> None:
    assert (ROOT / "personas" / "schema.json").read_text() == persona_schema(), (
        "run: twin personas --schema > personas/schema.json"
    )


def test_every_source_has_its_spider_and_its_raw_asset() -> None:
    assert {spider_of(source).name for source in SOURCES} == set(SOURCES)
    collected = {f"raw_{source}" for source in SOURCES}
    raw = {key.to_user_string() for key in dg.AssetSelection.groups("collect").resolve(defs.assets or [])}
    assert raw == collected | {"raw_library"}


def test_a_saved_persona_is_read_back_and_a_wrong_one_changes_nothing(tmp_path: Path) -> None:
    declared = {
        "name": "mia",
        "full_name": "Mia Ölund",
        "about": "Writes.",
        "license": "MIT",
        "web": {"folders": ["a"]},
    }
    assert save_persona(tmp_path, declared).web == load_persona(tmp_path, "mia").web
    before = (tmp_path / "mia.yaml").read_text()
    assert "Ölund" in before
    for wrong in (
        declared | {"web": {"pages": ["ftp://x"]}},
        declared | {"name": "../mia"},
        declared | {"more": 1},
    ):
        with pytest.raises(TwinError):
            save_persona(tmp_path, wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["mia.yaml"]
    assert (tmp_path / "mia.yaml").read_text() == before
