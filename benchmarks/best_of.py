"""Is the best of several texts better, and what does it cost? For n = 1, 2, 4, 8.

    python -m benchmarks.best_of [jessfraz-blog matklad] [--tasks 12] [--tokens 180] [--kept FOLDER]

The model is SmolLM2-135M-Instruct as it comes, with the persona prompt and two passages of the author's training side; the tasks are
the evaluation's, topics of held-out documents. Eight texts are written for each task, and the first n of them are chosen from, so that
the ways differ in the choice alone; n = 1 takes the first.

Who chooses must not judge alone. The choice is by instruments (`evaluation/choosing.py`) that were fitted on every other document of
the author's training side and on half of the other writers. The voice that judges was fitted on the other documents and the other half, on
windows of 100 words. Sense and support have no second instrument: beside them stand the loss under the reference model, and the share of
claims' fact words that stand in the passages. "chance" is the mean over all eight texts, what n = 1 would give with many seeds.
Differences from it are paired by task, with 95% intervals.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.authors import Author, Writer, embedder, packaged_model, read_author
from twin_assets.core.embedding.embedder import remembering
from twin_assets.core.text.content_words import k_precision
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.choosing import WORDS, Chooser
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.sense.passages import PassageMeter
from twin_assets.evaluation.sense.reference import ReferenceModel
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.stylometry import prose, windows
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, Sampling
from twin_assets.inference.grounding.claims import by_mix, claim_support, claims_of, fact_words
from twin_assets.inference.twin.answer import Plan
from twin_assets.inference.twin.brief import Brief
from twin_assets.settings import load_settings

MOST, NUMBERS, SEED, JUDGED_WORDS = 8, (1, 2, 4, 8), 1000, 100


def main() -> None:
    """Print a table for each author, and what choosing takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("authors", nargs="*", default=["jessfraz-blog", "matklad"])
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=180)
    parser.add_argument(
        "--time", action="store_true", help="write anew, one task for each n, and tell the seconds"
    )
    parser.add_argument("--kept", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.kept or Path(scratch)
        writer = Writer(folder)
        for name in given.authors:
            one_author(
                read_author(name),
                writer,
                given.tasks,
                given.tokens,
                Path(scratch) / name,
                folder if given.time else None,
            )


def one_author(
    author: Author, writer: Writer, most: int, tokens: int, scratch: Path, timed: Path | None
) -> None:
    twin = author.twin(author.retriever(scratch, author.train))
    tasks = write_tasks(author.heldout, author.train)[:most]
    plans = [twin.plan_brief(Brief(kind="article", topic=task.topic)) for task in tasks]
    flat = writer.write(
        [plan.conversation for plan in plans for _ in range(MOST)],
        tokens,
        [SEED + 100 * at + n for at in range(len(plans)) for n in range(MOST)],
        REPETITION_PENALTY,
    )
    written = [flat[at : at + MOST] for at in range(0, len(flat), MOST)]
    chooser, judge = instruments(author)
    figures = np.array(
        [[judge.of(text.text, plan) for text in texts] for texts, plan in zip(written, plans, strict=True)]
    )
    print(f"\n{author.name}: {len(tasks)} tasks, {MOST} texts each of about {np.mean([t.tokens_out for t in flat]):.0f} tokens; chosen by a voice of "
          f"{chooser_people(author)} writers, judged by one of the {len(author.strangers) - chooser_people(author)} others")  # fmt: skip
    print(
        "| n | "
        + " | ".join(f"{name}, and more than by chance" for name in Judge.NAMES)
        + " | tokens written | choosing, s |"
    )
    print("|" + "---|" * (len(Judge.NAMES) + 3))
    chance = np.nanmean(figures, axis=1)
    for n in NUMBERS:
        start = time.perf_counter()
        places = [
            chooser([t.text for t in texts[:n]], plan.passages, False).chosen if n > 1 else 0
            for texts, plan in zip(written, plans, strict=True)
        ]
        took = (time.perf_counter() - start) / len(plans)
        found = np.array([figures[at, place] for at, place in enumerate(places)])
        cells = [_gain(found[:, part], chance[:, part]) for part in range(len(Judge.NAMES))]
        spent = np.mean([sum(t.tokens_out for t in texts[:n]) for texts in written])
        print(f"| {n} | " + " | ".join(cells) + f" | {spent:.0f} | {took if n > 1 else 0:.2f} |", flush=True)
    if timed:
        seconds(timed, plans[0], tokens, chooser)


def seconds(folder: Path, plan: Plan, tokens: int, chooser: Chooser) -> None:
    """Writing and choosing n texts of one request, the first of two tries left out."""
    generator = packaged_model(folder / "model")
    print("| n | writing, s | choosing, s | share |\n|---|---|---|---|")
    for n in NUMBERS:
        wrote, chose = [], []
        for _ in range(2):
            start = time.perf_counter()
            handles = [
                generator.start(plan.conversation, Sampling(tokens, 0.8, seed), bounded=False)
                for seed in range(n)
            ]
            found = [handle.result() for handle in handles]
            wrote.append(time.perf_counter() - start)
            start = time.perf_counter()
            chooser(found, plan.passages, False)
            chose.append(time.perf_counter() - start)
        w, c = float(np.median(wrote[1:])), float(np.median(chose[1:]))
        print(f"| {n} | {w:.1f} | {c:.2f} | {c / (w + c):.0%} |", flush=True)


class Judge:
    """What tells how good a text is."""

    NAMES = (
        "voice",
        "reads as the author's, share",
        "loss, nats",
        "claims supported",
        "fact words in passages",
        "copied",
    )

    def __init__(self, voice: VoiceInstrument, sense: SenseMeter, copying: CopyCheck) -> None:
        self.voice, self.sense, self.copying = voice, sense, copying
        self.measure = by_mix(remembering(embedder().embed))

    def of(self, text: str, plan: Plan) -> list[float]:
        cut = windows([text], JUDGED_WORDS)
        [read] = self.sense.read([text])
        claims = claims_of(prose(text))
        known = set(fact_words("\n".join(plan.passages)))
        return [
            float(self.voice.positions(cut).mean()) if cut else np.nan,
            read.share if read else np.nan,
            read.loss if read else np.nan,
            float((claim_support(claims, plan.passages, self.measure) >= 0.55).mean()) if claims else np.nan,
            float(np.mean([k_precision(fact_words(c), known) for c in claims])) if claims else np.nan,
            self.copying.report([text]).copied_share,
        ]


def chooser_people(author: Author) -> int:
    return len(sorted(author.strangers)[::2])


def instruments(author: Author) -> tuple[Chooser, Judge]:
    """What chooses, and what judges: of voices, no document and no stranger is in both."""
    prose_of = [d.voice_text for d in author.train]
    names = sorted(author.strangers)
    choosing = {name: author.strangers[name] for name in names[::2]}
    judging = {name: author.strangers[name] for name in names[1::2]}
    measure = by_mix(embedder().embed_kept)
    reference = ReferenceModel("smollm2-135m", load_settings().cache_dir)
    meter = PassageMeter(reference, embedder().embed, embedder().fingerprint)
    sense, copying = SenseMeter.fit(meter, prose_of), CopyCheck(prose_of)
    chooser = Chooser(sense, VoiceInstrument.fit(prose_of[::2], choosing, WORDS), copying, measure)
    return chooser, Judge(VoiceInstrument.fit(prose_of[1::2], judging, JUDGED_WORDS), sense, copying)


def _gain(found: np.ndarray, chance: np.ndarray) -> str:
    known = ~np.isnan(found) & ~np.isnan(chance)
    if known.sum() < 2:
        return "too little"
    difference = (found - chance)[known]
    low, high = bootstrap(difference, SEED)
    return f"{found[known].mean():.2f}, {difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
