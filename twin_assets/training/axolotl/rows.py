"""Looks at every row before any training: rows that could not be learnt whole stop the run here.

Lengths are those of the parent's own tokenizer and chat template, as Axolotl counts them. Datasets are
built by an estimate of them, so a stray row (a long hash, an address) may be left out, and is counted.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twin_assets.core.datasets.rows import DOCUMENTS, THUMBS
from twin_assets.core.errors import TwinError
from twin_assets.training.configs.job import TrainingJob

MOST_LEFT_OUT = 0.01
_TOKENS_FILE = "tokens.json"


def check_rows(job: TrainingJob, tell: Callable[[str], None]) -> dict[str, int]:
    """The number of tokens of the longest row of each side.

    Raises TwinError when a file is missing, has other rows than its manifest says, has no training
    rows, or has more than a few rows that are longer than sequence_len.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.parent_path, local_files_only=True)
    limit = int(job.config["sequence_len"])
    longest: dict[str, int] = {}
    tokens: dict[str, int] = {}
    sides = {"train": job.train_file.name}
    if job.stage != "cpt":
        sides["test"] = "test.jsonl"
    if job.stage == "kto" and THUMBS in job.rows:
        sides[THUMBS] = f"{THUMBS}.jsonl"
    for side, name in sides.items():
        rows = read_rows(job.dataset_dir / name, required=side == "train")
        if len(rows) != job.rows.get(side, 0):
            raise TwinError(
                f"{name} has {len(rows)} rows where its manifest says {job.rows.get(side, 0)}.",
                "build the dataset again: a version never changes.",
            )
        if side == "train" and not rows:
            raise TwinError(f"The dataset in {job.dataset_dir} has no training rows.", "build it again.")
        lengths = [_tokens(tokenizer, row) for row in rows]
        too_long = [n for n in lengths if n > limit]
        if len(too_long) > MOST_LEFT_OUT * len(rows):
            raise TwinError(
                f"{len(too_long)} of {len(rows)} rows in {name} are longer than sequence_len {limit} "
                f"(the longest has {max(too_long)} tokens); they would be lost.",
                "raise sequence_len in the training config, or make the dataset's rows shorter.",
            )
        if too_long:
            tell(f"{len(too_long)} of {len(rows)} rows in {name} are left out: longer than {limit} tokens")
        longest[side] = max(lengths, default=0)
        tokens[side] = sum(n for n in lengths if n <= limit)
    (job.folder / _TOKENS_FILE).write_text(json.dumps(tokens))
    return longest


def read_tokens(job: TrainingJob) -> int | None:
    """Tokens of the rows that are trained on, prompts included; None before the job's first run."""
    path = job.folder / _TOKENS_FILE
    return int(json.loads(path.read_text())["train"]) if path.is_file() else None


def read_bytes(row: dict[str, Any]) -> int:
    """Bytes of the text that a model reads of a row: a pair's prompt is read with either answer."""
    return sum(len(m["content"].encode()) for messages in _conversations(row) for m in messages)


def _conversations(row: dict[str, Any]) -> list[list[dict[str, str]]]:
    """The one of an instruct row or a thumb's, or the two of a preference row."""
    ends = [[row[name]] for name in ("chosen", "rejected", "completion") if name in row] or [[]]
    return [row["messages"] + end for end in ends]


def _tokens(tokenizer: Any, row: dict[str, Any]) -> int:
    """Tokens of a document or a conversation; of a preference row, of the longer of its two."""
    if row.get("task") == DOCUMENTS:
        return len(tokenizer(row["messages"][0]["content"], verbose=False).input_ids) + 1  # and its end
    texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in _conversations(row)]
    return max(len(tokenizer(t, add_special_tokens=False, verbose=False).input_ids) for t in texts)


def read_rows(path: Path, required: bool = True) -> list[dict[str, Any]]:
    """The rows of a dataset file; none of a missing file that isn't required, else TwinError."""
    if not path.is_file():
        if required:
            raise TwinError(f"The dataset file {path} is missing.", "build the dataset again.")
        return []
    return [json.loads(line) for line in path.read_text().split("\n") if line]
