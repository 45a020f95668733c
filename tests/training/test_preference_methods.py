"""KTO, ORPO and GRPO beside DPO: the same pairs, prompted as serving prompts, through Axolotl into the registry."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.core.models.lent import lend_embedder, lend_reference
from tests.evaluation.evaluation_factories import neighbours
from tests.evaluation.evaluation_factories import train as documents
from tests.training.training_factories import (
    TINY,
    preference_dataset,
    profile,
    settings,
    tiny_base,
    tiny_text,
    train,
    with_thumbs,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.card import render_card
from twin_assets.core.models.registry import ModelVersion
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.evaluation.reward import RewardTexts
from twin_assets.settings import Settings
from twin_assets.training.axolotl.loss_mask import loss_mask_faults
from twin_assets.training.axolotl.rows import check_rows, read_rows
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.nano import build_nano_base
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.configs.overlays import compose_overlays
from twin_assets.training.fit.workers import share_batch
from twin_assets.training.jobs import finish_job, prepare_job, read_history
from twin_assets.training.method_rows import FOLDER, method_rows, reward_rows, rows_given, write_method_rows
from twin_assets.training.rebuild import _reward

# A reward of texts that nothing here measures.
REWARD = '{"prose": {}, "others": {}, "reference_model": "none", "embedder": "none"}'
FOX = "The quick brown fox jumps over the lazy dog. "
THUMBED = 3  # single thumbs in each dataset, which KTO alone learns from


def job_in(
    home: Path,
    method: str,
    reward: str = REWARD,
    base: ModelVersion | None = None,
    rows: int = 9,
    **overrides: Any,
) -> TrainingJob:
    platform = settings(home, wandb_mode="disabled", preference_method=method)
    manifest = with_thumbs(home / "pairs", preference_dataset(home / "pairs", rows), THUMBED)
    given = reward if method == "grpo" else None
    return prepare_job(
        platform, profile(), method, base or tiny_base(platform), manifest, home / "pairs", "runa", overrides,
        reward=given,
    )  # fmt: skip


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


@pytest.mark.e2e
def test_grpo_learns_from_a_reward_whose_terms_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real instruments, in the training process. So small a model half knows one sentence, which is the author's here: its short texts have
    no voice, and differ in how much of that they copy."""
    monkeypatch.setenv("TWIN_HOME", str(tmp_path))
    lend_embedder(tmp_path)
    lend_reference(tmp_path)
    texts = RewardTexts(
        prose={d.doc_id: d.voice_text for d in documents()[-5:]} | {"fox": FOX * 2}, others=neighbours(),
        reference_model=Settings().reference_model, embedder="offline-minilm",
    )  # fmt: skip
    short = compose_overlays(profile(), "grpo")["trl"] | {"max_completion_length": 32}
    build_nano_base(tmp_path / "fox", tiny_text(), 17, 170, print, TINY)
    fox = ensure_base_model(settings(tmp_path), profile(base_model=str(tmp_path / "fox")), print)
    job = job_in(tmp_path, "grpo", texts.model_dump_json(), fox, rows=2, trl=short)
    status, output = train(job)
    assert status == 0, output
    history = read_history(job)
    assert len(history) == 2, "a prompt a step"
    for term in ("reward", "reward_voice", "reward_copied", "reward_unreadable"):
        assert all(getattr(point, term) is not None for point in history), term
    assert all(point.reward_unsupported is None for point in history), "no prompt has passages"
    assert len({point.reward_copied for point in history}) > 1
    assert any(point.grad_norm for point in history), "something was learnt"
    model = finish_job(settings(tmp_path), job)
    assert model.tag.startswith("twin-runa-grpo:")
    assert model.lineage.reward == text_hash(texts.model_dump_json())
    assert (model.metrics["rows_trained"], model.metrics["rows_dropped"]) == (2, 0)
    assert {"reward", "reward_voice", "reward_unreadable"} <= set(model.metrics)
    assert "Shao" in render_card(model)
    assert f"| reward | {model.lineage.reward} |" in render_card(model)
    assert model.about.rewarded_by == sorted(neighbours()), "none of them ever judges it"


def test_grpo_is_asked_as_serving_asks_and_by_nothing_but_voice(tmp_path: Path) -> None:
    job = job_in(tmp_path, "grpo")
    notes = "Notes from your own writing:\n[1] It was late.\n[2] It rained.\n\nWrite about topic 1."
    rows = read_rows(job.dataset_dir / "train.jsonl")
    rows[0]["messages"][-1]["content"] = notes
    kinds = ["voice", "refusal", "grounding", "voice", "voice", *["refusal"] * 4]
    rows = [row | {"kind": kind} for row, kind in zip(rows, kinds, strict=True)]
    made = reward_rows(rows, job)
    assert [row["prompt"] for row in made] == [rows[n]["messages"] for n in (0, 3, 4)]
    assert [row["passages"] for row in made] == [["[1] It was late.", "[2] It rained."], [], []]
    two = job.config["trl"] | {"generation_batch_size": 8, "num_generations": 4}
    filled = reward_rows(rows, job.model_copy(update={"config": job.config | {"trl": two}}))
    assert filled == [*made, made[0]], "the trainer leaves out a step that is not full"
    with pytest.raises(TwinError, match="no row of kind voice"):
        reward_rows(rows[1:3], job)
    assert "test_datasets" not in job.config


def test_another_reward_is_another_model_and_only_the_one_of_the_lineage_trains(tmp_path: Path) -> None:
    job = job_in(tmp_path, "grpo")
    other = job_in(tmp_path, "grpo", REWARD.replace('"others": {}', '"others": {"brandur": ["A text."]}'))
    assert job.lineage.tag != other.lineage.tag
    assert (job.about.rewarded_by, other.about.rewarded_by) == ([], ["brandur"])
    assert "reward" not in job_in(tmp_path, "dpo").lineage.model_dump(exclude_none=True)
    write_method_rows(job, read_rows)
    job.reward_file.write_text(other.reward_file.read_text())
    with pytest.raises(TwinError, match="is not what this training is rewarded by"):
        write_method_rows(job, read_rows)
    assert _reward(settings(tmp_path), job.lineage) == other.reward_file.read_text(), (
        "a rebuild finds it there"
    )
    job.reward_file.unlink()
    with pytest.raises(TwinError, match=r"What rewarded twin-runa-grpo:.* is not in"):
        _reward(settings(tmp_path), job.lineage)
    with pytest.raises(TwinError, match="grpo was prepared without a reward"):
        job_in(tmp_path, "grpo", "")


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
