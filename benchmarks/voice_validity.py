"""Can the voice metric tell an author from another author, and from a language model? AUCs with intervals.

Run: `python benchmarks/voice_validity.py`, with TWIN_CORPORA naming the folder that holds the two corpora
(default ../shared/corpora). Documents are halved at random: one half fits the meter, windows of the other are told
apart. The rows say what they are held against, and whether the meter was shown other documents of it:

- known: other documents of the same origin are among the impostors, as a persona's YAML would name them;
- stranger: only the demo's neighbours are, so that the meter has seen nothing like it.

The model is SmolLM2-135M-Instruct: benchmarks/model_text/bare.md are articles that it wrote from a title; "imitating"
are those it wrote after samples of the author (`benchmarks/model_text.py --imitate`), if TWIN_IMITATED names the file;
for these, known means that the meter was shown the others.

AUC both is of margin and verifier together. Intervals are bootstrapped over the windows of all
splits, each split standardised; the last table says from how many words on a goal is reached.
"""

import os
import random
import re
import sys
import time
from pathlib import Path

import numpy as np

from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import windows
from twin_assets.settings import ROOT

AUTHORS = ("jessfraz-blog", "simonw-til")
SIZES = (50, 100, 150, 250, 500, 1000)
SEEDS = (0, 1, 2)
MOST_WINDOWS = 200
DRAWS = 500
GOALS = {"other author, known": 0.97, "model, known": 0.99}
KINDS = (
    "other author, known", "model, known", "imitating model, known",
    "other author, stranger", "model, stranger", "imitating model, stranger",
)  # fmt: skip

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    """Print the table for each author against everything else."""
    folder = Path(os.environ.get("TWIN_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not (folder / AUTHORS[0]).is_dir():
        sys.exit(
            f"There is no {AUTHORS[0]} in {folder}. Fix: set TWIN_CORPORA to the folder of the two corpora."
        )
    corpora = read_impostors([folder / name for name in AUTHORS])
    neighbours = read_impostors(sorted(p for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir()))
    print("| author | held against | words | windows | AUC margin | AUC verifier | AUC both (95% interval) |")
    print("|---|---|---|---|---|---|---|")
    start, enough = time.monotonic(), []
    for author, other in (AUTHORS, AUTHORS[::-1]):
        for kind in KINDS:
            sides = [_sides(kind, corpora[other], author, seed) for seed in SEEDS]
            if not all(unseen for _, unseen in sides):
                continue
            by_size = table(corpora[author], sides, neighbours)
            for size, (truth, margins, verified) in by_size.items():
                both = together(margins, verified)
                low, high = interval(truth, both)
                print(
                    f"| {author} | {kind} | {size} | {len(truth)} | {auc(truth, margins):.3f} | "
                    f"{auc(truth, verified):.3f} | {auc(truth, both):.3f} ({low:.3f} to {high:.3f}) |",
                    flush=True,
                )
            if kind in GOALS:
                enough.append((author, kind, GOALS[kind], words_needed(by_size, GOALS[kind])))
    print("\n| author | held against | goal | words needed |\n|---|---|---|---|")
    for author, kind, goal, words in enough:
        print(f"| {author} | {kind} | {goal} | {words or f'more than {SIZES[-1]}'} |")
    print(f"\n{len(SEEDS)} splits, {time.monotonic() - start:.0f} s")


def table(
    author: list[str], sides: list[tuple[list[str], list[str]]], neighbours: dict[str, list[str]]
) -> dict[int, Scored]:
    """By size of window: truth, margins and verifier logits of the windows of all splits. `sides` has what the meter
    is shown of the others, and what it must tell from the author, for each split."""
    parts: dict[int, list[Scored]] = {size: [] for size in SIZES}
    for seed, (shown, unseen) in zip(SEEDS, sides, strict=True):
        own, own_unseen = _halves(author, seed)
        meter = VoiceMeter.fit(own, {**neighbours, "other": shown} if shown else neighbours)
        for size in SIZES:
            ours, others = (_some(windows(t, size), seed) for t in (own_unseen, unseen))
            if len(ours) > 1 and len(others) > 1:
                cut = ours + others
                truth = np.array([1] * len(ours) + [0] * len(others))
                parts[size].append(
                    (truth, _standard(meter.margins(cut)), _standard(_logit(meter.verify(cut))))
                )
    return {
        size: tuple(np.concatenate(column) for column in zip(*some, strict=True))  # type: ignore[misc]
        for size, some in parts.items()
        if some
    }


def words_needed(by_size: dict[int, Scored], goal: float) -> int | None:
    """The least size from which on every larger one reaches the goal."""
    reached = None
    for size in sorted(by_size, reverse=True):
        truth, margins, verified = by_size[size]
        if auc(truth, together(margins, verified)) < goal:
            break
        reached = size
    return reached


def together(margins: np.ndarray, verified: np.ndarray) -> np.ndarray:
    return margins + verified


def auc(truth: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, values))


def interval(truth: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """95% interval of the AUC, windows of both sides drawn anew."""
    draw = np.random.default_rng(0)
    ours, others = values[truth == 1], values[truth == 0]
    marks = np.array([1] * len(ours) + [0] * len(others))
    found = [
        auc(marks, np.concatenate([draw.choice(ours, len(ours)), draw.choice(others, len(others))]))
        for _ in range(DRAWS)
    ]
    return float(np.percentile(found, 2.5)), float(np.percentile(found, 97.5))


def _sides(kind: str, other: list[str], author: str, seed: int) -> tuple[list[str], list[str]]:
    """What the meter is shown and what it must tell from the author."""
    bare, named = _articles(ROOT / "benchmarks" / "model_text" / "bare.md"), os.environ.get("TWIN_IMITATED")
    if kind.startswith("imitating"):
        unseen = _articles(Path(named)) if named and author == AUTHORS[0] else []
        shown = bare
    else:
        shown, unseen = _halves(other if kind.startswith("other") else bare, seed)
    return (shown if kind.endswith("known") else [], unseen)


def _articles(file: Path) -> list[str]:
    return [part for part in re.split(r"^# .+$", file.read_text(), flags=re.MULTILINE) if part.strip()]


def _halves(texts: list[str], seed: int) -> tuple[list[str], list[str]]:
    shuffled = random.Random(seed).sample(texts, len(texts))
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


def _some(cut: list[str], seed: int) -> list[str]:
    return random.Random(seed).sample(cut, min(len(cut), MOST_WINDOWS))


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(np.clip(p, 1e-9, 1 - 1e-9) / np.clip(1 - p, 1e-9, 1))


if __name__ == "__main__":
    main()
