"""Rows in the form that KTO, ORPO, GRPO and continued pre-training read: plain texts, of preferences prompted as serving prompts and
ended as SFT ends them, and of GRPO, which writes its own texts, the conversations alone.

Axolotl's own strategies for these methods know fixed templates or single turns only. DPO's knows the tokenizer's template, and
reads the dataset itself.
"""

import json
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twin_assets.core.datasets.rows import THUMBS
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.prompts.templates import passages_in, served_prompt
from twin_assets.core.records import Message
from twin_assets.training.configs.job import TrainingJob

FOLDER = "rows"
_SIDES = {"datasets": "train.jsonl", "test_datasets": "test.jsonl"}


def write_method_rows(job: TrainingJob, read: Callable[[Path], list[dict[str, Any]]]) -> dict[str, Any]:
    """Axolotl's values that name the job's rows in its method's form, written beside the job; none for SFT and DPO.

    `read` gives the rows of a dataset's file.
    """
    if job.stage not in ("cpt", "kto", "orpo", "grpo"):
        return {}
    if job.stage == "grpo":
        check_reward(job)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.parent_path, local_files_only=True)
    folder = job.folder / FOLDER
    folder.mkdir(exist_ok=True)
    changed: dict[str, Any] = {}
    for name, file in _SIDES.items():
        if name not in job.config:
            continue
        given = read(job.train_file if name == "datasets" else job.dataset_dir / file)
        if job.stage == "cpt":  # Axolotl would cut what is longer into pieces
            limit = job.config["sequence_len"]
            texts = (row["messages"][-1]["content"] for row in given)
            fits = [len(tokenizer(text, verbose=False).input_ids) < limit for text in texts]  # with its end
            given = [row for row, fit in zip(given, fits, strict=True) if fit]
        if job.stage == "kto" and name == "datasets" and job.rows.get(THUMBS):
            given += read(job.dataset_dir / f"{THUMBS}.jsonl")
        rows = (
            reward_rows(given, job)
            if job.stage == "grpo"
            else method_rows(job.stage, given, tokenizer, job.lineage.seed)
        )
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        changed[name] = [dataset | {"path": str(folder / file)} for dataset in job.config[name]]
    return changed


def rows_given(job: TrainingJob) -> int:
    """How many rows the trainer is given of the job's dataset: KTO reads a pair as two, and single thumbs; GRPO those that are written."""
    if job.stage == "grpo":
        return len((job.folder / FOLDER / _SIDES["datasets"]).read_text().splitlines())
    return job.rows["train"] * 2 + job.rows.get(THUMBS, 0) if job.stage == "kto" else job.rows["train"]


def method_rows(
    method: str, rows: Iterable[dict[str, Any]], tokenizer: Any, seed: int
) -> list[dict[str, Any]]:
    """Of each document for continued pre-training {"text"}, whose end Axolotl adds; of each pair {"messages", "chosen", "rejected"}: for ORPO {"prompt", "chosen", "rejected"}, for KTO two of
    {"prompt", "completion", "label"}, with one of each thumb {"messages", "completion", "label"}, all of them mixed by `seed`, since
    KTO holds a text against its neighbours' prompts."""
    made: list[dict[str, Any]] = []
    for row in rows:
        if method == "cpt":
            made.append({"text": row["messages"][-1]["content"]})
            continue
        prompt = served_prompt(tokenizer, row["messages"])
        if "label" in row:
            text = row["completion"]["content"] + tokenizer.eos_token
            made.append({"prompt": prompt, "completion": text, "label": row["label"]})
            continue
        texts = {side: row[side]["content"] + tokenizer.eos_token for side in ("chosen", "rejected")}
        if method == "orpo":
            made.append({"prompt": prompt} | texts)
        else:
            made += [
                {"prompt": prompt, "completion": texts[side], "label": side == "chosen"} for side in texts
            ]
    if method == "kto":
        random.Random(seed).shuffle(made)
    return made


def reward_rows(rows: Iterable[dict[str, Any]], job: TrainingJob) -> list[dict[str, Any]]:
    """{"prompt": messages, "passages": those that stand in them, "reward_file"} of each row that asks for a text of the author's: a question is
    answered in too few words to have a voice, and a refusal has none.

    Some stand twice where they would else not fill the last step, which the trainer leaves out. Raises TwinError with none.
    """
    prompts = [
        {
            "prompt": row["messages"],
            "passages": passages_in(Message.model_validate(row["messages"][-1])).splitlines(),
            "reward_file": str(job.reward_file),
        }
        for row in rows
        if row.get("kind", "voice") == "voice"
    ]
    if not prompts:
        raise TwinError(
            "The preference dataset has no row of kind voice, which GRPO is asked with.",
            "collect more of the persona's writing, or set TWIN_PREFERENCE_METHOD=dpo.",
        )
    sizes = job.config["trl"]
    at_once = max(sizes["generation_batch_size"] // sizes["num_generations"], 1)
    return [prompts[n % len(prompts)] for n in range(math.ceil(len(prompts) / at_once) * at_once)]


def check_reward(job: TrainingJob) -> None:
    """Raises TwinError where the job's reward is gone, or another than its lineage says."""
    made_of = job.reward_file.read_text(encoding="utf-8") if job.reward_file.is_file() else ""
    if text_hash(made_of) != job.lineage.reward:
        raise TwinError(
            f"{job.reward_file} is not what this training is rewarded by.",
            "materialise dpo_model again: it is made of the persona's corpus.",
        )
