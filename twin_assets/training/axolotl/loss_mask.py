"""Proves on real rows that the loss is on the answer only, and that training and serving prompt alike.

Axolotl's own prompt strategies turn the rows into what they train on; the model's own tokenizer and chat
template render what serving would ask. The two must fit token by token.
"""

from collections.abc import Callable, Iterable
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.training.axolotl.rows import read_rows
from twin_assets.training.configs.job import TrainingJob

ROWS_CHECKED = 50  # a template fails on all rows or on the shape of a few: emoji, code, blank lines
_IGNORED = -100  # the label that torch's cross-entropy leaves out
_SHOWN = 60  # characters of a text shown in a fault


def loss_mask_faults(rows: Iterable[dict[str, Any]], tokenizer: Any, config: dict[str, Any]) -> list[str]:
    """What is wrong with the training text of `rows`, one line a fault; empty when all is well.

    `rows` are of a dataset version: {"messages": [...]}, whose last is the answer or, alone, a document, or for preferences
    {"messages", "chosen", "rejected"}. `config` is the composed Axolotl configuration.
    """
    makers = {"chat_template": _sft_check, "chat_template.default": _dpo_check, "completion": _document_check}
    check = makers.get(config["datasets"][0].get("type"), _texts_check)(tokenizer, config)
    return [f"row {n}: {fault}" for n, row in enumerate(rows) for fault in check(row)]


def check_prompt_format(job: TrainingJob) -> int:
    """How many rows of the job's dataset, evenly spread over it, were looked at.

    Raises TwinError with the first fault, before anything is trained: what a model learnt in another
    format than it is asked in is lost.
    """
    from transformers import AutoTokenizer

    rows = read_rows(job.train_file)
    chosen = rows[:: max(len(rows) // ROWS_CHECKED, 1)][:ROWS_CHECKED]
    tokenizer = AutoTokenizer.from_pretrained(job.parent_path, local_files_only=True)
    if faults := loss_mask_faults(chosen, tokenizer, job.config):
        raise TwinError(
            f"Training and serving would format {len(faults)} of {len(chosen)} rows differently: {faults[0]}.",
            "see docs/training.md, chat templates: fix the template in the model's family file.",
        )
    return len(chosen)


def _sft_check(tokenizer: Any, config: dict[str, Any]) -> Callable[[dict[str, Any]], list[str]]:
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault

    strategy = load(tokenizer, DictDefault(config), dict(config["datasets"][0]))

    def check(row: dict[str, Any]) -> list[str]:
        *turns, answer = row["messages"]
        trained = strategy.tokenize_prompt({"messages": row["messages"]})
        ids, labels = trained["input_ids"], trained["labels"]
        prompt = served_prompt(tokenizer, turns)
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        learnt = [i for i, label in enumerate(labels) if label != _IGNORED]
        text = tokenizer.decode([ids[i] for i in learnt])
        faults = []
        if ids[: len(prompt_ids)] != prompt_ids:
            start = tokenizer.decode(ids[: len(prompt_ids)])
            faults.append(f"serving asks with {prompt[-_SHOWN:]!r}, training begins {start[-_SHOWN:]!r}")
        elif learnt and learnt[0] != len(prompt_ids):
            faults.append(f"the loss begins at token {learnt[0]}, the answer at {len(prompt_ids)}")
        if text != (expected := answer["content"] + tokenizer.eos_token):
            faults.append(f"learnt is {_ends(text)}, not {_ends(expected)}")
        return faults

    return check


def _document_check(tokenizer: Any, config: dict[str, Any]) -> Callable[[dict[str, Any]], list[str]]:
    """Of continued pre-training: the whole text is learnt, in one piece, with its end."""
    from axolotl.prompt_strategies.completion import load
    from axolotl.utils.dict import DictDefault

    strategy = load(tokenizer, DictDefault(config), dict(config["datasets"][0]))

    def check(row: dict[str, Any]) -> list[str]:
        text = row["messages"][-1]["content"]
        pieces = strategy.tokenize_prompt({"text": [text]})["labels"]
        expected = tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]
        if pieces == [expected] or len(expected) > config["sequence_len"]:  # such a text is left out
            return []
        return [f"learnt are {len(pieces)} pieces, not {_ends(text)} and its end"]

    return check


def _dpo_check(tokenizer: Any, config: dict[str, Any]) -> Callable[[dict[str, Any]], list[str]]:
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.utils.dict import DictDefault

    transform, _ = default(DictDefault(config))

    def check(row: dict[str, Any]) -> list[str]:
        trained = transform(row, tokenizer=tokenizer)
        prompt = served_prompt(tokenizer, row["messages"])
        faults = []
        if trained["prompt"] != prompt:
            faults.append(
                f"serving asks with {prompt[-_SHOWN:]!r}, training with {trained['prompt'][-_SHOWN:]!r}"
            )
        for side in ("chosen", "rejected"):
            if trained[side] != (expected := row[side]["content"] + tokenizer.eos_token):
                faults.append(f"{side} is {_ends(trained[side])}, not {_ends(expected)}")
        whole = tokenizer.apply_chat_template([*row["messages"], row["chosen"]], tokenize=False)
        if not whole.startswith(prompt + row["chosen"]["content"]):
            faults.append(f"after the prompt SFT has {whole[len(prompt) :][:_SHOWN]!r}, DPO the answer")
        return faults

    return check


def _texts_check(tokenizer: Any, config: dict[str, Any]) -> Callable[[dict[str, Any]], list[str]]:
    """Of KTO, ORPO and GRPO, whose prompts and ends are those of training/method_rows.py: SFT must have learnt the same."""

    def check(row: dict[str, Any]) -> list[str]:
        prompt = served_prompt(tokenizer, row["messages"])
        faults = []
        for side in ("chosen", "rejected"):
            whole = tokenizer.apply_chat_template([*row["messages"], row[side]], tokenize=False)
            if not whole.startswith(prompt + row[side]["content"] + tokenizer.eos_token):
                faults.append(
                    f"after the prompt SFT has {whole[len(prompt) :][:_SHOWN]!r}, {side} is the answer and its end"
                )
        return faults

    return check


def _ends(text: str) -> str:
    return repr(text) if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]!r} … {text[-_SHOWN:]!r}"
