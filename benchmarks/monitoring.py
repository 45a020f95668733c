"""Scores synthetic production: requests a second and peak memory at 10,000 and at 100,000 logged requests.

    python benchmarks/monitoring.py
    python benchmarks/monitoring.py 10000 --per-hour 600 --sample 30

Each size runs in a process of its own, over a log that it writes first: one persona, two versions, three weeks
or what `--per-hour` makes of it, objects of 100 rows as the service writes them. Answers are sentences of the
demo persona about her passages, one in five of another author's. Everything is scored as in production: rules on all,
groundedness and voice on the sample.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.lake import LocalLake
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.inference.retrieval.compress import sentences
from twin_assets.inference.twin.request_log import RequestRecord, write_object
from twin_assets.monitoring.scores.live_scores import KeptMix, LiveScorer, score_new
from twin_assets.monitoring.scores.toxicity import by_words
from twin_assets.settings import ROOT

START = datetime(2026, 1, 1, tzinfo=UTC)
OBJECT_ROWS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--per-hour", type=int, default=600, help="logged requests of an hour")
    parser.add_argument("--sample", type=int, default=30, help="of an hour and version, as in the settings")
    parser.add_argument("--alone", action="store_true", help="measure one size in this process")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measure(given.sizes[0], given.per_hour, given.sample)))
        return
    print(
        "| requests | of them in the sample | seconds | CPU seconds | requests/s | requests/CPU s | peak memory | of it scoring |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for size in given.sizes:
        command = [sys.executable, __file__, str(size), "--alone", "--per-hour", str(given.per_hour)]
        done = subprocess.run(
            [*command, "--sample", str(given.sample)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            "| {size:,} | {sampled:,} | {seconds:.0f} | {cpu:.0f} | {rate:.0f} | {cpu_rate:.0f} | {peak:.0f} MB | {grown:.0f} MB |".format(
                **found
            )
        )


def measure(size: int, per_hour: int, sample: int) -> dict[str, float]:
    """Write a log, score it, and say what that took; memory in megabytes."""
    persona = load_persona(ROOT / "personas", "runa")
    texts = [path.read_text() for path in sorted((ROOT / "demo" / "writing").rglob("*.md"))]
    impostors = read_impostors(persona.impostors)
    passages = {f"d-{n}": text[:800] for n, text in enumerate(texts)}
    embedder = load_embedder("offline-minilm")
    scorer = LiveScorer(
        persona, passages, KeptMix(embedder), VoiceMeter.fit(texts, impostors), by_words, sample, seed=17
    )  # fmt: skip
    embedder.embed(["warm"])
    with tempfile.TemporaryDirectory() as folder:
        lake = LocalLake(Path(folder))
        own = [
            [text[a:b] for a, b in sentences(passage)]
            for text, passage in zip(texts, passages.values(), strict=True)
        ]
        others = [text[a:b] for found in impostors.values() for text in found[:3] for a, b in sentences(text)]
        write_log(lake, size, per_hour, own, others)
        before, start, cpu = _peak(), time.monotonic(), time.process_time()
        run = score_new(lake, scorer)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    assert run.scored == size
    peak = _peak()
    return {
        "size": size, "sampled": run.sampled, "seconds": seconds, "rate": size / seconds, "cpu": cpu,
        "cpu_rate": size / cpu, "peak": peak,
        "grown": peak - before,
    }  # fmt: skip


def write_log(lake: LocalLake, size: int, per_hour: int, own: list[list[str]], others: list[str]) -> None:
    rows: list[RequestRecord] = []
    for number, row in enumerate(_rows(size, per_hour, own, others), start=1):
        rows.append(row)
        if len(rows) == OBJECT_ROWS or number == size or _day(row) != _day(rows[0]):
            write_object(lake, f"requests/runa/{_day(rows[0])}", f"{number:09d}-bench", rows)
            rows = []


def _rows(size: int, per_hour: int, own: list[list[str]], others: list[str]) -> Iterator[RequestRecord]:
    drawn = random.Random(17)
    for number in range(size):
        about = drawn.randrange(len(own))
        said = own[about] if drawn.random() < 0.8 else others
        writes = drawn.random() < 0.3
        answer = " ".join(drawn.choices(said, k=8 if writes else 3)) if said else "Late."
        yield RequestRecord(
            request_id=f"bench-{number}", time=START + timedelta(hours=number / per_hour), persona="runa",
            model=f"twin-runa-dpo:{'one' if drawn.random() < 0.9 else 'two'}", key=f"key{number % 7}",
            prompt_kind="write_post" if writes else "answer", retrieved=[f"d-{about}"], scores=[drawn.random()],
            tokens_in=400, tokens_out=80, steps_ms={"search": 12.0, "generate": 900.0}, cost=0.001, outcome="answered",
            prompt="What was late, and why?", answer=answer,
        )  # fmt: skip


def _day(row: RequestRecord) -> str:
    return f"{row.time:%Y-%m-%d}"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
