"""Does the voice figure tell an author from strangers, does nonsense beat it, and do its limits hold? Tables in Markdown.

Run: `python benchmarks/voice_validity.py [neighbours] [packages] [people] [people+packages] [controls]`; without words, all.
TWIN_AUTHORS names the folders, divided by `:`, that hold a folder of texts (.md or .txt) for each author. The default is
../shared/reality/authors and ../shared/corpora: seven English authors and a Japanese one, and two more English ones.

An author's documents are halved at random: one half fits, windows of the other are told from windows of strangers. These
are the other authors of the language, a quarter of them at a time, and never in the background that fits:

- neighbours: the demo's neighbours alone, four invented people and an assistant's prose;
- packages: the long descriptions of the installed packages alone;
- people: the authors that are neither the author nor the strangers of this quarter;
- people+packages: both, the packages' writers not calibrated on.

AUCs are means over authors, the worst author beside them, of windows of one size. "strangers pass" and "author passes" are
shares of windows above the limit that 5% of strangers' windows are promised to pass; figures are means of 24 windows.
Controls are nonsense made from the author's held-out texts, scored as a candidate's would be, and a small model's articles.
"""

import os
import random
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from twin_assets.evaluation.voice.background import gather
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.package_prose import package_prose
from twin_assets.evaluation.voice.stylometry import windows
from twin_assets.settings import ROOT

SHARED = ROOT.parents[1] / "shared" if (ROOT.parents[1] / "shared").is_dir() else ROOT.parent / "shared"
SIZES = (250, 100)
# Strangers are left out a quarter of them at a time.
PARTS = 4
MOST_WINDOWS, CANDIDATE_WINDOWS = 60, 24
SETS = ("neighbours", "packages", "people", "people+packages")
Texts = dict[str, list[str]]
# Both sizes are told by one fit.
METERS: dict[tuple[str, str], VoiceMeter] = {}


def main() -> None:
    """Print the tables that the command line asks for."""
    asked = sys.argv[1:] or [*SETS, "controls"]
    if unknown := set(asked) - {*SETS, "controls"}:
        sys.exit(f"{', '.join(sorted(unknown))} is none of {', '.join([*SETS, 'controls'])}.")
    start, authors = time.monotonic(), read_authors()
    groups = by_language(authors)
    print(f"Data: {', '.join(f'{name} ({len(texts)} texts)' for name, texts in authors.items())}")
    for group in groups:
        if len(group) == 1:
            print(f"\n{group[0]}: nobody else writes in this language, so that nothing can be told.")
            continue
        chosen = {name: authors[name] for name in group}
        print(f"\n{len(group)} authors of one language\n")
        print(
            "| background | words | AUC margin | AUC verifier | AUC mix | worst author | strangers pass | author passes "
            "| figure of author | figure of strangers |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        for kind in (kind for kind in SETS if kind in asked):
            for size in SIZES:
                print(row(kind, size, chosen), flush=True)
        if "controls" in asked:
            print(
                "\n| text | figure | above the author's range | AUC of the author's held-out text over it |\n|---|---|---|---|"
            )
            print(controls(chosen), flush=True)
    print(f"\n{time.monotonic() - start:.0f} s")


def read_authors() -> Texts:
    """All authors of the named folders, texts in a random order, the same each time."""
    named = os.environ.get("TWIN_AUTHORS")
    folders = (
        [Path(part) for part in named.split(":")] if named else [SHARED / "reality" / "authors", SHARED / "corpora"]
    )  # fmt: skip
    found: Texts = {}
    for folder in folders:
        if not folder.is_dir():
            sys.exit(
                f"There is no folder {folder}. Fix: set TWIN_AUTHORS to folders that hold one for each author."
            )
        for author in sorted(path for path in folder.iterdir() if path.is_dir()):
            texts = [path.read_text(encoding="utf-8") for path in sorted(author.rglob("*.txt"))]
            texts = texts or read_impostors([author])[author.name]
            found[author.name] = random.Random(0).sample(texts, len(texts))
    return found


def by_language(authors: Texts) -> list[list[str]]:
    """Names of authors who can be told from each other."""
    groups: list[list[str]] = []
    for name, texts in authors.items():
        for group in groups:
            if gather([], authors[group[0]], {name: texts}, packages=False).people:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def backgrounds(kind: str, author: str, authors: Texts) -> list[tuple[list[str], Texts, Texts | None]]:
    """Strangers, the writers that fit, and more of them that are not calibrated on."""
    others = sorted(name for name in authors if name != author)
    random.Random(1).shuffle(others)
    packages = {name: list(texts) for name, texts in package_prose().items()}
    if kind == "neighbours":
        folders = sorted(p for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir())
        return [(others, read_impostors(folders), None)]
    if kind == "packages":
        return [(others, packages, None)]
    parts = [others[i::PARTS] for i in range(PARTS) if others[i::PARTS]]
    return [
        (strangers, {n: authors[n] for n in others if n not in strangers}, packages if "+" in kind else None)
        for strangers in parts
    ]


def row(kind: str, size: int, authors: Texts) -> str:
    """One line of the table, means over authors."""
    seen: dict[str, list[list[float]]] = defaultdict(list)
    for author, texts in authors.items():
        fit, own = texts[::2], some(windows(texts[1::2], size))
        for number, (strangers, writers, more) in enumerate(backgrounds(kind, author, authors)):
            told = [w for name in strangers for w in some(windows(authors[name], size))]
            truth = np.array([1] * len(own) + [0] * len(told))
            instrument = VoiceInstrument.fit(fit, writers, size, more)
            mixed = instrument.logits(own + told)
            seen["mix"].append([author, auc(truth, mixed)])  # type: ignore[list-item]
            passed, placed = mixed > instrument.calibration.limit, instrument.positions(own + told)
            by_stranger = np.split(placed[len(own) :], np.cumsum([len(some(windows(authors[n], size))) for n in strangers])[:-1])  # fmt: skip
            seen["rates"].append([
                passed[truth == 0].mean(), passed[truth == 1].mean(), np.clip(placed[truth == 1].mean(), 0, 1),
                np.mean([np.clip(one[:CANDIDATE_WINDOWS].mean(), 0, 1) for one in by_stranger]),
            ])  # fmt: skip
            if number == 0:  # the two alone take longest to fit, and are there for comparison
                if (kind, author) not in METERS:
                    METERS[kind, author] = VoiceMeter.fit(fit, writers | (more or {}))
                meter = METERS[kind, author]
                seen["old"].append(
                    [auc(truth, meter.margins(own + told)), auc(truth, meter.verify(own + told))]
                )
    by_author: dict[str, list[float]] = defaultdict(list)
    for author, value in seen["mix"]:  # type: ignore[misc]
        by_author[author].append(value)  # type: ignore[index]
    means = {author: float(np.mean(values)) for author, values in by_author.items()}
    worst = min(means, key=lambda name: means[name])
    margin, verifier = np.mean(seen["old"], axis=0)
    strangers_pass, author_passes, of_author, of_strangers = np.mean(seen["rates"], axis=0)
    return (
        f"| {kind} | {size} | {margin:.3f} | {verifier:.3f} | {np.mean(list(means.values())):.3f} | "
        f"{means[worst]:.3f} ({worst}) | {strangers_pass:.1%} | {author_passes:.0%} | {of_author:.2f} | {of_strangers:.2f} |"
    )


def controls(authors: Texts) -> str:
    """What nonsense gets, with all other people as background."""
    figures: dict[str, list[float]] = defaultdict(list)
    flags: dict[str, list[bool]] = defaultdict(list)
    ranks: dict[str, list[float]] = defaultdict(list)
    for author, texts in authors.items():
        fit, held = texts[::2], texts[1::2]
        instrument = VoiceInstrument.fit(fit, {n: t for n, t in authors.items() if n != author})
        own = windows(held)
        for name, cut in nonsense(own, held, author).items():
            figure = instrument.figure(cut[:CANDIDATE_WINDOWS], 0)
            figures[name].append(figure.value or 0.0)
            flags[name].append(figure.typical)
            truth = np.array([1] * len(own) + [0] * len(cut))
            ranks[name].append(auc(truth, instrument.logits(own + cut)))
    return "\n".join(
        f"| {name} | {np.mean(figures[name]):.2f} (most {max(figures[name]):.2f}) | {sum(flags[name])} of {len(flags[name])} | "
        f"{np.mean(ranks[name]):.2f} |"
        for name in figures
    )


def nonsense(own: list[str], held: list[str], author: str) -> dict[str, list[str]]:
    """Windows of each control, and of the held-out text itself for comparison."""
    draw = random.Random(author)
    sentences = [s for text in held for s in re.split(r"(?<=[.!?。！？])\s+", text) if s.strip()]
    shuffled = windows([" ".join(draw.sample(sentences, len(sentences)))])
    words = " ".join(held).split()
    return {
        "the author, held out": draw.sample(own, min(len(own), CANDIDATE_WINDOWS)),
        "words shuffled": [" ".join(draw.sample(w.split(), len(w.split()))) for w in own[:MOST_WINDOWS]],
        "sentences shuffled": shuffled[:MOST_WINDOWS],
        "Markov chain of two words": windows([chain(words, 2, CANDIDATE_WINDOWS * 300, draw)]),
        "Markov chain of three words": windows([chain(words, 3, CANDIDATE_WINDOWS * 300, draw)]),
        "articles by SmolLM2-135M-Instruct": windows(model_text())[:MOST_WINDOWS],
    }


def model_text() -> list[str]:
    """What a small model wrote from titles, a stranger to every author (benchmarks/model_text.py)."""
    file = ROOT / "benchmarks" / "model_text" / "bare.md"
    return [part for part in re.split(r"^# .+$", file.read_text(), flags=re.MULTILINE) if part.strip()]


def chain(words: list[str], order: int, length: int, draw: random.Random) -> str:
    """So many words, each drawn from those that followed the `order - 1` before it."""
    follows: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for i in range(len(words) - order + 1):
        follows[tuple(words[i : i + order - 1])].append(words[i + order - 1])
    starts = list(follows)
    made = list(draw.choice(starts))
    while len(made) < length:
        made += (
            [draw.choice(follows[key])]
            if (key := tuple(made[1 - order :])) in follows
            else draw.choice(starts)
        )
    return " ".join(made)


def some(cut: list[str]) -> list[str]:
    return random.Random(2).sample(cut, min(len(cut), MOST_WINDOWS))


def auc(truth: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, values))


if __name__ == "__main__":
    main()
