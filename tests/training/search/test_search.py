"""A search tries real trainings, ends bad ones early, goes on after a pause, and changes nothing by itself."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.training.training_factories import settings, tiny_base
from twin_assets.core.datasets.rows import Manifest
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.storage.experiments import ExperimentRow
from twin_assets.core.storage.lake import LocalLake, open_lake
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.training.search_job import search_hyperparameters
from twin_assets.settings import Settings
from twin_assets.training.configs.overlays import compose_config
from twin_assets.training.configs.tuned import tuned_values
from twin_assets.training.search.data import tuning_dataset
from twin_assets.training.search.plots import study_plots
from twin_assets.training.search.space import Dimension, load_space, read_sweep, shipped_values
from twin_assets.training.search.study import search
from twin_assets.training.search.trials import evaluation_plan


def dataset(lake: LocalLake, rows: int) -> Manifest:
    made = [row(n, "answer") for n in range(rows)] + [row(999, "answer", "heldout")]
    return write_dataset(lake, "runa", "instruct", made, **FACTS)


@pytest.mark.e2e
def test_trials_are_pruned_resumed_recorded_and_proposed(tmp_path: Path) -> None:
    platform = settings(tmp_path).model_copy(
        update={"tuned_dir": tmp_path / "tuned", "wandb_mode": "disabled"}
    )
    lake, base = LocalLake(tmp_path / "lake"), tiny_base(platform)
    manifest = dataset(lake, 600)  # enough steps after the first evaluation for the watcher to end a run
    profile = load_profile("smoke")
    said: list[str] = []

    def go_on(trials: int, low: float, high: float):  # type: ignore[no-untyped-def]
        space = {"learning_rate": Dimension(low=low, high=high, log=True)}
        return search(
            platform, lake, profile, base, manifest, trials, 60, said.append, space, startup_trials=1
        )

    first = go_on(2, 1e-9, 1e-8)  # learns nothing, so it falls behind the shipped 0.001
    assert [(t.state, t.shipped) for t in first.trials] == [("complete", True), ("pruned", False)]
    assert first.proposal is None
    optuna.load_study(
        study_name=first.study, storage=f"sqlite:///{tmp_path}/search/studies.db"
    ).ask()  # then died
    second = go_on(3, 4e-3, 5e-3)
    assert second.study == first.study
    assert second.trials[:2] == first.trials
    assert [t.state for t in second.trials[2:]] == ["complete"]
    assert "behind the median" in said[1]
    assert second.gain > 0.01
    pictures = study_plots(platform, second)
    assert list(pictures) == ["history", "courses", "slices", "importance"]
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())

    rows = [ExperimentRow.model_validate_json(lake.read(key)) for key in lake.keys("experiments/runa")]
    assert sorted(r.status for r in rows) == ["finished", "finished", "pruned"]
    assert {r.study for r in rows} == {first.study}
    [pruned] = [r for r in rows if r.status == "pruned"]
    assert pruned.metrics["eval_loss"] > min(r.metrics["eval_loss"] for r in rows)
    # It was ended well before its end, and its processes with it.
    assert pruned.metrics["steps"] < max(r.metrics["steps"] for r in rows)
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _text(p)]

    def composed() -> float:
        made = compose_config(profile, "sft", base.path, tmp_path, tmp_path / "m", platform, {"train": 1})
        return float(made["learning_rate"])

    assert second.proposal is not None
    assert "shipped_eval_loss" in second.proposal.read_text()
    assert composed() == 0.001
    (tmp_path / "tuned").mkdir()
    second.proposal.rename(tmp_path / "tuned" / "smoke.yaml")  # what a reviewer does
    assert composed() == second.best.values["learning_rate"]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.e2e
def test_a_person_launches_a_search_in_dagster(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text("learning_rate: [0.0004, 0.002]")

    def launch(**changes: Any) -> Any:
        overrides = {"home": str(tmp_path), "profile": "smoke", "wandb_mode": "disabled"} | changes
        config = {"persona": "runa", "trials": 1, "minutes": 10, "sweep": str(sweep)}
        return search_hyperparameters.execute_in_process(
            resources={"platform": build_resources(overrides)["platform"]},
            run_config={"ops": {"search_values": {"config": config}}},
        )

    with pytest.raises(TwinError, match="runs them where this job runs"):
        launch(training_runner="kubernetes")
    with pytest.raises(TwinError, match="runa has no instruct dataset"):
        launch()
    dataset(open_lake(Settings(home=tmp_path)), 72)
    [done] = [e for e in launch().all_events if e.is_successful_output]
    said = {name: value.value for name, value in done.step_output_data.metadata.items()}
    assert "| 0 (shipped) | complete | learning_rate 0.001" in said["trials"]
    assert (said["pruned"], said["gain"], said["proposal"]) == (0, 0.0, "none")
    assert "data:image/png" in said["history"]
    assert "importance" not in said, "one trial tells nothing of it"
    sweep.write_text("lora_r: [8, 64]")
    with pytest.raises(
        TwinError, match=r"The profile smoke sets no number for lora_r\..*such as learning_rate"
    ):
        launch()


def test_a_sweep_of_axolotls_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("learning_rate: [0.0003, 0.001]\nnum_epochs: [2, 3]\n")
    space = read_sweep(file)
    assert {name: one.choices for name, one in space.items()} == {
        "learning_rate": [0.0003, 0.001],
        "num_epochs": [2, 3],
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = {space["num_epochs"].suggest(study.ask(), "num_epochs", 4) for _ in range(40)}
    assert drawn == {2, 3, 4}, "the shipped value is among them, since the first trial has it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate: [0.1", "can't be read"),
        ("[]", "lists nothing"),
        ("_: [{load_in_8bit: true, adapter: lora}]", "varies values together"),
        ("optimizer: [lion, adamw]", "no list of numbers for optimizer"),
        ("learning_rate: 0.1", "no list of numbers for learning_rate"),
        ("sample_packing: [true, false]", "no list of numbers for sample_packing"),
    ],
)
def test_a_sweep_that_can_not_be_searched_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(TwinError, match=said):
        read_sweep(file)
    with pytest.raises(TwinError, match="can't be read"):
        read_sweep(tmp_path / "none.yaml")


def test_the_search_never_sees_the_held_out_side_and_splits_by_document(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    tuning = tuning_dataset(lake, dataset(lake, 72), tmp_path / "data")
    sides = {
        side: [json.loads(line) for line in (tmp_path / "data" / f"{side}.jsonl").read_text().splitlines()]
        for side in ("train", "test")
    }
    assert tuning.counts == {side: len(rows) for side, rows in sides.items()}
    assert tuning.counts["train"] + tuning.counts["test"] == 72
    documents = [{r["doc_id"] for r in rows} for rows in sides.values()]
    assert not documents[0] & documents[1]
    assert all(r["split"] == "train" for rows in sides.values() for r in rows)
    with pytest.raises(TwinError, match="too few to search on"):
        tuning_dataset(lake, dataset(lake, 1), tmp_path / "one")


def test_the_shipped_space_fits_every_profile(tmp_path: Path) -> None:
    space = load_space("sft")
    for name, expected in (("nano", set()), ("small", {"lora_r", "lora_dropout"})):
        config = compose_config(
            load_profile(name),
            "sft",
            tmp_path,
            tmp_path,
            tmp_path / "m",
            settings(tmp_path),
            {"train": 9, "test": 1},
        )
        shipped = shipped_values(space, config)
        assert set(shipped) == {"learning_rate", "num_epochs", "weight_decay"} | expected
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        for _ in range(20):
            trial = study.ask()
            values = {n: space[n].suggest(trial, n, value) for n, value in shipped.items()}
            assert shipped["learning_rate"] / 5 <= values["learning_rate"] <= shipped["learning_rate"] * 5
            assert isinstance(values["num_epochs"], int)
        plan = evaluation_plan(100, config)
        assert plan["eval_strategy"] == "steps"
        assert isinstance(plan["eval_steps"], int)
    with pytest.raises(ValueError, match="give low and high, or times, or choices"):
        Dimension(low=1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sft: {base_model: elsewhere}", "sets base_model, which is no number"),
        ("sft: [1]", "no mapping of values for sft"),
        ("a: [1", "not YAML"),
    ],
)
def test_a_tuned_file_holds_numbers_only(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "nano.yaml").write_text(text)
    with pytest.raises(TwinError, match=said):
        tuned_values(Settings(tuned_dir=tmp_path), "nano", "sft")
    assert tuned_values(Settings(tuned_dir=tmp_path), "small", "sft") == {}
