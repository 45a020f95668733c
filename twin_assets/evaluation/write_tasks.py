"""What systems are asked to write about: topics of held-out documents, never their words in a row."""

import math
import re
from collections import Counter
from typing import Literal

from twin_assets.core.records import Record, SplitDocument
from twin_assets.core.text.content_words import topic_words
from twin_assets.core.text.words import count_words, listed
from twin_assets.evaluation.voice.stylometry import prose

MIN_PARAGRAPH = 25

Prompt = Literal["write_post", "write_article"]


class WriteTask(Record):
    """One text to write: the name of the prompt, its topic, and the document that this is the topic of."""

    prompt: Prompt
    topic: str
    doc_id: str = ""


def write_tasks(heldout: list[SplitDocument], train: list[SplitDocument]) -> list[WriteTask]:
    """Every task that the held-out prose gives, in rounds over the documents, none twice.

    First the title (for a post without one, its key phrases), then headings, then the key phrases of
    paragraphs. Key phrases are single words with a high TF-IDF against the training side.
    """
    rare = _Rarity([d.voice_text for d in train])
    by_document = [_of_document(d, rare) for d in heldout if d.category != "code"]
    rounds = max(map(len, by_document), default=0)
    ordered = [tasks[n] for n in range(rounds) for tasks in by_document if n < len(tasks)]
    first: dict[tuple[Prompt, str], WriteTask] = {}
    for task in ordered:
        first.setdefault((task.prompt, task.topic), task)
    return list(first.values())


def _of_document(document: SplitDocument, rare: "_Rarity") -> list[WriteTask]:
    prompt: Prompt = "write_post" if document.category == "post" else "write_article"
    headings = re.findall(r"^#{2,3} (.+)$", document.voice_text, re.MULTILINE)
    paragraphs = [p for p in re.split(r"\n\s*\n", document.voice_text) if count_words(p) >= MIN_PARAGRAPH]
    topics = [
        document.title or rare.phrase(document.voice_text), *headings, *(rare.phrase(p) for p in paragraphs)
    ]  # fmt: skip
    cleaned = (topic.strip(" .:,#*_") for topic in topics)
    return [WriteTask(prompt=prompt, topic=topic, doc_id=document.doc_id) for topic in cleaned if topic]


class _Rarity:
    """How rare words are in the training side."""

    def __init__(self, texts: list[str]) -> None:
        self._spread = Counter(word for text in texts for word in set(topic_words(prose(text))))
        self._texts = len(texts)

    def phrase(self, text: str) -> str:
        """The two most telling words of a text, "tides and tables"; empty when it has none."""
        counts = Counter(topic_words(prose(text)))
        weight = {w: n * math.log((self._texts + 1) / (self._spread[w] + 1)) for w, n in counts.items()}
        return listed(sorted(weight, key=lambda w: (-weight[w], w))[:2])
