"""What a question of a talk finds: as it was typed, with the talk around it, condensed by rules or by a model, rewritten by a person.

    python -m benchmarks.followups [--mtrag FOLDER] [--model 60]

Talks are others'. TREC CAsT 2019 and 2020 (in ../shared/reality/followups; TWIN_FOLLOWUPS names another folder) have no passages with
them, but each question as a person rewrote it to stand alone: a condensed one is compared with it, by the content words of the
rewrite that it has, by how many of its own the rewrite has, by the cosine of the two, and by whether the rewrite is the nearest, or
among the three nearest, of all rewrites of the year's topics. MTRAG (IBM/mt-rag-benchmark; --mtrag names a checkout) has talks with the
passages that answer each turn: they are searched among all passages that its files mention, as the service searches.

--model asks SmolLM2-135M-Instruct for so many of the questions of CAsT, as `condense: model` does, and compares the ways on these;
--ways leaves the others out.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.authors import Writer, embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Chunk, Message
from twin_assets.core.text.content_words import content_words
from twin_assets.core.vectors.lance import LanceStore
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.inference.retrieval.condense import (
    QUESTION_TOKENS,
    condense_request,
    condensed_by_rules,
    read_condensed,
)
from twin_assets.inference.retrieval.retriever import Retriever
from twin_assets.settings import ROOT, load_settings

HIT_AT = (1, 3, 5)


class FollowUp(NamedTuple):
    """A question with the turns before it; as a person rewrote it, and the passages that answer it, where they are known."""

    before: list[Message]
    question: str
    rewritten: str | None = None
    targets: frozenset[str] = frozenset()


Way = Callable[[FollowUp], str]


def said_before(one: FollowUp) -> list[str]:
    return [turn.content for turn in one.before if turn.role == "user"]


WAYS: dict[str, Way] = {
    "the last turn alone": lambda one: one.question,
    "all turns of the reader": lambda one: " ".join([*said_before(one), one.question]),
    "the turn before and this": lambda one: " ".join([*said_before(one)[-1:], one.question]),
    "condensed by rules": lambda one: condensed_by_rules(one.before, one.question).question,
    "as a person rewrote it": lambda one: one.rewritten or one.question,
}


def cast(folder: Path) -> Iterator[FollowUp]:
    """The questions of both years, also the first turns, which nothing goes before."""
    lines = (folder / "cast2019_rewritten.tsv").read_text().splitlines()
    rewrites = dict(line.split("\t", 1) for line in lines if "\t" in line)
    for year in ("2019", "2020"):
        name = "cast2019_topics.json" if year == "2019" else "cast2020_manual.json"
        for topic in json.loads((folder / name).read_text()):
            before: list[Message] = []
            for turn in topic["turn"]:
                question = turn["raw_utterance"].strip()
                rewritten = turn.get("manual_rewritten_utterance") or rewrites.get(
                    f"{topic['number']}_{turn['number']}"
                )
                if rewritten:
                    yield FollowUp(list(before), question, rewritten.strip())
                before.append(Message(role="user", content=question))


def mtrag(folder: Path) -> tuple[dict[str, str], dict[str, list[FollowUp]]]:
    """All passages by id, and the follow-ups of two of its parts: MTRAG-UN, and the rated ones of MTRAG, which have rewrites."""
    rows = [
        json.loads(line)
        for line in (folder / "mtragun-human/generation_tasks/reference.jsonl").read_text().splitlines()
    ]
    rated = json.loads(
        (folder / "mtrag-human/evaluations/reference_subset_with_human_evaluations.json").read_text()
    )
    passages = {d["document_id"]: d["text"] for d in rated["documents"]}
    passages |= {c["document_id"]: c["text"] for row in rows for c in row["contexts"]}
    rewrites: dict[str, str] = {}
    right: dict[str, set[str]] = {}
    for path in sorted((folder / "mtrag-human/retrieval_tasks").glob("*/*_rewrite.jsonl")):
        told = [json.loads(line) for line in path.read_text().splitlines()]
        rewrites |= {one["_id"]: one["text"].removeprefix("|user|:").strip() for one in told}
        for line in (path.parent / "qrels/dev.tsv").read_text().splitlines()[1:]:
            task, passage, _ = line.split("\t")
            right.setdefault(task, set()).add(passage)

    def follow_up(row: dict[str, Any], rewritten: str | None, targets: set[str]) -> FollowUp:
        roles: dict[str, Any] = {"user": "user", "agent": "assistant"}
        *before, last = [Message(role=roles[m["speaker"]], content=m["text"]) for m in row["input"]]
        return FollowUp(before, last.content, rewritten, frozenset(targets & passages.keys()))

    un = [follow_up(row, None, {c["document_id"] for c in row["contexts"]}) for row in rows]
    human = [
        follow_up(row, rewrites[row["task_id"]], right[row["task_id"]])
        for row in rated["tasks"]
        if row["task_id"] in right
    ]
    parts = {"MTRAG-UN": un, "MTRAG, rated": human}
    return passages, {
        name: [one for one in part if one.before and one.targets] for name, part in parts.items()
    }


def compare_with_rewrites(asked: list[FollowUp], some: list[FollowUp], ways: dict[str, Way]) -> None:
    """`some` of the follow-ups, among the rewrites of all that were `asked`."""
    rewrites = [one.rewritten or "" for one in asked]
    vectors = embedder().embed(rewrites)
    places = {id(one): at for at, one in enumerate(asked)}
    print(f"\nCAsT: {len(some)} follow-ups, {len(asked)} rewrites\n")
    print(
        "| | words of the rewrite | of its own words in the rewrite | cosine | nearest is the rewrite | among three |\n|"
        + "---|" * 6
    )
    for label, way in ways.items():
        rows, made = [], [way(one) for one in some]
        for one, text, vector in zip(some, made, embedder().embed(made), strict=True):
            gold, words = set(content_words(one.rewritten or "")), set(content_words(text))
            cosines, own = vectors @ vector, places[id(one)]
            nearer, both = int((cosines > cosines[own] + 1e-6).sum()), len(gold & words)
            rows.append(
                [both / max(len(gold), 1), both / max(len(words), 1), cosines[own], nearer < 1, nearer < 3]
            )
        print(
            f"| {label} | " + " | ".join(interval(column) for column in zip(*rows, strict=True)) + " |",
            flush=True,
        )


def search_passages(passages: dict[str, str], parts: dict[str, list[FollowUp]], ways: dict[str, Way]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = LanceStore(folder, "mtrag")
        chunks = [
            Chunk(
                chunk_id=name,
                doc_id=name,
                persona="bench",
                source="web",
                category="article",
                url=name,
                text=text,
                start=0,
                end=len(text),
                tokens=1,
                split="train",
                content_hash=text_hash(text),
            )
            for name, text in passages.items()
        ]
        store.sync(embed_chunks(chunks, embedder(), load_settings().cache_dir / "benchmark").chunks)
        retriever = Retriever(store, embedder())
        for name, asked in parts.items():
            print(f"\n{name}: {len(asked)} follow-ups, {len(passages)} passages\n")
            print("| | " + " | ".join(f"hit@{k}" for k in HIT_AT) + " |\n|" + "---|" * (len(HIT_AT) + 1))
            for label, way in ways.items():
                if label == "as a person rewrote it" and asked[0].rewritten is None:
                    continue
                places = []
                for one in asked:
                    found = retriever.find(way(one), max(HIT_AT)).passages
                    places.append(next((n for n, p in enumerate(found) if p.chunk_id in one.targets), 99))
                print(
                    f"| {label} | " + " | ".join(interval([p < k for p in places]) for k in HIT_AT) + " |",
                    flush=True,
                )


def by_model(asked: list[FollowUp], kept: Path) -> Way:
    """SmolLM2's questions, as they are taken: by rules where it gives none that can be."""
    talks = [condense_request(one.before, one.question) for one in asked]
    texts = Writer(kept).write(talks, QUESTION_TOKENS, [0] * len(talks), 1.0, 0.0)
    said = {
        id(one): read_condensed(text.text, one.before, one.question)
        for one, text in zip(asked, texts, strict=True)
    }
    print(
        f"\nSmolLM2-135M-Instruct: {sum(q is not None for q in said.values())} of {len(asked)} answers could be taken for a question"
    )
    for one, text in list(zip(asked, texts, strict=True))[:5]:
        print(f"    {one.question!r} -> {text.text!r}")
    return lambda one: said[id(one)] or condensed_by_rules(one.before, one.question).question


def interval(values: Any) -> str:
    """A mean with its 95% interval over questions."""
    numbers = np.array(values, dtype=float)
    low, high = bootstrap(numbers, 0)
    return f"{numbers.mean():.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mtrag", type=Path, help="a checkout of IBM/mt-rag-benchmark")
    parser.add_argument("--model", type=int, default=0, metavar="N", help="questions to ask the model for")
    parser.add_argument("--ways", nargs="*", help="of the ways only these")
    given = parser.parse_args()
    named = os.environ.get("TWIN_FOLLOWUPS")
    folder = Path(named) if named else ROOT.parent / "shared" / "reality" / "followups"
    if not folder.is_dir():
        raise SystemExit(f"There are no follow-ups at {folder}. Fix: set TWIN_FOLLOWUPS to their folder.")
    ways = {label: way for label, way in WAYS.items() if not given.ways or label in given.ways}
    asked = list(cast(folder))
    some = [one for one in asked if one.before]
    if given.model:
        some = some[:: max(len(some) // given.model, 1)][: given.model]
        with tempfile.TemporaryDirectory() as scratch:
            ways["condensed by SmolLM2-135M"] = by_model(some, Path(scratch))
    compare_with_rewrites(asked, some, ways)
    if given.mtrag:
        search_passages(*mtrag(given.mtrag), ways)


if __name__ == "__main__":
    main()
