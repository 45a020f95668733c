"""KTO and ORPO beside DPO: the same pairs, prompted as serving prompts, through Axolotl into the registry."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.training.training_factories import (
    preference_dataset,
    profile,
    settings,
    tiny_base,
    train,
    with_thumbs,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.card import render_card
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.training.axolotl.loss_mask import loss_mask_faults
from twin_assets.training.axolotl.rows import check_rows, read_rows
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.fit.workers import share_batch
from twin_assets.training.jobs import finish_job, prepare_job, read_history
from twin_assets.training.method_rows import FOLDER, method_rows, rows_given, write_method_rows

THUMBED = 3  # single thumbs in each dataset, which KTO alone learns from


def job_in(home: Path, method: str) -> TrainingJob:
    platform = settings(home, wandb_mode="disabled", preference_method=method)
    manifest = with_thumbs(home / "pairs", preference_dataset(home / "pairs", 9), THUMBED)
    return prepare_job(platform, profile(), method, tiny_base(platform), manifest, home / "pairs", "runa")


@pytest.mark.e2e
@pytest.mark.parametrize(("method", "judged"), [("kto", "reward_margin"), ("orpo", "reward_accuracy")])
def test_each_method_trains_every_pair_and_lands_in_the_registry(
    method: str, judged: str, tmp_path: Path
) -> None:
    job = job_in(tmp_path, method)
    status, output = train(job)
    assert status == 0, output
    assert not (job.folder / FOLDER).exists(), "the texts are where the dataset is"
    assert all(point.loss is None or point.loss > 0 for point in read_history(job))
    model = finish_job(settings(tmp_path), job)
    assert model.tag.startswith(f"twin-runa-{method}:")
    assert (model.metrics["rows_trained"], model.metrics["rows_dropped"]) == (9, 0)
    assert model.metrics["prompt_rows_checked"] == 9
    assert {"train_loss", "eval_loss", judged} <= set(model.metrics)
    assert {"kto": "Ethayarajh", "orpo": "Hong"}[method] in render_card(model)


def test_the_texts_are_what_serving_asks_with_and_sft_ends_with(tmp_path: Path) -> None:
    job = job_in(tmp_path, "kto")
    tokenizer = AutoTokenizer.from_pretrained(job.parent_path)
    pairs = read_rows(job.dataset_dir / "train.jsonl")
    assert loss_mask_faults(pairs, tokenizer, job.config) == []
    written = write_method_rows(job, read_rows)
    [dataset], [held_out] = written["datasets"], written["test_datasets"]
    assert dataset["path"] != held_out["path"]
    rows = read_rows(Path(dataset["path"]))
    thumbs = read_rows(job.dataset_dir / "thumbs.jsonl")
    assert len(rows) == rows_given(job) == 2 * 9 + THUMBED
    assert sum(row["label"] for row in rows) == 9 + 2
    assert len(read_rows(Path(held_out["path"]))) == 2 * 2, "no thumb is tested on"
    assert [row["label"] for row in rows] != sorted((row["label"] for row in rows), reverse=True), (
        "they are mixed"
    )
    expected = {
        (
            served_prompt(tokenizer, pair["messages"]),
            pair[side]["content"] + tokenizer.eos_token,
            side == "chosen",
        )
        for pair in pairs
        for side in ("chosen", "rejected")
    }
    single = {
        (served_prompt(tokenizer, thumb["messages"]), thumb["completion"]["content"] + tokenizer.eos_token, thumb["label"])
        for thumb in thumbs
    }  # fmt: skip
    assert {(row["prompt"], row["completion"], row["label"]) for row in rows} == expected | single
    odds = method_rows("orpo", pairs, tokenizer, seed=1)
    assert [set(row) for row in odds] == [{"prompt", "chosen", "rejected"}] * 9
    assert {(row["prompt"], row["chosen"]) for row in odds} == {(p, c) for p, c, liked in expected if liked}
    assert write_method_rows(job.model_copy(update={"stage": "dpo"}), read_rows) == {}


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_no_other_method_reads_a_single_thumb(method: str, tmp_path: Path) -> None:
    job = job_in(tmp_path, method)
    (job.dataset_dir / "thumbs.jsonl").write_text("no row at all")
    assert set(check_rows(job, print)) == {"train", "test"}
    asked = job.config | write_method_rows(job, read_rows)
    assert "thumbs" not in str([dataset["path"] for dataset in asked["datasets"]])
    assert rows_given(job) == len(read_rows(Path(asked["datasets"][0]["path"]))) == 9
    with pytest.raises(ValueError, match="Expecting value"):
        check_rows(job.model_copy(update={"stage": "kto"}), print)


def test_a_file_of_thumbs_that_is_not_its_manifests_stops_kto(tmp_path: Path) -> None:
    job = job_in(tmp_path, "kto")
    assert set(check_rows(job, print)) == {"train", "test", "thumbs"}
    (job.dataset_dir / "thumbs.jsonl").write_text("")
    with pytest.raises(TwinError, match=r"thumbs.jsonl has 0 rows where its manifest says 3"):
        check_rows(job, print)


def test_a_template_that_ends_an_answer_otherwise_is_found(tmp_path: Path) -> None:
    job = job_in(tmp_path, "orpo")
    tokenizer = AutoTokenizer.from_pretrained(job.parent_path)
    template = tokenizer.chat_template
    assert isinstance(template, str)
    tokenizer.chat_template = template.replace("message.content", "message.content | upper").replace(
        "message['content']", "message['content'] | upper"
    )
    assert tokenizer.chat_template != template
    faults = loss_mask_faults(read_rows(job.dataset_dir / "train.jsonl"), tokenizer, job.config)
    assert len(faults) == 18
    assert "chosen is the answer and its end" in faults[0]


def test_kto_never_takes_one_row_at_a_time() -> None:
    config = {"rl": "kto", "micro_batch_size": 1, "gradient_accumulation_steps": 16}
    assert share_batch(config, 1) == {"micro_batch_size": 2, "gradient_accumulation_steps": 8}
    assert share_batch(config, 2, lambda rows: False) == {
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 4,
    }
    with pytest.raises(TwinError, match="KTO compares"):
        share_batch(config, 16)


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = preference_dataset(tmp_path / "pairs", 2)
    with pytest.raises(TwinError, match=r"no training stage 'ppo'.*kto, orpo"):
        prepare_job(platform, profile(), "ppo", tiny_base(platform), manifest, tmp_path / "pairs", "runa")
