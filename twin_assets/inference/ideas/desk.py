"""Ideas for one persona: four kinds, each with the passages it stands on and why, and none that was written already."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from itertools import islice
from typing import NamedTuple

from twin_assets.core.embedding.embedder import Embedder
from twin_assets.core.embedding.thresholds import Thresholds
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Passage, Visibility
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.words import first_words
from twin_assets.inference.ideas.corpus import Corpus, WrittenAbout, read_corpus
from twin_assets.inference.ideas.readers import (
    AskedQuestion,
    asked_questions,
    liked_texts,
    post_likes,
    recent_requests,
)
from twin_assets.inference.ideas.records import IdeaKind, Ideas, WritingIdea
from twin_assets.inference.ideas.topics import Topic, find_topics
from twin_assets.inference.links.read import LinkedText, linked_passages
from twin_assets.inference.twin.answer import cited
from twin_assets.inference.twin.request_log import RequestRecord

MOST_TOPICS = 400
KEPT_CORPORA = 4
SHOWN = 3  # passages beside an idea
LINK_TOKENS = 200
TITLE_WORDS, CALLED_WORDS = 40, 12


class Studied(NamedTuple):
    """A persona's writing as one audience sees it, with what was found in it, and the likes of its posts by document."""

    corpus: Corpus
    written: WrittenAbout
    topics: list[Topic]
    likes: dict[str, int]


class IdeaDesk:
    """Of one process. A corpus is studied when it is first asked about, and anew when its index or its erasures change."""

    def __init__(self, lake: Lake, embedder: Embedder, thresholds: Thresholds) -> None:
        self._lake, self._store = lake, FeatureStore(lake)
        self._embedder, self._thresholds = embedder, thresholds
        self._studied: OrderedDict[tuple[str, Visibility], tuple[object, Studied]] = OrderedDict()
        self._lock = threading.Lock()

    def ideas(
        self,
        persona: Persona,
        audience: Visibility,
        kinds: Collection[IdeaKind],
        limit: int,
        links: list[LinkedText] | None = None,
    ) -> Ideas:
        """At most `limit` of each of `kinds`. Raises TwinError where there is no writing to make them from."""
        studied = self._study(persona.name, audience)
        left_out: dict[str, str] = {}
        ideas: list[WritingIdea] = []
        rows: list[RequestRecord] = []
        if persona.log_text != "off" and {"question", "follow_up"} & {*kinds}:
            rows = recent_requests(self._lake, persona.name, audience)
        used: set[str] = set()
        if "follow_up" in kinds:
            found = list(islice(self._follow_ups(persona.name, rows, studied), limit))
            used = {idea.title for idea in found}
            ideas += found
            if not found:
                left_out["follow_up"] = "nothing that was liked touches a topic without a text of its own"
        if "topic" in kinds:
            topics = (topic for topic in studied.topics if topic.name not in used)
            found = [_topic_idea(topic, studied.corpus) for topic in islice(topics, limit)]
            ideas += found
            if not found:
                left_out["topic"] = "no topic stands in several documents and in no title"
            elif studied.corpus.left_out:
                left_out["topic"] = f"{studied.corpus.left_out} older passages were not looked at"
        if "question" in kinds:
            found = list(islice(self._questions(rows, studied), limit))
            ideas += found
            if persona.log_text == "off":
                left_out["question"] = f"the request log of {persona.name} keeps no texts (log_text)"
            elif not found:
                left_out["question"] = "no question was declined or asked often that isn't written about"
        for link in links or []:
            idea = self._link_idea(link, studied)
            if isinstance(idea, str):
                left_out[link.url] = idea
            else:
                ideas.append(idea)
        return Ideas(ideas=ideas, left_out=left_out)

    def _study(self, persona: str, audience: Visibility) -> Studied:
        # One at a time: a second caller waits for what the first finds, and the memory is that of one.
        with self._lock:
            erased = frozenset(erased_list(self._lake, persona).documents)
            state = (self._store.latest("embeddings", persona), erased)
            known = self._studied.get((persona, audience))
            if known is None or known[0] != state:
                self._studied.pop((persona, audience), None)
                embed = self._embedder.embed
                corpus = read_corpus(self._store, persona, audience, self._embedder.fingerprint)
                written = WrittenAbout(corpus, embed, self._thresholds.same_subject)
                topics = find_topics(corpus, embed, written, MOST_TOPICS)
                likes = post_likes(self._lake, persona)
                known = state, Studied(corpus, written, topics, likes)
                self._studied[persona, audience] = known
                while len(self._studied) > KEPT_CORPORA:
                    self._studied.popitem(last=False)
            self._studied.move_to_end((persona, audience))
            return known[1]

    def _questions(self, rows: list[RequestRecord], studied: Studied) -> Iterator[WritingIdea]:
        """Those asked most first; of as many the one that the persona's writing is nearest to."""
        asked = asked_questions(rows, self._embedder.embed_kept, self._thresholds.same_subject)
        found = [(one, studied.corpus.nearest(one.vector, SHOWN)) for one in asked]
        for one, near in sorted(found, key=lambda pair: (-pair[0].asked, -pair[1][0].similarity)):
            title = first_words(one.text, TITLE_WORDS)[:500]
            if near[0].similarity < self._thresholds.agreeing_request or len(title) < 3:
                continue
            if studied.written.which([title], one.vector[None])[0]:
                continue
            why = f"{_how_often(one)}. The nearest of the passages: {_called(near[0])}."
            yield _idea("question", title, why, near, one.asked)

    def _follow_ups(self, persona: str, rows: list[RequestRecord], studied: Studied) -> Iterator[WritingIdea]:
        used: set[str] = set()
        for liked in liked_texts(self._lake, persona, rows, studied.corpus, studied.likes):
            places = set(liked.places)
            topic = next((t for t in studied.topics if t.name not in used and places & set(t.mentions)), None)
            if topic is None:
                continue
            used.add(topic.name)
            standing = sorted(topic.mentions, key=lambda place: place not in places)[:SHOWN]
            passages = [_near(studied.corpus, place, topic) for place in standing]
            why = f"{liked.said[:1].upper()}{liked.said[1:]} “{first_words(liked.called, CALLED_WORDS, ' …')}”, which touches it; no text is about it."
            yield _idea("follow_up", topic.name, why, passages, topic.score)

    def _link_idea(self, link: LinkedText, studied: Studied) -> WritingIdea | str:
        """The idea, or why there is none."""
        if cites := next((p for p in studied.corpus.passages if link.url in p.text), None):
            return f"{_called(cites)} links to it already"
        title = first_words(link.title or link.text, TITLE_WORDS)[:500]
        vector = self._embedder.embed_question(title)
        if studied.written.which([title], vector[None])[0]:
            return f"a text is about it already: {_called(studied.corpus.nearest(vector, 1)[0])}"
        near = [
            p
            for p in studied.corpus.nearest(vector, SHOWN - 1)
            if p.similarity >= self._thresholds.answerable
        ]
        why = f"The nearest of your own: {_called(near[0])}." if near else "Nothing of your own is near it."
        of_link = linked_passages(title, [link], 1, LINK_TOKENS, self._embedder)
        idea = _idea("link", title, why, [*of_link, *near], near[0].similarity if near else 0.0)
        marked = [c.model_copy(update={"linked": c.url == link.url}) for c in idea.passages]
        return idea.model_copy(update={"url": link.url, "passages": marked})


def _topic_idea(topic: Topic, corpus: Corpus) -> WritingIdea:
    passages = [_near(corpus, place, topic) for place in topic.places[:SHOWN]]
    count = len(topic.places)
    called = ", ".join(dict.fromkeys(_called(passage) for passage in passages))
    more = f" and {count - len(passages)} more" if count > len(passages) else ""
    return _idea(
        "topic",
        topic.name,
        f"{count} texts touch it: {called}{more}. None is about it.",
        passages,
        topic.score,
    )


def _how_often(one: AskedQuestion) -> str:
    if one.asked == 1:
        return "Asked once, and declined"
    if one.declined:
        return f"Asked {one.asked} times, {one.declined} of them declined"
    return f"Asked {one.asked} times, and no text is about it"


def _near(corpus: Corpus, place: int, topic: Topic) -> Passage:
    near = min(max(float(corpus.vectors[place] @ topic.vector), 0.0), 1.0)
    return corpus.passages[place].model_copy(update={"score": near, "similarity": near})


def _idea(kind: IdeaKind, title: str, why: str, passages: list[Passage], score: float) -> WritingIdea:
    citations = [cited(number, passage) for number, passage in enumerate(passages, start=1)]
    return WritingIdea(kind=kind, title=title, why=why, passages=citations, score=float(score))


def _called(passage: Passage) -> str:
    return f"“{first_words(passage.title or passage.text, CALLED_WORDS, ' …')}”"
