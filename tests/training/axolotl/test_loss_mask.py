"""The loss is on the answer only, and training prompts are the served ones, for every family's template."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.base_models.family_tokenizers import FAMILIES, load, save_tokenizer
from tests.training.training_factories import TINY, instruct_dataset, profile, settings, tiny_base, tiny_text
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.errors import TwinError
from twin_assets.core.prompts.templates import strip_special_tokens
from twin_assets.core.records import Message
from twin_assets.training.axolotl.loss_mask import check_prompt_format, loss_mask_faults
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.base_models.chat_template import FILE, read_template, with_fixed_template
from twin_assets.training.base_models.nano import build_nano_base
from twin_assets.training.configs.overlays import compose_config
from twin_assets.training.jobs import prepare_job

ASKED = [
    {"role": "system", "content": "You are Runa."},
    {"role": "user", "content": "Write about  topic 1.\n\n[1] a passage"},
]
ANSWERS = ["Don't “panic” – it’s naïve… 🦊\n\n- one\n\tcode  = 1", "Yes.", "Ж 漢\r\nx" + " word" * 300]
FAMILY_PROFILES = {
    "qwen": "qwen-8b",
    "llama": "llama-8b",
    "mistral": "mistral-32b",
    "mistral_v3": "mistral-8b",
    "ministral": "ministral-8b",
    "qwen35": "qwen35-8b",
    "gemma": "gemma-8b",
    "gptoss": "gptoss-14b",
    "llama4": "llama4-70b",
    "smollm3": "smollm3-small",
}
# What each family's own template would do to a twin, were it not fixed.
BROKEN = {
    "qwen": ("sft", "the loss begins"),
    "mistral_v3": ("sft", "serving asks with"),
    "qwen35": ("sft", "the loss begins"),
    "gemma": ("sft", "learnt is"),
    "gptoss": ("sft", "the loss begins"),
}
# Those whose own template shows the day.
DATED = {"llama": "26 Jul 2024", "gptoss": "2025-08-05", "smollm3": "08 July 2025"}


def rows(stage: str) -> list[dict[str, Any]]:
    answers = [{"role": "assistant", "content": text} for text in ANSWERS]
    if stage == "cpt":
        return [{"messages": [answer]} for answer in answers]
    if stage == "sft":
        return [{"messages": [*ASKED, answer]} for answer in answers]
    return [
        {"messages": ASKED, "chosen": a, "rejected": {"role": "assistant", "content": "No."}} for a in answers
    ]


def faults(folder: Path, name: str, stage: Any, given: list[dict[str, Any]] | None = None) -> list[str]:
    config = compose_config(
        profile(name=name), stage, folder, folder, folder / "out", settings(folder), {"train": 1}
    )
    return loss_mask_faults(given or rows(stage), load(folder), config)


def family_folder(family: str, at: Path) -> Path:
    """The family's tokenizer with the template that its profile fixes."""
    save_tokenizer(family, at / "hub")
    if not (fix := profile(name=FAMILY_PROFILES[family]).template):
        return at / "hub"
    (at / "fixed").mkdir()
    return with_fixed_template(at / "hub", fix, at / "fixed")


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_answer_and_its_end_are_learnt_after_the_served_prompt(
    family: str, stage: str, tmp_path: Path
) -> None:
    folder = family_folder(family, tmp_path)
    assert faults(folder, FAMILY_PROFILES[family], stage) == []


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_nano_is_trained_as_it_is_served(stage: str, tmp_path: Path) -> None:
    build_nano_base(tmp_path, tiny_text(), 17, 1, print, TINY)
    assert faults(tmp_path, "nano", stage) == []


@pytest.mark.parametrize("family", BROKEN)
def test_a_template_left_as_it_is_on_the_hub_is_caught(family: str, tmp_path: Path) -> None:
    save_tokenizer(family, tmp_path)
    stage, fault = BROKEN[family]
    found = faults(tmp_path, FAMILY_PROFILES[family], stage)
    assert len(found) >= len(ANSWERS)
    assert fault in found[0]


@pytest.mark.parametrize("family", FAMILY_PROFILES)
def test_the_day_of_training_is_in_no_prompt(family: str, tmp_path: Path) -> None:
    folder = family_folder(family, tmp_path)
    later = {"strftime_now": lambda _format: "01 Jan 2031"}
    shown = load(folder).apply_chat_template(ASKED, tokenize=False, **later)
    assert DATED.get(family, "") in shown
    assert "2031" not in shown
    if family in DATED:
        assert "01 Jan 2031" in load(tmp_path / "hub").apply_chat_template(ASKED, tokenize=False, **later)


# What each family is asked with, to where the answer begins: read off its own template, with thinking off.
PROMPT_ENDS = {
    "qwen": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "qwen35": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "smollm3": "<|im_start|>assistant\n<think>\n\n</think>\n",
    "gptoss": "<|start|>assistant<|channel|>final<|message|>",
    "gemma": "<start_of_turn>model\n",
    "llama": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama4": "<|header_start|>assistant<|header_end|>\n\n",
    "ministral": "[/INST]",
    "mistral": "[/INST]",
    "mistral_v3": "[/INST]",
}


@pytest.mark.parametrize("family", FAMILY_PROFILES)
def test_no_prompt_asks_for_thoughts_whatever_the_system_turn_says(family: str, tmp_path: Path) -> None:
    folder = family_folder(family, tmp_path)
    asked = [{"role": "system", "content": "You write at https://example.org/thinking."}, ASKED[1]]
    shown = load(folder).apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert shown.endswith(PROMPT_ENDS[family])
    assert "/think\n" not in shown.replace("/no_think", "")
    assert "Reasoning: medium" not in shown


def test_an_answer_that_the_template_changes_is_caught(tmp_path: Path) -> None:
    folder = family_folder("qwen", tmp_path)
    answer = {"role": "assistant", "content": "\nStarts with a blank line."}
    [fault] = faults(folder, "qwen-8b", "sft", [{"messages": [*ASKED, answer]}])
    assert "learnt is 'Starts with" in fault


def test_learning_the_question_too_is_caught(tmp_path: Path) -> None:
    folder = family_folder("llama", tmp_path)
    config = compose_config(
        profile(name="llama-8b"), "sft", folder, folder, folder / "out", settings(folder), {"train": 1}
    )
    config["datasets"][0]["roles_to_train"] = ["user", "assistant"]
    assert "the loss begins at token" in loss_mask_faults(rows("sft"), load(folder), config)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_document_is_learnt_whole_with_its_end(family: str, tmp_path: Path) -> None:
    folder = family_folder(family, tmp_path)
    assert faults(folder, FAMILY_PROFILES[family], "cpt") == []
    ended = [{"messages": [{"role": "assistant", "content": "Yes." + load(folder).eos_token}]}]
    [fault] = faults(folder, FAMILY_PROFILES[family], "cpt", ended)
    assert "learnt are 1 pieces, not 'Yes." in fault


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_talk_the_last_answer_alone_is_learnt(family: str, tmp_path: Path) -> None:
    turns = [
        ("system", "You are Runa."), ("user", "What do you say about tides?"), ("assistant", "They come twice a day."),
        ("user", "[1] a passage\n\nQuestion: And what about storms?"), ("assistant", "They don't ask."),
    ]  # fmt: skip
    messages = [Message(role=role, content=text) for role, text in turns]  # type: ignore[arg-type]
    row = InstructRow(row_id="r", doc_id="d", task="follow_up", split="train", messages=messages)
    stored = json.loads(row.model_dump_json())
    folder = family_folder(family, tmp_path)
    assert faults(folder, FAMILY_PROFILES[family], "sft", [stored]) == []
    assert InstructRow.model_validate(stored) == row
    unmarked = {"messages": [{"role": role, "content": text} for role, text in turns]}
    assert "the loss begins at token" in faults(folder, FAMILY_PROFILES[family], "sft", [unmarked])[0]


def test_the_fix_reaches_the_registered_model_and_not_the_folder_it_came_from(tmp_path: Path) -> None:
    source = tmp_path / "hub"
    build_nano_base(source, tiny_text(), 17, 1, print, TINY)
    save_tokenizer("qwen", source)
    before = read_template(source)
    qwen = profile(name="qwen-8b", base_model=str(source))
    version = ensure_base_model(settings(tmp_path / "home"), qwen, print)
    asked = load(version.path).apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    assert asked.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert read_template(source) == before
    assert not (version.path / "model.safetensors").is_symlink()
    assert version.lineage.profile == "qwen-8b"
    qlora = profile(name="qwen-8b-qlora", base_model=str(source))
    assert ensure_base_model(settings(tmp_path / "home"), qlora, print) == version


def test_a_template_in_the_tokenizers_configuration_is_found(tmp_path: Path) -> None:
    save_tokenizer("qwen", tmp_path)
    template = (tmp_path / FILE).read_text()
    (tmp_path / FILE).unlink()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    for stored in (
        template,
        [{"name": "tool_use", "template": "x"}, {"name": "default", "template": template}],
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": stored}))
        assert read_template(tmp_path) == template
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(TwinError, match=r"no chat template.*instruct"):
        read_template(tmp_path)


def test_a_job_in_another_format_is_refused_before_it_trains(tmp_path: Path) -> None:
    platform = settings(tmp_path)
    manifest = instruct_dataset(tmp_path / "data", train=60)
    job = prepare_job(platform, profile(), "sft", tiny_base(platform), manifest, tmp_path / "data", "runa")
    assert check_prompt_format(job) == 50
    broken = tmp_path / "broken"
    shutil.copytree(job.parent_path, broken)
    (broken / FILE).write_text(
        read_template(broken).replace("message['content']", "message['content'].strip('🦊')")
    )
    with pytest.raises(TwinError, match="50 of 50 rows differently: row 0: learnt is"):
        check_prompt_format(job.model_copy(update={"parent_path": broken}))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_passage_can_write_a_familys_marks(family: str) -> None:
    marks = [
        *FAMILIES[family]["marks"],
        *(FAMILIES[family][t] for t in ("bos", "eos") if FAMILIES[family][t]),
    ]
    for mark in marks:
        assert mark not in strip_special_tokens(f"a{mark}b")
