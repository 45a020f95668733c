"""Three weeks of requests for the replay: who asks what on which day, and what each version answers.

Answers come from a small built-in set, the demo's own writing: the author's text for a good version, other
authors' for a bad one, a passage's own words for a grounded answer.
"""

import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import yaml

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.evaluation.grounding.questions import read_questions
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.feature.instruct.refusals import QUESTIONS
from twin_assets.inference.twin.request_log import RequestRecord
from twin_assets.settings import ROOT

PERSONA = "runa"
FIRST, SECOND, BAD = "twin-runa-dpo:first", "twin-runa-dpo:second", "twin-runa-dpo:bad"
DAYS, ANSWERS_A_DAY, WRITINGS_A_DAY = 21, 36, 16
# What is planted, by day from 0.
SECOND_FROM, COST_SPIKE, BAD_FROM, BAD_UNTIL, DRIFT_FROM, WRITES_OTHERWISE = 4, 6, 9, 11, 15, 18
USUAL_OUTSIDE, DRIFTED_OUTSIDE = 0.06, 0.7
WRITING_WORDS = 160
STRANGER = "eleanor-whitcombe"


def demo_corpus() -> list[SplitDocument]:
    """The demo persona's prose, every fifth piece held out."""
    found: list[SplitDocument] = []
    writing = ROOT / "demo" / "writing"
    for source, category in (("linkedin", "post"), ("medium", "article"), ("substack", "article")):
        for path in sorted((writing / source).glob("*.md")):
            text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(), flags=re.DOTALL).strip()
            found.append(
                SplitDocument.model_validate(
                    {
                        "persona": PERSONA,
                        "source": source,
                        "category": category,
                        "doc_id": path.stem,
                        "url": f"https://{source}.example/{path.stem}",
                        "title": path.stem[3:].replace("-", " "),
                        "content_hash": path.stem,
                        "voice_text": text,
                        "search_text": text,
                        "words": len(text.split()),
                        "cluster_id": path.stem,
                        "split": "heldout" if len(found) % 5 == 4 else "train",
                    }
                )
            )
    return found


def other_writing() -> list[SplitDocument]:
    """New pieces in the persona's name, which somebody else wrote: halves of another author's articles. They are held
    out, so that the voice is known by the old ones still."""
    texts = read_impostors([ROOT / "demo" / "neighbours" / STRANGER])[STRANGER]
    halves = [half for text in texts for half in _halves(text)]
    return [
        SplitDocument.model_validate(
            {
                "persona": PERSONA,
                "source": "medium",
                "category": "article",
                "doc_id": f"new-{n}",
                "url": f"https://medium.example/new-{n}",
                "title": f"new {n}",
                "content_hash": f"new-{n}",
                "voice_text": text,
                "search_text": text,
                "words": len(text.split()),
                "cluster_id": f"new-{n}",
                "split": "heldout",
            }
        )
        for n, text in enumerate(halves)
    ]


def _halves(text: str) -> list[str]:
    paragraphs = text.split("\n\n")
    middle = len(paragraphs) // 2
    return ["\n\n".join(paragraphs[:middle]), "\n\n".join(paragraphs[middle:])]


def version_on(day: int) -> str:
    """What is in production on a day: the bad release is taken back after two days."""
    if BAD_FROM <= day < BAD_UNTIL:
        return BAD
    return SECOND if day >= SECOND_FROM else FIRST


class Traffic:
    """Makes the rows of a day; the same seed, the same rows."""

    def __init__(
        self,
        corpus: list[SplitDocument],
        chunks: list[EmbeddedChunk],
        embedder: Embedder,
        questions: Path,
        seed: int = 17,
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.chunks = chunks
        self.inside = [q.question for q in read_questions(questions) if not q.unanswerable]
        self.outside = [str(q) for q in yaml.safe_load(QUESTIONS.read_text())]
        asked = [*self.inside, *self.outside]
        self._similar = dict(zip(asked, embedder.embed(asked) @ np.array([c.vector for c in chunks]).T, strict=True))  # fmt: skip
        self._own = _sentences([d.voice_text for d in corpus])
        folders = sorted(p for p in (ROOT / "demo" / "neighbours").iterdir() if p.is_dir())
        self._others = _sentences([t for texts in read_impostors(folders).values() for t in texts])

    def day(self, day: int, start: datetime) -> list[RequestRecord]:
        """The rows of one day in the order of time."""
        times = sorted(self.random.uniform(0.2, 23.5, ANSWERS_A_DAY + WRITINGS_A_DAY))
        writes = set(self.random.choice(len(times), WRITINGS_A_DAY, replace=False).tolist())
        return [
            (self._written if n in writes else self._answered)(
                day, start + timedelta(days=day, hours=float(hours)), n
            )
            for n, hours in enumerate(times)
        ]

    def _answered(self, day: int, at: datetime, n: int) -> RequestRecord:
        share = DRIFTED_OUTSIDE if day >= DRIFT_FROM else USUAL_OUTSIDE
        pool = self.outside if self.random.random() < share else self.inside
        question = str(self.random.choice(pool))
        similar = self._similar[question]
        best = np.argsort(similar)[::-1][:3]
        if similar[best[0]] < 0.33:
            return self._row(day, at, n, "answer", question, None, [], [])
        chunk = self.chunks[int(best[0])]
        words = self._text(self._others, 40) if version_on(day) == BAD else " ".join(chunk.text.split()[:50])
        scores = [float(0.5 + similar[i] / 2) for i in best]
        return self._row(
            day, at, n, "answer", question, words, [self.chunks[int(i)].chunk_id for i in best], scores
        )

    def _written(self, day: int, at: datetime, n: int) -> RequestRecord:
        text = self._text(self._others if version_on(day) == BAD else self._own, WRITING_WORDS)
        return self._row(day, at, n, "write_post", f"Write about the {n}th morning.", text, [], [])

    def _text(self, sentences: list[str], words: int) -> str:
        text: list[str] = []
        while len(text) < words:
            first = int(self.random.integers(len(sentences)))
            text += " ".join(sentences[first : first + 4]).split()
        return " ".join(text)

    def _row(
        self,
        day: int,
        at: datetime,
        n: int,
        kind: str,
        prompt: str,
        answer: str | None,
        retrieved: list[str],
        scores: list[float],
    ) -> RequestRecord:
        tokens_out = len((answer or "").split()) * 4 // 3
        usual = 0.02 + tokens_out * 0.0002
        return RequestRecord(
            request_id=f"replay-{day}-{n}",
            time=at,
            persona=PERSONA,
            model=version_on(day),
            prompt_kind=kind,
            retrieved=retrieved,
            scores=scores,
            tokens_in=200,
            tokens_out=tokens_out,
            steps_ms={"retrieve": 15.0, "generate": 10.0 + 9 * tokens_out},
            cost=usual * (12 if day == COST_SPIKE else 1),
            outcome="answered" if answer else "refused",
            prompt=prompt,
            answer=answer,
            key="replay",
        )


def _sentences(texts: list[str]) -> list[str]:
    return [s for t in texts for s in re.split(r"(?<=[.!?])\s+", t) if s.strip()]
