"""Jobs are refused before they start when their data can't be learnt whole."""

import json
from pathlib import Path

import pytest

from tests.training.training_factories import (
    instruct_dataset,
    preference_dataset,
    profile,
    settings,
    tiny_base,
    train,
)
from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings
from twin_assets.training.axolotl.failures import read_error
from twin_assets.training.axolotl.rows import check_rows, read_rows
from twin_assets.training.jobs import done, prepare_job
from twin_assets.training.method_rows import write_method_rows


def test_a_dataset_without_training_rows_is_refused(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = instruct_dataset(tmp_path / "data", train=0)
    with pytest.raises(TwinError, match="no training rows"):
        prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, tmp_path / "data", "runa")
    with pytest.raises(TwinError, match=r"no documents to read before SFT.*CONTINUED_PRETRAINING_TOKENS"):
        prepare_job(platform, profile(), "cpt", tiny_base(platform), manifest, tmp_path / "data", "runa")


def test_a_dataset_emptied_after_its_manifest_stops_the_run_with_its_name(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = instruct_dataset(tmp_path / "data", train=3)
    job = prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, tmp_path / "data", "runa")
    (tmp_path / "data" / "train.jsonl").write_text("")
    status, output = train(job)
    assert status == 1
    assert "train.jsonl has 0 rows where its manifest says 3" in output
    assert read_error(job) is not None
    assert done(platform, job) is None


def test_rows_too_long_for_the_model_are_counted_before_training(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    data = tmp_path / "data"
    manifest = instruct_dataset(data, train=3)
    rows = (data / "train.jsonl").read_text().splitlines()
    long = json.loads(rows[1])
    long["messages"][-1]["content"] = "word " * 2000
    (data / "train.jsonl").write_text("\n".join([rows[0], json.dumps(long), rows[2]]) + "\n")
    job = prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, data, "runa")
    with pytest.raises(TwinError, match=r"1 of 3 rows in train.jsonl are longer than sequence_len 1024"):
        check_rows(job, print)


def test_a_document_too_long_for_the_model_is_left_out_not_cut(tmp_path: Path) -> None:
    platform, data = settings(tmp_path), tmp_path / "data"
    manifest = instruct_dataset(data, train=3, documents=120)
    rows = (data / "documents.jsonl").read_text().splitlines(keepends=True)
    long = json.loads(rows[1])
    long["messages"][-1]["content"] = "word " * 2000
    (data / "documents.jsonl").write_text("".join([rows[0], json.dumps(long) + "\n", *rows[2:]]))
    job = prepare_job(platform, profile(), "cpt", tiny_base(platform), manifest, data, "runa")
    told: list[str] = []
    assert set(check_rows(job, told.append)) == {"train"}
    assert "1 of 120 rows in documents.jsonl are left out" in told[0]
    [given] = write_method_rows(job, read_rows)["datasets"]
    texts = [row["text"] for row in read_rows(Path(given["path"]))]
    assert len(texts) == 119
    assert long["messages"][-1]["content"] not in texts


def test_a_job_is_named_by_its_inputs(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    base = tiny_base(platform)
    manifest = instruct_dataset(tmp_path / "data", train=3)

    def folder(version: str, seed: int) -> Path:
        other = platform.model_copy(update={"seed": seed})
        changed = manifest.model_copy(update={"version": version})
        return prepare_job(other, profile(), "sft", base, changed, tmp_path / "data", "runa").folder

    assert folder("v1", 17) == folder("v1", 17)
    assert len({folder("v1", 17), folder("v2", 17), folder("v1", 18)}) == 3
    assert folder("v1", 17).is_relative_to(platform.cache_dir / "training" / "runa")


def test_the_wrong_kind_of_dataset_is_refused(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = preference_dataset(tmp_path / "data", train=3)
    with pytest.raises(TwinError, match="needs a dataset of kind instruct"):
        prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, tmp_path / "data", "runa")


def test_a_wandb_key_is_used_unless_the_mode_is_set(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).wandb_mode == "offline"
    assert Settings(home=tmp_path, wandb_api_key="k").wandb_mode == "online"
    assert Settings(home=tmp_path, wandb_api_key="k", wandb_mode="offline").wandb_mode == "offline"


def test_no_secret_is_written_with_a_job(tmp_path: Path) -> None:
    platform = settings(tmp_path, wandb_api_key="very-secret")
    manifest = instruct_dataset(tmp_path / "data", train=3)
    job = prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, tmp_path / "data", "runa")
    assert not [p for p in job.folder.rglob("*") if p.is_file() and "very-secret" in p.read_text()]
