"""Real texts of the demo, a report made of them, and requests: what the evaluation tests start from."""

import random
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import Persona, load_persona
from twin_assets.core.records import Message, Passage, SplitDocument
from twin_assets.evaluation.evaluate import Instruments, Question, System, evaluate
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.inference.generation.local import Generation
from twin_assets.inference.twin.answer import Plan, Twin
from twin_assets.inference.twin.request_log import RequestRecord
from twin_assets.settings import ROOT

WRITING = ROOT / "demo" / "writing"


@lru_cache
def neighbours() -> dict[str, list[str]]:
    return read_impostors(sorted(p for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir()))


@lru_cache
def documents() -> tuple[SplitDocument, ...]:
    """The demo persona's posts and articles; every fifth is held out."""
    found = []
    for source, category in (("linkedin", "post"), ("medium", "article"), ("substack", "article")):
        for path in sorted((WRITING / source).glob("*.md")):
            text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL).strip()
            title = None if category == "post" else path.stem[3:].replace("-", " ")
            held = len(found) % 5 == 0
            found.append(document(path.stem, text, category, title, "heldout" if held else "train"))
    return tuple(found)


def document(
    doc_id: str, text: str, category: str = "article", title: str | None = None, split: str = "train"
) -> SplitDocument:
    return SplitDocument.model_validate({
        "persona": "runa", "source": "file", "category": category, "doc_id": doc_id, "url": f"http://site/{doc_id}",
        "title": title, "content_hash": doc_id, "voice_text": text, "search_text": text,
        "words": len(text.split()), "cluster_id": doc_id, "split": split,
    })  # fmt: skip


def train() -> list[SplitDocument]:
    return [d for d in documents() if d.split == "train"]


def heldout() -> list[SplitDocument]:
    return [d for d in documents() if d.split == "heldout"]


def runa() -> Persona:
    return load_persona(ROOT / "personas", "runa")


def passage(text: str, doc_id: str = "d", score: float = 0.7) -> Passage:
    return Passage(
        chunk_id=f"{doc_id}-0", doc_id=doc_id, url=f"http://site/{doc_id}", category="article", text=text,
        start=0, end=len(text), score=score,
    )  # fmt: skip


def by_shared_words(query: str, k: int, filters: dict[str, Any] | None) -> list[Passage]:
    """A small real search: documents of the asked split with the most words of the query."""
    known = [d for d in documents() if filters is None or d.split == filters["split"]]
    asked = set(re.findall(r"\w+", query.lower()))
    ranked = sorted(known, key=lambda d: -len(asked & set(re.findall(r"\w+", d.voice_text.lower()))))
    return [passage(d.voice_text, d.doc_id) for d in ranked[:k]]


Write = Callable[[list[list[Message]], int], list[Generation]]


def generation(text: str) -> Generation:
    """As a model would have written it in a hundredth of a second."""
    words = len(text.split())
    return Generation(text=text, tokens_in=40, tokens_out=words, finish_reason="stop", seconds=0.01)


def sentences_of(texts: list[str], words: int = 130) -> Write:
    """A writer that answers any prompt with sentences of `texts`, the same for the same prompt."""
    pool = [s for t in texts for s in re.split(r"(?<=[.!?])\s+", t) if s]

    def write(conversations: list[list[Message]], tokens: int) -> list[Generation]:
        written = []
        for conversation in conversations:
            draw = random.Random(conversation[-1].content)
            text: list[str] = []
            while len(text) < words:
                text += draw.choice(pool).split()
            written.append(generation(" ".join(text)))
        return written

    return write


def by_hashed_words(texts: list[str]) -> np.ndarray:
    """A small real embedder: words hashed into 256 places, unit length."""
    rows = np.zeros((len(texts), 256), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            row[zlib.crc32(word.encode()) % 256] += 1
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@lru_cache
def plan(question: str) -> Plan:
    """As the service plans an answer; it finds nothing for football."""

    def find(query: str, k: int) -> list[Passage]:
        similarity = 0.0 if "World Cup" in query else 0.7
        return [p.model_copy(update={"similarity": similarity}) for p in by_shared_words(query, k, None)]

    return Twin(runa(), load_profile("nano"), find).plan_answer(question)


def run_evaluation(systems: dict[str, System], **changes: Any) -> EvaluationReport:
    measured = {k: changes.pop(k) for k in ("judge", "right_answers", "sense") if k in changes}
    given: dict[str, Any] = {
        "heldout": heldout(), "train": train(), "impostors": neighbours(), "persona": runa(),
        "profile": load_profile("nano"), "questions": [],
        "instruments": Instruments(by_shared_words, plan, by_hashed_words, **measured), "seed": 1, "on_progress": lambda line: None,
    }  # fmt: skip
    return evaluate(systems, **(given | changes))


@lru_cache
def reciting_report() -> EvaluationReport:
    """A candidate that recites training text, against bases that write as the neighbours do."""
    others = [t for texts in neighbours().values() for t in texts]
    return run_evaluation(
        {
            "candidate": System("runa:one", sentences_of([d.voice_text for d in train()]), "twin"),
            "base+prompt+retrieval": System("base:one", sentences_of(others), "baseline"),
            "base+prompt": System("base:one", sentences_of(others), "prompted"),
            "base": System("base:one", sentences_of(others), "bare"),
        },
        questions=[
            Question(question="When did Runa join the ferry company?", answer_facts=["March 2019"]),
            Question(question="Who won the football World Cup in 2022?", unanswerable=True),
        ],
    )


def request(number: int = 0, **changes: Any) -> RequestRecord:
    given: dict[str, Any] = {
        "request_id": str(number), "time": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        "persona": "runa", "model": "runa:one", "prompt_kind": "answer", "outcome": "answered",
        "retrieved": ["d-0"], "scores": [0.7 + number % 7 / 100], "tokens_in": 100, "tokens_out": 50,
        "steps_ms": {"retrieve": 10.0, "generate": 100.0 + number},
    }  # fmt: skip
    return RequestRecord(**(given | changes))
