"""What helps a small model to keep to its passages: quoting first, checking sentence by sentence, another temperature or repetition
penalty.

    python -m benchmarks.facts [demo matklad] [--questions 30] [--kept FOLDER]

The model is SmolLM2-135M-Instruct as it comes, asked as the service asks a twin (profile pocket, 96 tokens). Questions
are the demo persona's own, and those that the evaluation makes of held-out documents and of strangers' writing
(`evaluation/grounding/made_questions.py`); all documents are in the index, as in production. `gate` counts what the service declines
before any model is asked.

Of claims it says what share the passages support, by the evaluation's measure: of the model's own words, and with quotations, which are
supported by what they are. That measure also chooses what stays, so the share of a claim's fact words that stand in the passages
(K-Precision) stands beside it, and how many of the strings that a right answer holds are in the text, where the questions have some.
Intervals are 95%, by bootstrap over answers. --kept is where texts are kept from run to run.
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.authors import Author, Writer, embedder, read_author
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.records import Message
from twin_assets.core.text.content_words import k_precision
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.grounding.made_questions import make_questions
from twin_assets.evaluation.grounding.qa_eval import QaItem, qa_items
from twin_assets.evaluation.grounding.questions import read_questions
from twin_assets.evaluation.sense.meter import repeated
from twin_assets.evaluation.voice.stylometry import prose
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.generation.sampling import ANSWERING, Manner
from twin_assets.inference.grounding.claims import (
    claim_support,
    claims_of,
    fact_words,
    marks_in,
    without_marks,
)
from twin_assets.inference.grounding.facts import RETRY_TEMPERATURE, RETRY_TOKENS, FactChecks, FactDesk
from twin_assets.inference.grounding.quotations import quotations_in, without_quotations

TOKENS, SEED, SAME_SUBJECT = 96, 5000, OFFLINE_MINILM.same_subject
OFF = AnswerOptions()


class Way(NamedTuple):
    """How answers are drawn, and what is done to them."""

    manner: Manner = ANSWERING
    options: AnswerOptions = OFF


STRICT = AnswerOptions(quote=True, check=True, cite=True, strict=True)
WAYS = {
    "as it writes, temperature 0.8, penalty 1.1": Way(Manner(0.8, 1.1)),
    "as it writes, temperature 0.8": Way(Manner(0.8, 1.0)),
    "as it writes, temperature 0.5": Way(Manner(0.5, 1.0)),
    "as it writes, temperature 0.3": Way(),
    "as it writes, temperature 0": Way(Manner(0.0, 1.0)),
    "cited": Way(options=AnswerOptions(cite=True)),
    "quoted": Way(options=AnswerOptions(quote=True, cite=True)),
    "checked": Way(options=AnswerOptions(check=True, cite=True)),
    "quoted, checked": Way(options=AnswerOptions(quote=True, check=True, cite=True)),
    "quoted, checked, strict": Way(options=STRICT),
    "quoted, checked, strict, temperature 0.8": Way(Manner(0.8, 1.0), STRICT),
    "quoted, checked, strict, temperature 0": Way(Manner(0.0, 1.0), STRICT),
}


@dataclass
class Given:
    """What one way gave to one question."""

    item: QaItem
    text: str
    gate: bool
    checks: FactChecks = field(default_factory=FactChecks)
    tokens: int = 0


def main() -> None:
    """Print a table for each author."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("authors", nargs="*", default=["demo", "matklad"])
    parser.add_argument("--questions", type=int, default=30)
    parser.add_argument("--shown", type=int, default=0, help="answers to print")
    parser.add_argument("--kept", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        writer = Writer(given.kept or Path(scratch))
        for name in given.authors:
            one_author(read_author(name), writer, given.questions, given.shown, Path(scratch) / name)


def one_author(author: Author, writer: Writer, most: int, shown: int, scratch: Path) -> None:
    items = asked(author, writer, most, scratch)
    desk = FactDesk(embedder(), OFFLINE_MINILM)
    answerable = [i for i in items if i.should_answer]
    print(f"\n{author.name}: {len(answerable)} answerable questions, {len(items) - len(answerable)} others")
    print("| | claims supported, own words | with quotations | fact words in passages | facts told | quotations | cited right "
          "| declined wrongly | answered wrongly, gate and all | repeated | tokens | check ms |\n|" + "---|" * 12)  # fmt: skip
    asked_model = [(at, item.plan.conversation) for at, item in enumerate(items) if item.plan.refusal is None]
    talks = [conversation for _, conversation in asked_model]
    for temperature, penalty in sorted({way.manner for way in WAYS.values()}):
        # In batches, what the ways then take one by one.
        writer.write(talks, TOKENS, [SEED + at for at, _ in asked_model], penalty, temperature)
    for name, way in WAYS.items():
        if way.options.check:
            first = {at: one_answer(items[at], at, writer, desk, way, retry=False) for at, _ in asked_model}
            again = [(at, talk) for at, talk in asked_model if first[at].checks.retried]
            writer.write(
                [t for _, t in again],
                RETRY_TOKENS,
                [SEED + at + 1 for at, _ in again],
                way.manner.repetition_penalty,
                min(way.manner.temperature, RETRY_TEMPERATURE),
            )
        found = [one_answer(item, at, writer, desk, way) for at, item in enumerate(items)]
        print(f"| {name} | " + " | ".join(row(author, found, desk)) + " |", flush=True)
        for one in found[:shown]:
            print(f"    {one.item.question}\n      {one.text!r}")


def asked(author: Author, writer: Writer, most: int, scratch: Path) -> list[QaItem]:
    """The persona's questions and made ones, each as the service plans it."""
    retriever = author.retriever(scratch, author.documents)

    def generate(conversations: list[list[Message]], tokens: int) -> list[Generation]:
        texts = writer.write(conversations, tokens, [17 + n for n in range(len(conversations))], 1.1)
        return [
            Generation(
                text=t.text, tokens_in=t.tokens_in, tokens_out=t.tokens_out, finish_reason="stop", seconds=0
            )
            for t in texts
        ]

    made = make_questions(
        author.heldout, author.train, author.strangers, generate=generate, retrieve=retriever.retrieve,
        embed=embedder().embed_kept, same_subject=SAME_SUBJECT, public=[], most=most, seed=17,
    )  # fmt: skip
    own = read_questions(author.persona.questions)
    return qa_items(
        {
            "own": [q for q in own if not q.unanswerable],
            "unanswerable": [q for q in own if q.unanswerable],
            **made,
        },
        author.twin(retriever).plan_answer,
        {d.doc_id: d.voice_text for d in author.documents},
    )


def one_answer(
    item: QaItem,
    at: int,
    writer: Writer,
    desk: FactDesk,
    way: Way,
    retry: bool = True,
) -> Given:
    """As `Writing` does it, the texts kept."""
    plan, tokens = item.plan, 0
    if plan.refusal is not None:
        return Given(item, plan.refusal, True)

    def draft(seed: int, most: int, temperature: float) -> str:
        nonlocal tokens
        [text] = writer.write([plan.conversation], most, [seed], way.manner.repetition_penalty, temperature)
        tokens += text.tokens_out
        return text.text

    if not way.options.tends_facts or not plan.passages:
        return Given(item, draft(SEED + at, TOKENS, way.manner.temperature), False, tokens=tokens)
    tended = desk.tend(item.question, plan.passages, way.options)
    if tended.declines():
        return Given(item, plan.declining or "", False, tended.checks)
    first = draft(SEED + at, TOKENS, way.manner.temperature)
    again = min(way.manner.temperature, RETRY_TEMPERATURE)
    text = "".join(
        tended.pieces([first], lambda: [draft(SEED + at + 1, RETRY_TOKENS, again)] if retry else [])
    )
    return Given(
        item, text if not tended.checks.declined else plan.declining or "", False, tended.checks, tokens
    )


def row(author: Author, found: list[Given], desk: FactDesk) -> list[str]:
    """The figures of one way, as the table has them."""
    refused = [
        one.gate or one.checks.declined or declines(without_quotations(one.text), author.persona)
        for one in found
    ]
    held = [
        one
        for one, no in zip(found, refused, strict=True)
        if one.item.should_answer and not no and one.item.plan.passages
    ]
    own, every, words, right, marked = [], [], [], 0, 0
    for one in held:
        passages = one.item.plan.passages
        claims = claims_of(prose(without_quotations(one.text)))
        support = (
            claim_support([without_marks(c) for c in claims], passages, desk.measure)
            >= OFFLINE_MINILM.supported
        )
        quoted = len(quotations_in(one.text))
        if claims:
            own.append(float(support.mean()))
            known = set(fact_words("\n".join(passages)))
            words.append(float(np.mean([k_precision(fact_words(c), known) for c in claims])))
        if claims or quoted:
            every.append((float(support.sum()) + quoted) / (len(claims) + quoted))
        for claim in claims:
            for number in marks_in(claim):
                marked += 1
                right += 0 < number <= len(passages) and bool(
                    desk.measure([without_marks(claim)], [passages[number - 1]])[0, 0]
                    >= OFFLINE_MINILM.supported
                )
    facts = {q.question: q.answer_facts for q in read_questions(author.persona.questions) if q.answer_facts}
    told = [
        np.mean([f.lower() in one.text.lower() for f in facts[one.item.question]])
        for one in found
        if one.item.question in facts
    ]
    should = [no for one, no in zip(found, refused, strict=True) if one.item.should_answer]
    should_not = [no for one, no in zip(found, refused, strict=True) if not one.item.should_answer]
    checked = [one.checks.check_ms for one in found if one.checks.check_ms]
    return [
        _share(own), _share(every), _share(words), _share(told), f"{sum(one.checks.quoted for one in held)} of {len(held)}",
        f"{right} of {marked}", f"{sum(should)} of {len(should)}", f"{len(should_not) - sum(should_not)} of {len(should_not)}",
        f"{np.mean([repeated(one.text) for one in held]):.2f}" if held else "", f"{np.mean([one.tokens for one in found if not one.gate]):.0f}",
        f"{np.mean(checked):.0f}" if checked else "",
    ]  # fmt: skip


def _share(values: list[float]) -> str:
    if len(values) < 2:
        return ""
    low, high = bootstrap(np.array(values), SEED)
    return f"{np.mean(values):.0%} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    main()
