"""Questions that nobody wrote for this evaluation: made of held-out documents, of other people's writing, or public.

A model's question is kept where it finds back: of all passages that questions were made of, its own is the nearest to it
(round-trip consistency: Alberti et al., "Synthetic QA Corpora Generation", 2019). A stranger's question is kept as
unanswerable where the corpus has nothing about the passage it was made of, and no passage with all of its words. The
similarity that the service declines by has no say in it: a gate would be measured by itself.
"""

import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from twin_assets.core.embedding.embedder import Embed
from twin_assets.core.errors import TwinError
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.text.content_words import content_words
from twin_assets.core.text.words import count_words, first_words
from twin_assets.evaluation.grounding.qa_eval import Kind, heldout_questions
from twin_assets.evaluation.grounding.questions import Question, Retrieve
from twin_assets.evaluation.voice.stylometry import prose
from twin_assets.evaluation.write_tasks import MIN_PARAGRAPH, write_tasks
from twin_assets.inference.generation.local import Generation

Generate = Callable[[list[list[Message]], int], list[Generation]]

PROMPT = (Path(__file__).parent / "question_prompt.md").read_text(encoding="utf-8")
QUESTION_TOKENS = 40
PASSAGE_WORDS = 120
QUESTION_WORDS = range(4, 31)
SHARED_WORDS = 2
ABOUT_ITSELF = {
    "answer",
    "answers",
    "article",
    "author",
    "paragraph",
    "passage",
    "question",
    "sentence",
    "text",
}
MOST_STRANGERS = 60
# Passages that are looked at for whether the corpus answers a stranger's question.
LOOKED_AT = 5
MOST_PUBLIC, MOST_BYTES = 2000, 10_000_000
_NUMBERED = re.compile(r"^(?=[^\t\d]*+\d)[\w.-]*+\t")


def make_questions(
    heldout: list[SplitDocument],
    train: list[SplitDocument],
    strangers: dict[str, list[str]],
    *,
    generate: Generate | None,
    retrieve: Retrieve,
    embed: Embed,
    same_subject: float,
    public: list[Question],
    most: int,
    seed: int,
) -> dict[Kind, list[Question]]:
    """At most `most` answerable questions, and half as many unanswerable ones of each origin.

    With `generate` a model asks first, about at most half of them; rules over the topics of the same texts give the rest.
    Two passages of which `embed` has a cosine of `same_subject` are about one thing.
    """
    answerable: list[Question] = []
    of_strangers: list[tuple[Question, str]] = []
    if generate is not None:
        ours = Passages(((d.doc_id, d.voice_text) for d in heldout if d.category != "code"), most // 2, seed)
        theirs = Passages(((n, t) for n, some in strangers.items() for t in some), most // 2, seed)
        answerable = [question for question, _ in questions_of(ours, generate, embed)]
        of_strangers = questions_of(theirs, generate, embed)
    of_strangers += topics_of_strangers(strangers, train, seed)
    half = max(1, most // 2)
    return {
        "heldout": [*answerable, *heldout_questions(heldout, train, most)][:most],
        "made_unanswerable": unanswered(of_strangers, retrieve, embed, same_subject, half),
        "public_unanswerable": unanswered([(q, "") for q in public], retrieve, embed, same_subject, half),
    }


class Passages:
    """Paragraphs that questions are made of, with the documents they are from."""

    def __init__(self, texts: Iterable[tuple[str, str]], most: int, seed: int) -> None:
        found = [
            (doc_id, first_words(prose(part), PASSAGE_WORDS))
            for doc_id, text in texts
            for part in re.split(r"\n\s*\n", text)
            if count_words(prose(part)) >= MIN_PARAGRAPH
        ]
        self.known = random.Random(seed).sample(found, min(most, len(found)))


def questions_of(passages: Passages, generate: Generate, embed: Embed) -> list[tuple[Question, str]]:
    """The questions that a model makes of passages and that find back, each with its passage."""
    if not passages.known:
        return []
    texts = [text for _, text in passages.known]
    asked = [[Message(role="user", content=PROMPT.replace("{passage}", text))] for text in texts]
    said = [_first_question(g.text) for g in generate(asked, QUESTION_TOKENS)]
    near = embed([question or "-" for question in said]) @ embed(texts).T
    return [
        (Question(question=question, source=doc_id), text)
        for place, ((doc_id, text), question) in enumerate(zip(passages.known, said, strict=True))
        if question
        and int(np.argmax(near[place])) == place
        and len(set(content_words(question)) & set(content_words(text))) >= SHARED_WORDS
        and not ABOUT_ITSELF & set(content_words(question))
    ]


def topics_of_strangers(
    strangers: dict[str, list[str]], train: list[SplitDocument], seed: int
) -> list[tuple[Question, str]]:
    """Questions about the topics of other people's texts, by the rules that make them of held-out documents, each with
    its text."""
    texts = [text for some in strangers.values() for text in some]
    texts = random.Random(seed).sample(texts, min(MOST_STRANGERS, len(texts)))
    documents = [
        SplitDocument(
            persona="", source="file", category="article", doc_id=str(n), url=f"stranger:{n}", content_hash=str(n),
            voice_text=text, search_text=text, words=count_words(text), cluster_id=str(n), split="heldout",
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip
    return [
        (
            Question(question=f"What have you written about {task.topic}?", unanswerable=True),
            first_words(prose(texts[int(task.doc_id)]), PASSAGE_WORDS),
        )
        for task in write_tasks(documents, train)
    ]


def unanswered(
    asked: Iterable[tuple[Question, str]], retrieve: Retrieve, embed: Embed, same_subject: float, most: int
) -> list[Question]:
    """At most so many of the questions about strangers' passages that the corpus doesn't answer by accident."""
    kept: dict[str, Question] = {}
    for question, passage in asked:
        if len(kept) == most:
            break
        found = [p.text for p in retrieve(passage, LOOKED_AT, None)] if passage else []
        if found and float((embed([passage]) @ embed(found).T).max()) >= same_subject:
            continue
        if not _words_stand_together(question.question, retrieve):
            kept[question.question] = Question(question=question.question, unanswerable=True)
    return list(kept.values())


def read_public(path: Path | None, seed: int) -> list[Question]:
    """Questions of a public set, one a line, after a number and a tab where it has them; in a random order.

    Raises TwinError on a file that can't be read or is too large.
    """
    if path is None:
        return []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TwinError(
                f"{path} has more than {MOST_BYTES} bytes.", "name a file with one question a line."
            )
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TwinError(
            f"The public questions in {path} can't be read: {error}.",
            "set TWIN_PUBLIC_QUESTIONS to a text file with one question a line.",
        ) from error
    texts = [_NUMBERED.sub("", line).strip() for line in lines]
    fitting = list(dict.fromkeys(t for t in texts if t.endswith("?") and count_words(t) in QUESTION_WORDS))
    chosen = random.Random(seed).sample(fitting, min(MOST_PUBLIC, len(fitting)))
    return [Question(question=text, unanswerable=True) for text in chosen]


def _words_stand_together(question: str, retrieve: Retrieve) -> bool:
    """Whether a passage of the corpus has all content words of the question."""
    words = set(content_words(question)) - {"written"}
    if not words:
        return True  # it asks about nothing in particular
    return any(words <= set(content_words(p.text)) for p in retrieve(question, LOOKED_AT, None))


def _first_question(text: str) -> str:
    """The first line that is one question of a fitting length; empty when there is none."""
    for line in text.splitlines():
        asked = line.strip(" \t\"'*-")
        asked = asked[: asked.index("?") + 1] if "?" in asked else ""
        if asked and count_words(asked) in QUESTION_WORDS:
            return asked
    return ""
