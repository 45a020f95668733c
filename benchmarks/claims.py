"""Does the measure of support tell supported sentences from others? AUC by kind of error, on benchmarks/claims.yaml.

Run: `python benchmarks/claims.py`. The 120 sentences were written by hand, half of the passages (even places) before
the measure was chosen and its threshold set, the other half only looked at.
"""

from typing import Any

import numpy as np
import yaml

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.evaluation.grounding.claims import claim_support
from twin_assets.settings import ROOT

ERRORS = ("number", "name", "invented", "negated", "elsewhere")


def main() -> None:
    """Print the table."""
    items: list[dict[str, Any]] = yaml.safe_load((ROOT / "benchmarks" / "claims.yaml").read_text())
    print("| passages | all | " + " | ".join(ERRORS) + " | supported found | others let through |")
    print("|---" * (len(ERRORS) + 4) + "|")
    for name, some in (("chosen on", items[::2]), ("looked at only", items[1::2]), ("all", items)):
        scores = measure(some)
        aucs = [auc(scores, ERRORS), *(auc(scores, (error,)) for error in ERRORS)]
        others = np.concatenate([scores[e] for e in ERRORS])
        rates = [float((s >= OFFLINE_MINILM.supported).mean()) for s in (scores["supported"], others)]
        print(f"| {name} | {' | '.join(f'{a:.3f}' for a in aucs)} | {rates[0]:.0%} | {rates[1]:.0%} |")


def measure(items: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Support of every sentence, by kind."""
    embed = load_embedder("offline-minilm").embed
    return {
        kind: np.concatenate([claim_support(item[kind], [item["passage"]], embed) for item in items])
        for kind in ("supported", *ERRORS)
    }


def auc(scores: dict[str, np.ndarray], errors: tuple[str, ...]) -> float:
    """Chance that a supported sentence scores above one with such an error."""
    from sklearn.metrics import roc_auc_score

    good, bad = scores["supported"], np.concatenate([scores[e] for e in errors])
    return float(roc_auc_score([1] * len(good) + [0] * len(bad), np.concatenate([good, bad])))


if __name__ == "__main__":
    main()
