"""Topics that a corpus touches and never wrote about: how many of those offered does the author write about elsewhere?

    python -m benchmarks.ideas [AUTHOR ...] [--offered 20] [--passages 400] [--peers] [--show]

Of each author a third of the documents is kept back: the latest where they have dates (jessfraz-blog), else those that a hash of their
name chooses. From the others ideas are made. An idea comes true where a document that was kept back is about it: its words stand in
the document's title or a heading, or it is among the document's ten key phrases by TF-IDF and said three times there. Beside ours are noun phrases of several documents
drawn at random (the share of 200), and with --peers two kept libraries that name what a text is about, YAKE and KeyBERT
(`pip install yake keybert`; KeyBERT with the service's embedder and the first 100 words of each document). From all of them what was
written about already is taken out by the same rule, so that what is compared is what names topics.

Whether something was written already is looked at too: of the documents that ideas are made from, how many have their own first key
phrase, which is what they are about, among all topics that are found?

Authors are folders of ../shared/reality/authors and ../shared/corpora (TWIN_AUTHORS names others). --show prints what is offered.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.authors import author_folders
from benchmarks.retrieval import documents
from twin_assets.core.embedding.embedder import Embedder, load_embedder, search_view
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.hashing import hash_share
from twin_assets.core.records import Passage, SplitDocument
from twin_assets.core.text.words import first_words
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import CachedEmbedder
from twin_assets.feature.instruct.keyphrases import KeyPhrases
from twin_assets.inference.ideas.corpus import Corpus, WrittenAbout, stem, stems
from twin_assets.inference.ideas.topics import ABOUT_MENTIONS, find_topics, touched_phrases
from twin_assets.settings import load_settings

KEPT_BACK = 1 / 3
SAID, KEYS = 3, 10  # times, and key phrases, of a document that is about it
DRAWS = 200
PEER_WORDS, PEER_PHRASES = 100, 400
AUTHORS = ["jessfraz-blog", "brandur", "matklad", "skeeto"]


def divided(found: list[SplitDocument]) -> tuple[list[SplitDocument], list[SplitDocument]]:
    """Documents that ideas are made from, and those that are kept back."""
    if all(document.published_at for document in found):
        ordered = sorted(found, key=lambda one: (one.published_at, one.doc_id))
    else:
        ordered = sorted(found, key=lambda one: hash_share(one.doc_id))
    first = round(len(ordered) * (1 - KEPT_BACK))
    return ordered[:first], ordered[first:]


def corpus_of(found: list[SplitDocument], embedder: Embedder) -> Corpus:
    chunks = chunk_documents(found, embedder.count_tokens)
    cached = CachedEmbedder(embedder, load_settings().cache_dir / "benchmark", lambda line: None)
    fields = set(Passage.model_fields)
    passages = [Passage(**chunk.model_dump(include=fields), score=0.0) for chunk in chunks]
    return Corpus(passages, cached.embed([search_view(chunk) for chunk in chunks]))


class KeptBack:
    """What the documents that were kept back are about."""

    def __init__(self, kept_back: list[SplitDocument], everything: list[SplitDocument]) -> None:
        keys = KeyPhrases([document.voice_text for document in everything])
        self._names: list[frozenset[str]] = []
        self._keys: list[tuple[str, list[frozenset[str]]]] = []
        for one in kept_back:
            names = [one.title or "", *re.findall(r"^#+ (.+)$", one.voice_text, re.M)]
            self._names += [found for name in names if (found := stems(name))]
            self._keys.append((one.voice_text, [stems(key) for key in keys.top(one.voice_text, KEYS)]))

    def has(self, phrase: str) -> bool:
        """Whether one of them is about it."""
        words = stems(phrase)
        if not words:
            return False
        if any(words <= name for name in self._names):
            return True
        parts = (re.escape(stem(word.lower())) for word in phrase.split())
        said = re.compile(r"\b" + r"\W+".join(parts) + r"(?:s|es)?\b", re.I)
        return any(
            any(words <= key for key in keys) and len(said.findall(text)) >= SAID for text, keys in self._keys
        )


def yake_phrases(found: list[SplitDocument]) -> list[str]:
    import yake

    extractor = yake.KeywordExtractor(n=3, top=PEER_PHRASES)
    return [phrase for phrase, _ in extractor.extract_keywords("\n\n".join(d.voice_text for d in found))]


def keybert_phrases(found: list[SplitDocument], embedder: Embedder) -> list[str]:
    from keybert import KeyBERT
    from keybert.backend import BaseEmbedder

    class Ours(BaseEmbedder):
        def embed(self, documents: list[str], verbose: bool = False) -> np.ndarray:
            return embedder.embed(list(documents))

    model, total = KeyBERT(model=Ours()), Counter[str]()
    for document in found:
        text = first_words(document.voice_text, PEER_WORDS)
        for phrase, score in model.extract_keywords(
            text, keyphrase_ngram_range=(1, 2), stop_words="english", top_n=10
        ):
            total[phrase] += score
    return [phrase for phrase, _ in total.most_common(PEER_PHRASES)]


def unwritten(phrases: list[str], written: WrittenAbout, corpus: Corpus, embedder: Embedder) -> list[str]:
    """Those that nothing was written about, by the rules that hold for ours: a title has it, or a document says it throughout."""
    texts = [
        " ".join(corpus.passages[p].text for p in places).lower() for places in corpus.documents.values()
    ]
    done = written.which(phrases, embedder.embed(phrases))
    return [
        phrase
        for phrase, old in zip(phrases, done, strict=True)
        if not old and max(text.count(phrase.lower()) for text in texts) < ABOUT_MENTIONS
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ideas", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("authors", nargs="*", default=AUTHORS)
    parser.add_argument("--offered", type=int, default=20)
    parser.add_argument("--passages", type=int, default=400, help="made ideas from, at most so many")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args(arguments)
    embedder = load_embedder("offline-minilm")
    folders = {path.name: path for path in author_folders()}
    for name in args.authors:
        if name not in folders:
            raise SystemExit(f"There is no author {name!r}. Fix: name some of {', '.join(sorted(folders))}.")
        measure(name, folders[name], embedder, args)


def measure(name: str, folder: Path, embedder: Embedder, args: argparse.Namespace) -> None:
    first, kept_back = divided(documents(folder))
    while len(chunk_documents(first, embedder.count_tokens)) > args.passages:
        first = first[len(first) // 10 + 1 :]  # the latest stay
    corpus, about = corpus_of(first, embedder), KeptBack(kept_back, [*first, *kept_back])
    written = WrittenAbout(corpus, embedder.embed, OFFLINE_MINILM.same_subject)
    began = time.monotonic()
    ours = [topic.name for topic in find_topics(corpus, embedder.embed, written)]
    took = time.monotonic() - began
    print(
        f"\n{name}: {len(first)} documents ({len(corpus.passages)} passages), {len(kept_back)} kept back; {took:.1f} s"
    )
    ways: dict[str, Callable[[], list[str]]] = {"ours": lambda: ours}
    if args.peers:
        ways["YAKE"] = lambda: unwritten(yake_phrases(first), written, corpus, embedder)
        ways["KeyBERT"] = lambda: unwritten(keybert_phrases(first, embedder), written, corpus, embedder)
    for way, phrases in ways.items():
        offered = phrases()[: args.offered]
        true = [phrase for phrase in offered if about.has(phrase)]
        print(f"  {way}: {len(true)} of {len(offered)} come true")
        if args.show:
            print("    " + "; ".join(f"{p}*" if p in true else p for p in offered))
    others = unwritten(touched_phrases(corpus), written, corpus, embedder)
    sample = _sample(others)
    true_of_all = sum(about.has(phrase) for phrase in sample)
    print(
        f"  drawn at random of {len(others)} phrases: {args.offered * true_of_all / max(len(sample), 1):.1f} of {args.offered}"
    )
    found = {stems(name) for name in ours}
    keys = KeyPhrases([document.voice_text for document in first])
    own = [key for document in first for key in keys.top(document.voice_text, 1)]
    print(
        f"  documents whose own first key phrase is offered: {sum(stems(one) in found for one in own)} of {len(own)}"
    )


def _sample(phrases: list[str]) -> list[str]:
    order = np.random.default_rng(0).permutation(len(phrases))[:DRAWS]
    return [phrases[place] for place in order]


if __name__ == "__main__":
    main()
