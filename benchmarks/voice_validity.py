"""Can the voice metric tell two real authors apart on documents it has not seen? One table of AUCs.

Run: `python benchmarks/voice_validity.py`, with TWIN_CORPORA naming the folder that holds the two corpora
(default ../shared/corpora). "known": the other author's other documents are among the impostors, as in
practice. "stranger": only the demo's neighbours are, so that the other author is unlike anything shown.
"""

import os
import random
import sys
import time
from pathlib import Path

import numpy as np

from twin_assets.inference.impostors import read_impostors
from twin_assets.inference.stylometry import windows
from twin_assets.inference.voice import VoiceMeter
from twin_assets.settings import ROOT

AUTHOR, OTHER = "jessfraz-blog", "simonw-til"
SIZES = (100, 250, 500)
SEEDS = (0, 1, 2)
MOST_WINDOWS = 200


def main() -> None:
    """Print the table: mean AUC over three random document splits, and mean margins of both sides."""
    folder = Path(os.environ.get("TWIN_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not (folder / AUTHOR).is_dir():
        sys.exit(f"There is no {AUTHOR} in {folder}. Fix: set TWIN_CORPORA to the folder of the two corpora.")
    corpora = read_impostors([folder / AUTHOR, folder / OTHER])
    neighbours = read_impostors(sorted(p for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir()))
    print(
        "| other author | words | windows | AUC margin | AUC verifier | AUC both | margin self | margin other |"
    )
    print("|---|---|---|---|---|---|---|---|")
    start = time.monotonic()
    for kind in ("known", "stranger"):
        rows = [measure(corpora[AUTHOR], corpora[OTHER], neighbours, kind == "known", s) for s in SEEDS]
        for n, size in enumerate(SIZES):
            figures = np.mean([row[n] for row in rows], axis=0)
            shown = (
                " | ".join(f"{f:.3f}" for f in figures[1:4])
                + " | "
                + " | ".join(f"{f:+.3f}" for f in figures[4:])
            )
            print(f"| {kind} | {size} | {figures[0]:.0f} | {shown} |")
    print(f"\n{len(SEEDS)} splits, {time.monotonic() - start:.0f} s")


def measure(
    author: list[str], other: list[str], neighbours: dict[str, list[str]], known: bool, seed: int
) -> list[list[float]]:
    """For each size: windows, AUC of margin, verifier and both, mean margins of author and other."""
    from sklearn.metrics import roc_auc_score

    (own, own_unseen), (theirs, theirs_unseen) = _halves(author, seed), _halves(other, seed)
    meter = VoiceMeter.fit(own, {**neighbours, "other": theirs} if known else neighbours)
    found = []
    for size in SIZES:
        # The verifier and Delta see windows of the same words, none from a document of the fit.
        ours, others = (windows(t, size)[:MOST_WINDOWS] for t in (own_unseen, theirs_unseen))
        truth = [1] * len(ours) + [0] * len(others)
        margins = meter.margins(ours + others)
        verified = _logit(meter.verify(ours + others))
        both = margins / margins.std() + verified / verified.std()
        found.append([
            float(len(truth)), *(float(roc_auc_score(truth, v)) for v in (margins, verified, both)),
            float(margins[: len(ours)].mean()), float(margins[len(ours) :].mean()),
        ])  # fmt: skip
    return found


def _halves(texts: list[str], seed: int) -> tuple[list[str], list[str]]:
    shuffled = random.Random(seed).sample(texts, len(texts))
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(np.clip(p, 1e-9, 1 - 1e-9) / np.clip(1 - p, 1e-9, 1))


if __name__ == "__main__":
    main()
