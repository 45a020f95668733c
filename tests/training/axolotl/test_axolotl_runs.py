"""Real Axolotl runs on a tiny model, through the process that Dagster starts."""

import json
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.machine import PATIENCE, until
from tests.training.axolotl.silent_proxy import SilentProxy
from tests.training.axolotl.wandb_file import read_records
from tests.training.training_factories import (
    instruct_dataset,
    overlay,
    preference_dataset,
    processes_of,
    profile,
    settings,
    start,
    tiny_base,
    train,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import ModelVersion, Registry
from twin_assets.core.models.whole import merge, whole_folder
from twin_assets.training.axolotl.failures import read_error
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.jobs import done, finish_job, prepare_job, read_history, read_result

pytestmark = pytest.mark.e2e


def sft_job(home: Path, *overlays: str, rows: int = 20) -> TrainingJob:
    manifest = instruct_dataset(home / "instruct", rows)
    platform = settings(home)
    return prepare_job(
        platform, profile(*overlays), "sft", tiny_base(platform), manifest, home / "instruct", "runa"
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def lengthen_a_row(train_file: Path) -> None:
    rows = [json.loads(line) for line in train_file.read_text().splitlines()]
    rows[7]["messages"][-1]["content"] = "word " * 2000
    train_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def assert_wandb_knows(version: ModelVersion) -> None:
    """The offline run holds the metrics, the dataset it read, and the model it made."""
    records = read_records(Path(str(version.run_link)))
    logged = {"".join(item.nested_key) or item.key for r in records for item in r.history.item}
    assert {"train/loss", "eval/loss", "train/learning_rate", "train/grad_norm"} <= logged
    artifacts = {r.artifact.type: r.artifact for r in records}
    kind = "instruct" if version.lineage.stage == "sft" else "preference"
    assert json.loads(artifacts["dataset"].metadata)["version"] == version.lineage.datasets[kind]
    assert [entry.path for entry in artifacts["dataset"].manifest.contents] == ["manifest.json"]
    assert json.loads(artifacts["model"].metadata)["registry_tag"] == version.tag


def test_sft_then_dpo_train_every_row_that_fits_and_land_in_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENTOML_DO_NOT_TRACK", raising=False)
    with SilentProxy() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        train_sft_and_dpo(tmp_path, monkeypatch)
        assert proxy.asked == [], "something reported home"


def train_sft_and_dpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = settings(tmp_path)
    job = sft_job(tmp_path, overlay(tmp_path, num_epochs=1), rows=100)
    lengthen_a_row(job.dataset_dir / "train.jsonl")
    assert done(platform, job) is None
    with tempfile.TemporaryDirectory() as temporary:  # not below tmp_path: a socket's path must be short
        monkeypatch.setenv("TMPDIR", temporary)
        status, output = train(job)
        assert status == 0, output
        assert list(Path(temporary).iterdir()) == [], "Axolotl and W&B leave temporary files of their own"
        monkeypatch.delenv("TMPDIR")
    # A finished run that was never registered is registered without training.
    sft = done(platform, job)
    assert sft is not None
    assert sft.metrics["rows_trained"] == 99
    assert sft.metrics["rows_dropped"] == 1
    assert sft.metrics["prompt_rows_checked"] == 50
    assert "1 of 100 rows in train.jsonl are left out" in output
    assert sft.metrics["eval_loss"] > 0
    assert "step" in output
    assert sft.lineage.datasets == {"instruct": "instruct-v1"}
    assert sft.lineage.parent == tiny_base(platform).tag
    assert_wandb_knows(sft)
    assert sft.metrics["tokens_per_second"] > 0
    assert sft.metrics["peak_memory_gb"] > 0
    assert len(read_history(job)) > 3
    tokenizer = AutoTokenizer.from_pretrained(sft.path)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(job.parent_path).chat_template
    assert not (sft.path / "training_args.bin").exists()
    before = weights(tiny_base(platform).path)
    assert any(not torch.equal(before[name], tensor) for name, tensor in weights(sft.path).items())

    manifest = preference_dataset(tmp_path / "preference", 20)
    dpo_job = prepare_job(platform, profile(), "dpo", sft, manifest, tmp_path / "preference", "runa")
    status, output = train(dpo_job)
    assert status == 0, output
    dpo = finish_job(platform, dpo_job)
    assert dpo.metrics["rows_trained"] == 20
    assert dpo.metrics["prompt_rows_checked"] == 20
    assert {"reward_margin", "eval_loss", "tokens_per_second"} <= set(dpo.metrics)
    assert_wandb_knows(dpo)
    assert dpo.lineage.datasets == {"preference": "preference-v1", "instruct": "instruct-v1"}

    # The same inputs: nothing to train, and nothing new in the registry.
    again = prepare_job(platform, profile(), "dpo", sft, manifest, tmp_path / "preference", "runa")
    assert done(platform, again) == dpo
    assert {v.lineage.stage for v in Registry(platform).list()} == {"base", "sft", "dpo"}


def test_adapters_of_all_stages_stand_on_the_one_base(tmp_path: Path) -> None:
    platform, base = settings(tmp_path), tiny_base(settings(tmp_path))
    config = overlay(tmp_path, sequence_len=512, num_epochs=1, learning_rate=0.01)
    lora = profile("methods/lora.yaml", config)
    manifest = instruct_dataset(tmp_path / "instruct", 8, documents=6)
    given = (manifest, tmp_path / "instruct", "runa")
    read_job = prepare_job(platform, lora, "cpt", base, *given)
    status, output = train(read_job)
    assert status == 0, output
    read = finish_job(platform, read_job)
    assert (read.metrics["rows_trained"], read.metrics["rows_dropped"]) == (6, 0)
    assert read.metrics["prompt_rows_checked"] == 6
    assert "eval_loss" not in read.metrics, "the held-out rows are SFT's"
    assert (read.base, read.lineage.stage) == (base.as_base, "cpt")
    assert "Continued pre-training" in (read.path / "README.md").read_text()

    job = prepare_job(platform, lora, "sft", read, *given)
    status, output = train(job)
    assert status == 0, output
    sft = finish_job(platform, job)
    assert sft.lineage.parent == read.tag
    assert sft.metrics["rows_trained"] == 8
    assert sft.base == base.as_base
    assert not (sft.path / "config.json").exists()
    assert AutoTokenizer.from_pretrained(sft.path).chat_template
    config_of_sft = json.loads((sft.path / "adapter_config.json").read_text())
    assert (config_of_sft["base_model_name_or_path"], config_of_sft["r"]) == (base.tag, 64)

    manifest = preference_dataset(tmp_path / "preference", 8)
    dpo_job = prepare_job(platform, lora, "dpo", sft, manifest, tmp_path / "preference", "runa")
    assert dpo_job.parent_path == whole_folder(platform, sft)
    before, trained_on = weights(base.path), weights(dpo_job.parent_path)
    assert any(not torch.equal(before[name], tensor) for name, tensor in trained_on.items())
    status, output = train(dpo_job)
    assert status == 0, output
    merge(dpo_job.parent_path, dpo_job.model_dir, tmp_path / "as before")
    dpo = finish_job(platform, dpo_job)
    assert dpo.base == base.as_base
    assert json.loads((dpo.path / "adapter_config.json").read_text())["r"] == 96
    together, one_by_one = weights(whole_folder(platform, dpo)), weights(tmp_path / "as before")
    for name, tensor in together.items():
        assert torch.allclose(tensor, one_by_one[name], atol=1e-5), name
    # Nothing to train: the parent isn't merged for it.
    shutil.rmtree(dpo_job.parent_path)
    again = prepare_job(platform, lora, "dpo", sft, manifest, tmp_path / "preference", "runa")
    assert done(platform, again) == dpo
    assert not dpo_job.parent_path.exists()


def test_pocket_learns_the_same_from_logits_of_the_answers_alone(tmp_path: Path) -> None:
    losses = []
    for name, plugins in (
        ("answers", {}),
        ("all", {"plugins": ["twin_assets.training.reporter.ReporterPlugin"]}),
    ):
        home = tmp_path / name
        home.mkdir()
        platform, manifest = settings(home), instruct_dataset(home / "instruct", 20)
        pocket = profile(overlay(home, **plugins), name="pocket")
        job = prepare_job(platform, pocket, "sft", tiny_base(platform), manifest, home / "instruct", "runa")
        assert ("answer_loss" in str(job.config["plugins"])) == (name == "answers")
        train(job)
        losses.append([loss for p in read_history(job) for loss in (p.loss, p.eval_loss) if loss is not None])
    answers, every = losses
    assert len(answers) == len(every) > 3
    assert answers == pytest.approx(every, rel=2e-3)  # but for the rounding of bfloat16, where the CPU has it


def test_an_adapter_that_can_not_be_kept_apart_is_merged_and_says_why(tmp_path: Path) -> None:
    config = overlay(tmp_path, sequence_len=512, num_epochs=1, learning_rate=0.01, peft_use_dora=True)
    job = sft_job(tmp_path, "methods/lora.yaml", config, rows=8)
    status, output = train(job)
    assert status == 0, output
    version = finish_job(settings(tmp_path), job)
    assert version.base is None
    assert "DoRA" in version.about.merged_because
    assert "DoRA" in (version.path / "README.md").read_text()
    assert not (version.path / "adapter_config.json").exists()
    kept = json.loads((version.path / "adapter" / "adapter_config.json").read_text())
    assert kept["base_model_name_or_path"] == version.lineage.parent
    before, after = weights(tiny_base(settings(tmp_path)).path), weights(version.path)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], tensor) for name, tensor in after.items())


def test_a_setting_that_axolotl_refuses_is_named(tmp_path: Path) -> None:
    job = sft_job(tmp_path, overlay(tmp_path, micro_batch_size="many"))
    status, _output = train(job)
    assert status == 1
    error = read_error(job)
    assert error is not None
    assert "refuses the training config" in error.problem
    assert "micro_batch_size" in error.problem
    with pytest.raises(TwinError, match="not finished"):
        finish_job(settings(tmp_path), job)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    config = overlay(tmp_path, learning_rate=1e30, warmup_ratio=0, max_grad_norm=1e30)
    job = sft_job(tmp_path, config)
    status, output = train(job)
    assert status == 1, output
    assert "no number any more" in output
    assert read_result(job) is None


def test_ending_the_run_ends_every_process_of_it(tmp_path: Path) -> None:
    job = sft_job(tmp_path, overlay(tmp_path, num_epochs=3000))
    process = start(job)
    assert process.stdout is not None
    for line in process.stdout:
        if "sft: step" in line:
            break
    assert processes_of(job)
    process.send_signal(signal.SIGTERM)
    process.stdout.read()
    assert process.wait(timeout=PATIENCE) == 143
    # W&B's system monitor has a session of its own, and looks every second whether its parent lives.
    until(lambda: not processes_of(job), "the end of every process")
    assert done(settings(tmp_path), job) is None


def test_a_training_that_takes_too_long_is_ended_and_named(tmp_path: Path) -> None:
    job = sft_job(tmp_path, overlay(tmp_path, num_epochs=100_000)).model_copy(update={"hours": 15 / 3600})
    job.file.write_text(job.model_dump_json())
    status, output = train(job)
    assert status == 1, output
    assert "The training took longer than 15 seconds and was ended" in str(read_error(job))
    assert "TWIN_TRAINING_HOURS" in str(read_error(job))
    until(lambda: not processes_of(job), "the end of every process")
