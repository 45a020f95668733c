"""Is general ability kept? Easy multiple-choice questions, run by lm-evaluation-harness (Gao et al. 2024).

The answers are scored by their log-likelihood after the question, divided by their length in bytes, as the harness's
`acc_norm` does. The 40 items of ability.yaml are few and easy: they show damage, and are no benchmark.
"""

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twin_assets.core.records import Record
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.inference.generation.local import LocalGenerator

ITEMS = Path(__file__).with_name("ability.yaml")
TASK, BATCH = "kept_ability", 16


class Ability(Record):
    """Shares of right answers in [0, 1] of the candidate and of its base model, and their difference with the 95%
    interval of a paired bootstrap over the items."""

    items: int
    candidate: float
    base: float
    difference: float
    low: float
    high: float
    chance: float
    by_subject: dict[str, tuple[float, float]] = {}

    @property
    def at_chance(self) -> bool:
        """Whether the base model itself is too near to guessing for its loss to be seen."""
        error = (self.chance * (1 - self.chance) / self.items) ** 0.5
        return self.base < self.chance + 1.96 * error


@lru_cache
def ability_items() -> tuple[dict[str, Any], ...]:
    """The questions; the first answer is right."""
    return tuple(yaml.safe_load(ITEMS.read_text()))


def right_answers(generator: LocalGenerator) -> np.ndarray:
    """For each item 1.0 where the model finds the right answer most likely, else 0.0."""
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    rows = [{"question": i["question"], "answers": i["answers"]} for i in ability_items()]
    config = {
        "task": TASK, "output_type": "multiple_choice", "test_split": "test", "num_fewshot": 0,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "doc_to_text": "{{question}}", "doc_to_choice": "{{answers}}", "doc_to_target": 0,
        "metric_list": [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    with generator.scoring() as (tokenizer, model):
        language_model = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH)
        found = evaluate(language_model, {TASK: ConfigurableTask(config=config)}, bootstrap_iters=0)
    samples = sorted(found["samples"][TASK], key=lambda s: s["doc_id"])
    return np.array([s["acc_norm"] for s in samples], dtype=float)


def compare_ability(candidate: np.ndarray, base: np.ndarray, seed: int) -> Ability:
    """Both models on the same items, shape (items,)."""
    items = ability_items()
    difference = candidate - base
    low, high = bootstrap(difference, seed)
    subjects = np.array([i["subject"] for i in items])
    return Ability(
        items=len(items),
        candidate=float(candidate.mean()),
        base=float(base.mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        chance=float(np.mean([1 / len(i["answers"]) for i in items])),
        by_subject={
            s: (float(candidate[subjects == s].mean()), float(base[subjects == s].mean()))
            for s in dict.fromkeys(subjects.tolist())
        },
    )
