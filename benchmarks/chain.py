"""Is a text in steps better after its revision, and what does that cost?

    python -m benchmarks.chain [jessfraz-blog matklad] [--topics 10] [--words 300]

Articles on topics of held-out documents (a title, or two telling words where there is none), through the chain as the service runs it: an
outline, sections, the check and the revision, by SmolLM2-135M-Instruct as it comes, with the author's training side as the index. The first
idea is the topic itself.

The check, and with it which version of a section is kept, is by instruments of one half (`best_of.instruments`); the voice in the table was
fitted on the other documents of the author and the other writers. Findings, sense and support have no second instrument: there a revision
can hardly lose, by its own rule. Beside them stand the loss under the reference model and the share of claims' fact words that stand in
the passages. Differences are paired by text, with 95% intervals by bootstrap over texts. Four chains run at once, so that seconds are those
of a busy engine, and a second run writes other texts (rounding in other batches).
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from benchmarks.authors import Author, embedder, packaged_model, read_author
from benchmarks.best_of import Judge, chooser_people, instruments
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.records import Message
from twin_assets.core.text.words import count_words
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.choosing import Chooser
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.generation.fallback import Writers
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import TEMPERATURE, Sampling
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.twin.answer import Plan, Twin
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.chain.chain import Chain
from twin_assets.inference.twin.chain.desk import ChainDesk
from twin_assets.inference.twin.chain.drafting import assembled, plan_section
from twin_assets.inference.twin.chain.records import (
    ChainEvent,
    FindingKind,
    GivenSteps,
    Outline,
    Revision,
    Section,
)
from twin_assets.inference.twin.writing import Writing

SEED, AT_ONCE = 1000, 4
# One look at a text at a time, as in the service: the reference model has as many threads as there are cores.
TURN = threading.Lock()
KINDS: tuple[FindingKind, ...] = FindingKind.__args__  # type: ignore[attr-defined]
NAMES = (*(f"found: {kind}" for kind in KINDS), "found: all", *Judge.NAMES, "words")


class OwnWriter:
    """The engine in this process, for one text, in the place of one by URL."""

    def __init__(self, generator: LocalGenerator) -> None:
        self._generator, self.model = generator, generator.model
        self.tokens, self.finish_reason = (0, 0), "stop"

    def stream(self, conversation: list[Message], sampling: Sampling) -> Iterator[str]:
        handle = self._generator.start(conversation, sampling)
        yield from handle
        self.tokens = (len(handle.prompt), handle.tokens_out)
        self.finish_reason = handle.finish_reason or "stop"


class OwnJudge:
    """What the service asks of its instruments, of the half that chooses."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser, self._facts = chooser, FactDesk(embedder(), OFFLINE_MINILM)

    def scores(self, texts: list[str], passages: list[str]) -> tuple[list[CandidateScore], dict[str, str]]:
        with TURN:
            choice = self._chooser(texts, passages, False)
        return choice.scores, choice.left_out

    def copied(self, text: str) -> list[str]:
        return self._chooser.copying.report([text]).examples if self._chooser.copying else []

    def near(self, text: str, subject: str) -> float:
        first, second = embedder().embed([text, subject])
        return float(first @ second)

    def supported(self, claims: list[str], passages: list[str]) -> list[bool]:
        return [self._facts.supporters(claim, passages)[0] for claim in claims]


class Chained(NamedTuple):
    """One text: figures before and after its revision, each of NAMES; what became of its sections, and what each step took."""

    before: list[float]
    after: list[float]
    revisions: list[Revision]
    sections: int
    steps: dict[str, ChainEvent]
    by: str


def chained(
    twin: Twin, generator: LocalGenerator, topic: str, words: int, judge: OwnJudge, beside: Judge
) -> Chained:
    """One text through all steps but the ideas."""

    def begin(plan: Plan, sampling: Sampling) -> Writing:
        writer = cast(Any, OwnWriter(generator))
        return Writing(plan, Writers(writer, iter([writer])), sampling)

    brief = Brief(kind="article", topic=topic, words=words)
    desk = ChainDesk(twin, brief, begin, TEMPERATURE, SEED, OFFLINE_MINILM)
    chain = Chain(desk, GivenSteps(idea=topic), judge)
    steps = {event.step: event for event in chain.events() if event and event.event == "done"}
    outline, draft, check = chain.outline, steps["draft"].sections, steps["check"].findings
    assert outline
    assert draft
    revised = steps.get("revise")
    whole = _passages_of(desk, outline, draft)

    def figures(sections: list[Section], findings: list[Any]) -> list[float]:
        text, kinds = assembled(outline, sections), Counter(finding.kind for finding in findings)
        prose = "\n\n".join(section.text for section in sections)
        with TURN:
            seen = beside.of(prose, whole)
        return [*(kinds[kind] for kind in KINDS), len(findings), *seen, count_words(text)]

    before = figures(draft, check or [])
    after = figures(chain.sections, chain.findings) if revised else before
    by = steps["outline"].by or ""
    return Chained(before, after, (revised and revised.revisions) or [], len(draft), steps, by)


def _passages_of(desk: ChainDesk, outline: Outline, sections: list[Section]) -> Plan:
    """A plan with the passages of all sections, as their prompts showed them."""
    plans = [plan_section(desk, outline, at, sections[:at]) for at in range(len(sections))]
    return plans[0].model_copy(
        update={"passages": list(dict.fromkeys(p for one in plans for p in one.passages))}
    )


def one_author(author: Author, topics: int, words: int, scratch: Path, generator: LocalGenerator) -> None:
    twin = author.twin(author.retriever(scratch, author.train))
    titles = list(dict.fromkeys(task.topic for task in write_tasks(author.heldout, author.train)))[:topics]
    chooser, beside = instruments(author)
    judge, began = OwnJudge(chooser), time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        texts = list(pool.map(lambda title: chained(twin, generator, title, words, judge, beside), titles))
    print(
        f"\n{author.name}: {len(texts)} articles of about {words} words in {sum(t.sections for t in texts)} sections, outlines by "
        f"{dict(Counter(t.by for t in texts))}; checked by a voice of {chooser_people(author)} writers, judged by one of the "
        f"{len(author.strangers) - chooser_people(author)} others; {time.monotonic() - began:.0f} s"
    )
    print("| a text | before | after | difference (95%) |\n|---|---|---|---|")
    before, after = np.array([t.before for t in texts]), np.array([t.after for t in texts])
    for at, name in enumerate(NAMES):
        print(_row(name, before[:, at], after[:, at]), flush=True)
    revisions = [revision for text in texts for revision in text.revisions]
    kept = Counter(revision.kept for revision in revisions)
    print(
        f"\nOf {len(revisions)} sections with findings: {kept['as_it_was']} kept as they were, {kept['shortened']} shortened, "
        f"{kept['rewritten']} written again\n\n| step | tokens read | written | seconds |\n|---|---|---|---|"
    )
    for step in ("outline", "draft", "check", "revise"):
        took = [event for text in texts if (event := text.steps.get(step))]
        spent = np.array([[event.tokens_in, event.tokens_out, event.ms] for event in took], dtype=float)
        read, written, ms = spent.sum(axis=0) / len(texts) if took else (0, 0, 0)
        print(f"| {step} | {read:.0f} | {written:.0f} | {ms / 1000:.1f} |")


def _row(name: str, before: np.ndarray, after: np.ndarray) -> str:
    known = ~np.isnan(before) & ~np.isnan(after)
    if known.sum() < 2:
        return f"| {name} | too little | | |"
    gain = (after - before)[known]
    low, high = bootstrap(gain, SEED)
    return f"| {name} | {before[known].mean():.2f} | {after[known].mean():.2f} | {gain.mean():+.2f} ({low:+.2f} to {high:+.2f}) |"


def main() -> None:
    """Print the tables of each author."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("authors", nargs="*", default=["jessfraz-blog", "matklad"])
    parser.add_argument("--topics", type=int, default=10)
    parser.add_argument("--words", type=int, default=300)
    parser.add_argument("--kept", type=Path, help="keep the unpacked model in this folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        generator = packaged_model((given.kept or Path(scratch)) / "model")
        for name in given.authors:
            one_author(read_author(name), given.topics, given.words, Path(scratch) / name, generator)


if __name__ == "__main__":
    main()
