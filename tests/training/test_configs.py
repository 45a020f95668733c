"""Training configs: what is shipped is what Axolotl accepts, and its hash says what was learnt."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from training_factories import overlay, profile, settings

from twin_assets.core.errors import TwinError
from twin_assets.core.profiles import PROFILES_FILE, load_profile
from twin_assets.training.configs import TrainingStage, compose_config, config_hash

PROFILES = list(yaml.safe_load(PROFILES_FILE.read_text()))
ROWS = {"train": 100, "test": 10}


def compose(
    at: Path, name: str = "nano", stage: TrainingStage = "sft", rows: dict[str, int] = ROWS
) -> dict[str, Any]:
    return compose_config(load_profile(name), stage, at / "base", at / "data", at / "out", settings(at), rows)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize("name", PROFILES)
def test_axolotl_accepts_every_shipped_config(name: str, stage: TrainingStage, tmp_path: Path) -> None:
    from axolotl.cli.config import prepare_plugins
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlInputConfig

    config = compose(tmp_path, name, stage)
    assert set(config) <= set(AxolotlInputConfig.model_fields), "a name that Axolotl would ignore unseen"
    given = DictDefault(config)
    prepare_plugins(given)
    accepted = validate_config(given)
    assert accepted.learning_rate == config["learning_rate"]
    assert accepted.excess_length_strategy == "drop"


def test_the_hash_ignores_where_and_knows_what(tmp_path: Path) -> None:
    here, there = compose(tmp_path / "a"), compose(tmp_path / "b")
    assert here != there
    assert config_hash(here) == config_hash(there)
    assert config_hash(here | {"learning_rate": 1e-5}) != config_hash(here)
    assert config_hash(here) != config_hash(compose(tmp_path, stage="dpo"))


def test_nothing_is_evaluated_without_test_rows(tmp_path: Path) -> None:
    config = compose(tmp_path, rows={"train": 5, "test": 0})
    assert "test_datasets" not in config
    assert "eval_strategy" not in config


def test_only_the_answer_is_learnt(tmp_path: Path) -> None:
    config = compose(tmp_path)
    assert config["train_on_inputs"] is False
    assert config["datasets"][0]["roles_to_train"] == ["assistant"]


def test_a_missing_or_broken_config_is_named(tmp_path: Path) -> None:
    def composed(file: str) -> None:
        compose_config(
            profile(sft_config=file), "sft", tmp_path, tmp_path, tmp_path, settings(tmp_path), ROWS
        )

    with pytest.raises(TwinError, match=r"no training config 'absent.yaml'.*nano_sft.yaml"):
        composed("absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(TwinError, match="not YAML"):
        composed(str(broken))
    broken.write_text("- a\n- b\n")
    with pytest.raises(TwinError, match="no mapping"):
        composed(str(broken))
    composed(overlay(tmp_path, "nano_sft.yaml", num_epochs=1))
