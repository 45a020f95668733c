"""Training configs: what is shipped is what Axolotl accepts, and its hash says what was learnt."""

from pathlib import Path
from typing import Any, get_args

import pytest

from tests.training.training_factories import overlay, profile, settings
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile, profile_names
from twin_assets.training.configs.overlays import FOLDER, TrainingStage, compose_config, config_hash

NAMES = list(profile_names())
ROWS = {"train": 100, "test": 10}

# Machines as Axolotl describes them to itself: a CPU, one Hopper GPU, eight of them.
CPU = {"bf16": False, "fp8": False, "tf32": False, "n_gpu": 0, "n_node": 1, "compute_capability": ""}
HOPPER = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 1, "n_node": 1, "compute_capability": "sm_90"}
MACHINES = {"single": HOPPER, "fsdp2": HOPPER | {"n_gpu": 8}, "zero3": HOPPER | {"n_gpu": 8}}


def compose(
    at: Path, name: str = "nano", stage: TrainingStage = "sft", rows: dict[str, int] = ROWS, *overlays: str
) -> dict[str, Any]:
    chosen = profile(*overlays, name=name)
    return compose_config(chosen, stage, at / "base", at / "data", at / "out", settings(at), rows)


@pytest.mark.parametrize("stage", get_args(TrainingStage))
@pytest.mark.parametrize("name", NAMES)
def test_axolotl_accepts_every_config(name: str, stage: TrainingStage, tmp_path: Path) -> None:
    import torch
    from axolotl.cli.config import prepare_plugins
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlInputConfig

    config = compose(tmp_path, name, stage)
    assert set(config) <= set(AxolotlInputConfig.model_fields), "a name that Axolotl would ignore unseen"
    shipped = load_profile(name)
    given = DictDefault(config)
    prepare_plugins(given)
    accepted = validate_config(
        given,
        capabilities=CPU if shipped.family is None else MACHINES[shipped.parallel],
        env_capabilities={"torch_version": str(torch.__version__).split("+")[0]},
    )
    assert accepted.learning_rate == config["learning_rate"]
    assert accepted.excess_length_strategy == "drop"
    assert accepted.adapter == (None if shipped.method in ("full", "qat") else shipped.method)
    assert bool(accepted.qat) is (shipped.method == "qat")
    assert accepted.load_in_4bit is (shipped.method == "qlora")
    assert accepted.rl == (None if stage in ("cpt", "sft") else stage)
    assert bool(accepted.fsdp_config) is (shipped.parallel == "fsdp2")
    assert bool(accepted.deepspeed) is (shipped.parallel == "zero3")


def test_no_overlay_lies_unused_and_none_repeats_another() -> None:
    used = {str(o) for name in NAMES for o in load_profile(name).overlays}
    assert used == {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*.yaml")} - {
        path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("families/*.yaml")
    } | {"base.yaml"}


def test_values_of_a_stage_hold_for_it_alone(tmp_path: Path) -> None:
    sft, dpo = compose(tmp_path, "qwen-8b"), compose(tmp_path, "qwen-8b", "dpo")
    cpt = compose(tmp_path, "qwen-8b", "cpt")
    assert [name for name in sft if sft[name] != cpt[name]] == ["num_epochs", "datasets", "test_datasets"]
    assert cpt.keys() == sft.keys()
    assert "rl" not in sft
    assert "rl_beta" not in sft
    assert (sft["lora_dropout"], dpo["lora_dropout"]) == (0.05, 0.0)
    assert not {"sft", "dpo", "extends"} & (set(sft) | set(dpo))
    # What a file extends comes before its own: 32B takes 8B's batches, and a learning rate of its own.
    large = compose(tmp_path, "qwen-32b")
    assert large["sequence_len"] == sft["sequence_len"]
    assert large["learning_rate"] == sft["learning_rate"] / 2


def test_the_hash_ignores_where_and_knows_what(tmp_path: Path) -> None:
    here, there = compose(tmp_path / "a"), compose(tmp_path / "b")
    assert here != there
    assert config_hash(here) == config_hash(there)
    assert config_hash(here | {"learning_rate": 1e-5}) != config_hash(here)
    assert len({config_hash(compose(tmp_path, name, s)) for name in NAMES for s in ("sft", "dpo")}) > 20


def test_nothing_is_evaluated_without_test_rows(tmp_path: Path) -> None:
    config = compose(tmp_path, rows={"train": 5, "test": 0})
    assert "test_datasets" not in config
    assert "eval_strategy" not in config


def test_a_missing_or_broken_config_is_named(tmp_path: Path) -> None:
    def composed(file: str) -> None:
        compose(tmp_path, "nano", "sft", ROWS, file)

    with pytest.raises(TwinError, match=r"no training config 'absent.yaml'.*sizes/nano.yaml"):
        composed("absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(TwinError, match="not YAML"):
        composed(str(broken))
    broken.write_text("- a\n- b\n")
    with pytest.raises(TwinError, match="no mapping"):
        composed(str(broken))
    composed(overlay(tmp_path, num_epochs=1))
