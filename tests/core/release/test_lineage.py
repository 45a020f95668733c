"""Which data trained what is in production is one call; the card says the same to a reader."""

import json
from pathlib import Path

import pytest
import yaml

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.models import PUBLIC, family, lineage, save
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import RECORD, Registry
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.lineage import trace, which_data
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings


def test_which_data_trained_what_is_in_production(tmp_path: Path) -> None:
    registry, lake = Registry(Settings(home=tmp_path / "home")), LocalLake(tmp_path / "lake")
    with pytest.raises(TwinError, match="nothing in production"):
        which_data(registry, lake, "runa")
    rows = [row(n, "answer") for n in range(12)] + [row(99, "answer", "heldout")]
    manifest = write_dataset(lake, "runa", "instruct", rows, **FACTS)
    base, sft, _ = family(registry, tmp_path / "scratch")
    learnt = lineage("dpo", sft.tag, 7, datasets={"instruct": manifest.version, "preference": "long-gone"})
    dpo = save(registry, tmp_path / "scratch" / "last", learnt, days=9)
    ledger = Ledger(lake, "runa")
    ledger.append(dpo.tag, "proposed", "pipeline", "new")
    ledger.append(dpo.tag, "evaluated", "pipeline", "fine", passed=True)
    ledger.append(dpo.tag, "approved", "Ines", "sounds like her")
    ledger.append(dpo.tag, "deployed", "pipeline", "approved")

    found = which_data(registry, lake, "runa")
    assert found.model.tag == dpo.tag
    assert [p.tag for p in found.parents] == [sft.tag, base.tag]
    instruct, preference = found.datasets
    assert (instruct.version, instruct.rows, instruct.documents) == (
        manifest.version,
        {"train": 12, "test": 1},
        9,
    )
    assert (preference.version, preference.stored_at) == ("long-gone", None)
    assert found.configs[dpo.tag] == {"learning_rate": 0.008}
    assert (found.model.lineage.seed, found.model.lineage.code_version) == (7, "1")
    registry.delete(sft.tag)
    assert trace(registry, lake, dpo.tag).missing == [sft.tag]


def test_every_version_has_a_card_and_a_record(tmp_path: Path) -> None:
    registry = Registry(Settings(home=tmp_path / "home", hub_namespace="ada"))
    base, sft, _ = family(registry, tmp_path / "scratch")
    about = PUBLIC.model_copy(
        update={
            "license": "All rights reserved",
            "visibility": "connections",
            "base_model": "Qwen/Qwen3-0.6B@main",
        }
    )
    closed = save(registry, tmp_path / "scratch" / "closed", lineage("sft", base.tag, 9), about=about)
    fronts = {}
    for version in (base, sft, closed):
        card = (version.path / "README.md").read_text()
        fronts[version.tag] = yaml.safe_load(card.split("---")[1])
        assert version.tag in card
        assert version.lineage.config_hash in card
        assert str(tmp_path) not in card
        assert json.loads((version.path / RECORD).read_text())["weights_hash"] == version.weights_hash
    assert fronts[sft.tag]["license"] == "cc-by-4.0"
    assert fronts[sft.tag]["datasets"] == ["ada/runa-instruct"]
    assert fronts[sft.tag]["language"] == ["en"]
    assert fronts[closed.tag]["license"] == "other"
    assert fronts[closed.tag]["license_name"] == "All rights reserved"
    assert fronts[closed.tag]["base_model"] == "Qwen/Qwen3-0.6B"
    assert "datasets" not in fronts[closed.tag]
    assert "Intended use" not in (base.path / "README.md").read_text()
    assert "the author's connections" in (closed.path / "README.md").read_text()
