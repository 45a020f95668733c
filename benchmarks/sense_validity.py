"""Does "reads as language" tell an author's own text from nonsense made of it? AUCs, and who passes.

Run: `python benchmarks/sense_validity.py [AUTHOR...]`, with TWIN_AUTHORS naming a folder of authors, each a folder of text
files (default ../shared/reality/authors). Documents are halved at random. One half fits the meter; of the other come

- held-out: passages of it as they are;
- words shuffled: the words of each passage;
- sentences shuffled: sentences of all its documents in passages;
- strangers, and articles by SmolLM2-135M (benchmarks/model_text/bare.md): for information.

Chains of order 1 to 4 draw each word from those that follow the last 1 to 4 in the fitted half: what they repeat of it
is told by the copy check.

Last come sets of 48 passages drawn from the held-out ones, of which none, 30% or 50% are such nonsense instead.

AUC is of the author's fitted passages over these. "read" says whether the gate of the profile pocket passes the set,
"copied" the share of words in runs of eight and more of the fitted half, and whether the gate fails it for them.
Figures of passages are kept in TWIN_HOME, so that a second run takes seconds.
"""

import os
import random
import sys
import time
from pathlib import Path

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.words import joined, word_spans
from twin_assets.evaluation.sense.meter import SenseMeter, SenseScore, sentences_shuffled, word_chains
from twin_assets.evaluation.sense.passages import PassageMeter, some_passages
from twin_assets.evaluation.sense.reference import load_reference
from twin_assets.evaluation.voice.copying import CopyCheck, CopyReport
from twin_assets.settings import ROOT, load_settings

MODEL_TEXT = ROOT / "benchmarks" / "model_text" / "bare.md"
OWN, OTHERS, SEED = 80, 32, 0
SET, DRAWS = 48, 50
MIXED = ("words shuffled", "sentences shuffled", "chain of order 1", "chain of order 2")
HEAD = [
    "author",
    "text",
    "passages",
    "loss",
    "AUC loss",
    "coherence",
    "AUC coherence",
    "in range",
    "far out",
    "reads",
    "copied",
]


def main() -> None:
    """Print the table for each author, and what holds for all of them."""
    folder = Path(os.environ.get("TWIN_AUTHORS", ROOT.parent / "shared" / "reality" / "authors"))
    authors = {p.name: _read(p) for p in sorted(folder.iterdir()) if p.is_dir()} if folder.is_dir() else {}
    if not authors:
        sys.exit(
            f"There is no author in {folder}. Fix: set TWIN_AUTHORS to a folder with one folder an author."
        )
    settings, embedder = load_settings(), load_embedder(load_settings().embedder)
    meter = PassageMeter(
        load_reference(settings.reference_model, settings.cache_dir),
        embedder.embed,
        embedder.fingerprint,
        KeptValues(settings.cache_dir / "sense-benchmark.sqlite", "passages"),
    )
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    start = time.monotonic()
    passed: dict[str, list[tuple[bool, bool, float | None]]] = {}
    drawn: dict[tuple[str, float], list[float]] = {}
    for name in sys.argv[1:] or authors:
        others = [text for other, texts in authors.items() if other != name for text in texts]
        own, sets = controls(authors[name], others)
        sense, copies = SenseMeter.fit(meter, own), CopyCheck(own)
        for kind, texts in sets.items():
            score, copied = sense.score(texts, len(texts), SEED, keep=True), copies.report(texts)
            print("| " + " | ".join([name, kind, *cells(score, copied)]) + " |", flush=True)
            passed.setdefault(kind, []).append((reads(score), not_copied(copied), score.share))
        print(
            f"| {name} | told from noise | | | {sense.words_told:.3f} | | {sense.order_told:.3f} | | | | | |"
        )
        for of, part in [("", 0.0), *((kind, part) for kind in MIXED for part in (0.3, 0.5))]:
            found = [reads(sense.score(some, SET, SEED, keep=True)) for some in mixed(sets, of, part)]
            drawn.setdefault((of, part), []).append(sum(found) / len(found))
    print("\n| text | sets that pass | sets that read as language | least in range |\n|---|---|---|---|")
    for kind, found in passed.items():
        both, read = sum(r and c for r, c, _ in found), sum(r for r, _, _ in found)
        least = min((s for _, _, s in found if s is not None), default=float("nan"))
        print(f"| {kind} | {both} of {len(found)} | {read} of {len(found)} | {least:.3f} |")
    print(f"\n| sets of {SET}, {DRAWS} an author | read as language | by author |\n|---|---|---|")
    for (of, part), shares in drawn.items():
        what = f"{part:.0%} {of}" if of else "held-out alone"
        print(
            f"| {what} | {sum(shares) / len(shares):.1%} | {', '.join(f'{share:.0%}' for share in shares)} |"
        )
    print(f"\n{time.monotonic() - start:.0f} s")


def controls(author: list[str], others: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The half that fits, and passages by kind: of the other half, of nonsense, of strangers."""
    shuffled = random.Random(SEED).sample(author, len(author))
    own, unseen = shuffled[: len(author) // 2], shuffled[len(author) // 2 :]
    cut = some_passages(unseen, len("".join(unseen)))
    return own, {
        "held-out": cut[:OWN],
        "words shuffled": [_words_shuffled(text) for text in cut[:OTHERS]],
        "sentences shuffled": sentences_shuffled(cut)[:OTHERS],
        **{f"chain of order {order}": word_chains(own, order, OTHERS) for order in (1, 2, 3, 4)},
        "strangers": some_passages(others, OTHERS),
        "SmolLM2's articles": some_passages(MODEL_TEXT.read_text().split("\n# "), OTHERS),
    }


def mixed(sets: dict[str, list[str]], of: str, part: float) -> list[list[str]]:
    """Sets of SET passages, of which a part is of another kind."""
    draw, other = random.Random(SEED), round(SET * part)
    return [
        [*draw.sample(sets["held-out"], SET - other), *(draw.choices(sets[of], k=other) if other else [])]
        for _ in range(DRAWS)
    ]


def reads(score: SenseScore) -> bool:
    gate = load_profile("pocket").gate
    return not score.short_of(gate.min_reading_share, gate.max_worse_reading, gate.usually_far_reading)


def not_copied(report: CopyReport) -> bool:
    gate = load_profile("pocket").gate
    return report.copied_share <= gate.max_copied_share and report.longest_words <= gate.max_copied_words


def cells(score: SenseScore, copied: CopyReport) -> list[str]:
    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    return [
        str(score.passages), shown(score.loss, ".2f"), shown(score.worse_loss, ".3f"), shown(score.coherence, ".3f"),
        shown(score.less_coherent, ".3f"), shown(score.worse, ".3f"), shown(score.share, ".1%"), shown(score.far, ".1%"), "yes" if reads(score) else "no",
        f"{copied.copied_share:.0%}{'' if not_copied(copied) else ', fails'}",
    ]  # fmt: skip


def _words_shuffled(text: str) -> str:
    words = [text[a:b] for a, b in word_spans(text)]
    random.Random(text).shuffle(words)
    return joined(words)


def _read(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


if __name__ == "__main__":
    main()
