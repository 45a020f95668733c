"""Rows in the form that KTO, ORPO and continued pre-training read: plain texts, of preferences prompted as serving prompts and
ended as SFT ends them.

Axolotl's own strategies for these methods know fixed templates or single turns only. DPO's knows the tokenizer's template, and
reads the dataset itself.
"""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twin_assets.core.datasets.rows import THUMBS
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.training.configs.job import TrainingJob

FOLDER = "rows"
_SIDES = {"datasets": "train.jsonl", "test_datasets": "test.jsonl"}


def write_method_rows(job: TrainingJob, read: Callable[[Path], list[dict[str, Any]]]) -> dict[str, Any]:
    """Axolotl's values that name the job's rows in its method's form, written beside the job; none for SFT and DPO.

    `read` gives the rows of a dataset's file.
    """
    if job.stage not in ("cpt", "kto", "orpo"):
        return {}
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
        rows = method_rows(job.stage, given, tokenizer, job.lineage.seed)
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        changed[name] = [dataset | {"path": str(folder / file)} for dataset in job.config[name]]
    return changed


def rows_given(job: TrainingJob) -> int:
    """How many rows the trainer is given of the job's dataset: KTO reads a pair as two, and single thumbs."""
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
