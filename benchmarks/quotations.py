"""Which sentence is quoted as the answer to a question: is the answer in it?

    python -m benchmarks.quotations FILE... [--seed 1]

A file has the form of SQuAD (Rajpurkar et al. 2016): articles of paragraphs with questions and their answers, words of the paragraph.
XQuAD (Artetxe et al. 2020) has 1,190 of them in each of eleven languages. Each question is asked of its paragraph and of another one
of the same article. A quotation is right where an answer stands in it. `the nearest` is the sentence, or two in a row, of the
greatest cosine with the question alone; the words are those of a quotation, since a longer one is right more easily. Intervals are 95%,
by bootstrap over questions.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from benchmarks.authors import embedder
from twin_assets.core.text.words import count_words
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.inference.grounding import quotations
from twin_assets.inference.grounding.quotations import Quotation, answering_sentences


class Asked(NamedTuple):
    """A question, two passages of which one holds the answers, and these."""

    question: str
    passages: list[str]
    answers: list[str]


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for file in given.files:
        asked = read(file, random.Random(given.seed))
        print(
            f"\n{file.name}: {len(asked)} questions\n| | right (95%) | words | nothing quoted |\n|---|---|---|---|"
        )
        with mock.patch.object(quotations, "COVERED", 0.0):
            print(row("the nearest", asked, given.seed), flush=True)
        print(row("as it is", asked, given.seed), flush=True)


def read(file: Path, draw: random.Random) -> list[Asked]:
    """All questions of a file in the form of SQuAD that have an answer."""
    asked = []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        texts = [paragraph["context"] for paragraph in article["paragraphs"]]
        for at, paragraph in enumerate(article["paragraphs"]):
            others = texts[:at] + texts[at + 1 :]
            for one in paragraph["qas"]:
                answers = [answer["text"] for answer in one["answers"]]
                beside = [draw.choice(others)] if others else []
                if answers:
                    asked.append(Asked(one["question"], [paragraph["context"], *beside], answers))
    return asked


def row(name: str, asked: list[Asked], seed: int) -> str:
    """The figures of one way of choosing."""
    model = embedder()
    embed_question: Callable[[str], np.ndarray] = model.embed_question
    found: list[Quotation | None] = [
        answering_sentences(one.question, one.passages, model.embed_kept, embed_question) for one in asked
    ]
    right = np.array([
        quoted is not None and any(answer.lower() in quoted.text.lower() for answer in one.answers)
        for one, quoted in zip(asked, found, strict=True)
    ], dtype=float)  # fmt: skip
    low, high = bootstrap(right, seed)
    words = np.mean([count_words(quoted.text) for quoted in found if quoted])
    return f"| {name} | {right.mean():.1%} ({low:.1%} to {high:.1%}) | {words:.0f} | {found.count(None)} |"


if __name__ == "__main__":
    main()
