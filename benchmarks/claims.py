"""Does the measure of support tell supported claims from others? On public rows, and on sentences of our own.

Run: `python benchmarks/claims.py`, with TWIN_ATTRIBUTION naming a folder with AttributionBench's JSON lines (Li et al.
2024, OSU-NLP-Group/AttributionBench on GitHub, its `data`), and TWIN_FAITHBENCH one with FaithBench's batches (Bao et al.
2025, vectara/FaithBench, its `data_for_release`); without them those rows are left out. `--fit` prints the weights that
the development rows give.

Peers are the share of a claim's fact words in its references, and its cosine with their nearest sentence. Rates are at
the threshold. Intervals are 95%, questions (passages) drawn anew. A second table says what share is supported of the test
rows that the measure thinks alike of.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from twin_assets.core.embedding.embedder import load_embedder, remembering
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.text.content_words import k_precision
from twin_assets.core.text.words import sentences
from twin_assets.evaluation.grounding.entailment import open_measure
from twin_assets.inference.grounding.claims import (
    EVIDENCE,
    by_mix,
    claim_support,
    claims_of,
    evidence,
    fact_words,
    missing_number,
)
from twin_assets.settings import ROOT, load_settings

DEVELOPMENT = "dev_all_subset_balanced.jsonl"
TEST = "test_all_subset_balanced_sampled500.jsonl"
PUBLIC = {
    DEVELOPMENT: "AttributionBench, development rows (fitted on)",
    TEST: "AttributionBench, 500 test rows",
    "test_ood_all_subset_balanced.jsonl": "AttributionBench, test rows of other sources",
}
ERRORS = ("number", "name", "invented", "negated", "elsewhere")
DRAWS = 500
BINS = 5


class Row(NamedTuple):
    """A claim with its passages, whether they support it, and what it was drawn with."""

    claim: str
    passages: list[str]
    supported: bool
    group: str


def main() -> None:
    """Print the tables."""
    folder, faith = os.environ.get("TWIN_ATTRIBUTION"), os.environ.get("TWIN_FAITHBENCH")
    if "--fit" in sys.argv:
        if not folder:
            sys.exit(
                "--fit needs the development rows. Fix: set TWIN_ATTRIBUTION to AttributionBench's data folder."
            )
        fit(attribution_rows(Path(folder) / DEVELOPMENT))
        return
    print(f"Threshold {OFFLINE_MINILM.supported}\n")
    print("| claims | labelled by | count | AUC (95% interval) | words alone | cosine alone | supported found | "
          "others let through | macro-F1 |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    scores = {}
    if folder:
        for file, name in PUBLIC.items():
            rows = attribution_rows(Path(folder) / file)
            scores[file] = line(name, "its authors and annotators", rows)
    if faith:
        line("FaithBench, sentences of summaries", "its annotators", faithbench_rows(Path(faith)))
    items: list[dict[str, Any]] = yaml.safe_load((ROOT / "benchmarks" / "claims.yaml").read_text())
    line("benchmarks/claims.yaml", "us, who wrote them too", own_rows(items, ERRORS))
    for error in ERRORS:
        line(f"benchmarks/claims.yaml, {error}", "us, who wrote them too", own_rows(items, (error,)))
    if TEST in scores:
        reliability(*scores[TEST])


def line(name: str, labelled_by: str, rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Print one row of the table; whether each claim is supported, and its support, both shape (rows,)."""
    from sklearn.metrics import f1_score

    embed = remembering(load_embedder("offline-minilm").embed)
    entailed, supported = open_measure(load_settings(), OFFLINE_MINILM.supported)
    measure = entailed or by_mix(embed)
    truth = np.array([row.supported for row in rows])
    ours = np.array([claim_support([row.claim], row.passages, measure)[0] for row in rows])
    peers = np.array([evidence([row.claim], ["\n".join(row.passages)], embed)[0, 0] for row in rows])
    groups = np.unique([row.group for row in rows], return_inverse=True)[1]
    low, high = interval(truth, ours, groups)
    passed = ours >= supported
    macro = float(f1_score(truth, passed, average="macro"))
    print(f"| {name} | {labelled_by} | {len(rows)} | {auc(truth, ours):.3f} ({low:.3f} to {high:.3f}) | "
          f"{auc(truth, words_alone(rows)):.3f} | {auc(truth, peers[:, EVIDENCE.index('cosine')]):.3f} | "
          f"{passed[truth].mean():.0%} | {passed[~truth].mean():.0%} | {macro:.3f} |", flush=True)  # fmt: skip
    return truth, ours


def reliability(truth: np.ndarray, support: np.ndarray) -> None:
    """Print what share is supported of the claims of like support."""
    print("\n| support | claims | mean support | supported |\n|---|---|---|---|")
    place = np.minimum((support * BINS).astype(int), BINS - 1)
    for n in np.unique(place):
        these = place == n
        print(f"| {n / BINS:.1f} to {(n + 1) / BINS:.1f} | {these.sum()} | {support[these].mean():.2f} | "
              f"{truth[these].mean():.2f} |")  # fmt: skip


def words_alone(rows: list[Row]) -> np.ndarray:
    """Share of a claim's fact words that stand in its passages, wherever."""
    return np.array([k_precision(fact_words(r.claim), set(fact_words("\n".join(r.passages)))) for r in rows])


def fit(rows: list[Row]) -> None:
    """Print weights and bias of the logistic mix; rows with a missing number are not of it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    embed = remembering(load_embedder("offline-minilm").embed)
    rows = [row for row in rows if not missing_number([row.claim], row.passages)[0]]
    table = np.array([evidence([row.claim], ["\n".join(row.passages)], embed)[0, 0] for row in rows])
    scale = StandardScaler().fit(table)
    model = LogisticRegression().fit(scale.transform(table), [row.supported for row in rows])
    weights = model.coef_[0] / scale.scale_
    bias = float(model.intercept_[0] - weights @ scale.mean_)
    print(dict(zip(EVIDENCE, weights.round(2).tolist(), strict=True)), round(bias, 2))


def attribution_rows(file: Path) -> list[Row]:
    """Rows of AttributionBench that have a reference."""
    found = []
    for text in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        if passages := [p for p in row["references"] if p.strip()]:
            found.append(
                Row(row["claim"], passages, row["attribution_label"] == "attributable", row["question"])
            )
    return found


def faithbench_rows(folder: Path) -> list[Row]:
    """Sentences of summaries: those in which an annotator marked something as unwanted, and those of which no
    annotator marked anything. Those marked as questionable or benign only are left out."""
    found = []
    for file in sorted(folder.glob("batch_*.json")):
        for sample in json.loads(file.read_text(encoding="utf-8"))["samples"]:
            summary, source = sample["summary"], sample["source"]
            for start, end in sentences(summary):
                marks = [
                    label
                    for a in sample["annotations"]
                    if a["summary_start"] < end and a["summary_end"] > start
                    for label in a["label"]
                ]
                unwanted = any(label.startswith("Unwanted") for label in marks)
                if claims_of(summary[start:end]) and (unwanted or not marks):
                    found.append(Row(" ".join(summary[start:end].split()), [source], not unwanted, source))
    return found


def own_rows(items: list[dict[str, Any]], errors: tuple[str, ...]) -> list[Row]:
    """The supported sentences of claims.yaml, and those with such errors."""
    return [
        Row(claim, [item["passage"]], kind == "supported", item["passage"])
        for item in items
        for kind in ("supported", *errors)
        for claim in item[kind]
    ]


def auc(truth: np.ndarray, values: np.ndarray) -> float:
    """Chance that a supported claim scores above another."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, values))


def interval(truth: np.ndarray, values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95% interval of the AUC, groups drawn anew."""
    draw = np.random.default_rng(0)
    members = [np.flatnonzero(groups == g) for g in range(groups.max() + 1)]
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([members[g] for g in draw.integers(len(members), size=len(members))])
        if 0 < truth[drawn].sum() < len(drawn):
            found.append(auc(truth[drawn], values[drawn]))
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


if __name__ == "__main__":
    main()
