"""What each part of retrieval is worth: hit rate, MRR and time, with the part and without it.

    python -m benchmarks.retrieval [--corpus demo jessfraz-blog simonw-til] [--derived 60] [--documents 0]

Corpora are the demo persona's writing and, where ../shared/corpora is there (TWIN_CORPORA names another
folder), two real authors'. Questions are of two kinds. Written: by hand after reading, in other words than
the text's (benchmarks/questions, demo/writing/questions.yaml); the document is to be found. Derived: the
first sentence of a passage, without the words that its title and heading share with it, cut to ten words;
that passage is to be found, from an index in which the sentence is missing. Times are medians.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.hashing import text_hash
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.records import Chunk, SplitDocument
from twin_assets.core.text.front_matter import split_front_matter
from twin_assets.core.text.tokens import first_tokens
from twin_assets.core.vectors.lance import LanceStore
from twin_assets.feature.crawl.formats.values import as_time
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.inference.retrieval.retriever import Retriever
from twin_assets.settings import ROOT, load_settings

DEPTH, HIT_AT = 10, (1, 3, 5)
DERIVED_WORDS, FEWEST_DERIVED = 10, 6
SHOWN, BUDGETS = 2, (80, 150)
OFF = {"route": False, "self_query": False, "one_per_document": False, "compress": False, "rerank": "off"}
RUNS: dict[str, dict[str, object]] = {
    "meaning only": OFF | {"alpha": 1.0},
    "words only": OFF | {"alpha": 0.0},
    "hybrid": OFF,
    "hybrid, alpha 0.5": OFF | {"alpha": 0.5},
    "+ one a document": OFF | {"one_per_document": True},
    "+ self-query, routing": OFF | {"self_query": True, "route": True},
    "+ expansion": OFF | {"expand": True},
    "+ late interaction": OFF | {"rerank": "late_interaction"},
    "as by default": {"compress": False},
}


class Asked(NamedTuple):
    """A question and what answers it: a document's id, or a chunk's."""

    question: str
    target: str
    facts: tuple[str, ...] = ()


def documents(root: Path) -> list[SplitDocument]:
    """Every Markdown or text file of a folder; its path there is its id."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.suffix in (".md", ".txt")):
        fields, body = split_front_matter(path.read_text())
        body, title = body.strip(), fields.get("title")
        if not title and (heading := re.match(r"# (.+)\n", body)):
            title, body = heading.group(1), body[heading.end() :].strip()
        name = path.relative_to(root).as_posix()
        if not body:
            continue
        found.append(
            SplitDocument(
                persona="bench", source="web", category="article", doc_id=name, url=name, title=title,
                content_hash=text_hash(body), voice_text=body, search_text=body, words=len(body.split()), cluster_id=name,
                split="train", published_at=as_time(fields.get("date")),
            )
        )  # fmt: skip
    return found


def written(name: str, known: set[str]) -> list[Asked]:
    """The hand-written questions of a corpus that name a document there is."""
    path = (
        ROOT / "demo/writing/questions.yaml" if name == "demo" else ROOT / f"benchmarks/questions/{name}.yaml"
    )
    rows = [q for q in yaml.safe_load(path.read_text()) if q.get("source") in known]
    return [Asked(q["question"], q["source"], tuple(q.get("answer_facts", []))) for q in rows]


def derive(chunks: list[Chunk], count: int) -> tuple[list[Asked], list[Chunk]]:
    """Questions from first sentences, and the chunks without those sentences."""
    asked, cut = [], {}
    for n in np.random.default_rng(0).permutation(len(chunks)):
        chunk = chunks[n]
        first = re.match(r"[A-Z][^.!?\n]{40,300}[.!?]\s", chunk.text)
        if not first or len(chunk.text) < 2 * first.end() or "](" in first.group():
            continue
        context = {w.lower() for w in re.findall(r"\w+", f"{chunk.title} {chunk.heading}")}
        words = [w for w in first.group().split() if w.lower().strip(".,!?") not in context][:DERIVED_WORDS]
        if len(words) < FEWEST_DERIVED:
            continue
        asked.append(Asked(" ".join(words), chunk.chunk_id))
        cut[chunk.chunk_id] = chunk.model_copy(update={"text": chunk.text[first.end() :]})
        if len(asked) == count:
            break
    return asked, [cut.get(c.chunk_id, c) for c in chunks]


class Row(NamedTuple):
    """One line of the table: hit rates at HIT_AT, MRR, milliseconds."""

    hits: tuple[float, ...]
    mrr: float
    ms: float


def measure(retriever: Retriever, asked: list[Asked], options: RetrievalOptions, key: str) -> Row:
    ranks, took = [], []
    for question in asked:
        began = time.monotonic()
        found = retriever.find(question.question, DEPTH, options=options).passages
        took.append((time.monotonic() - began) * 1000)
        places = [n for n, p in enumerate(found, start=1) if getattr(p, key) == question.target]
        ranks.append(places[0] if places else 0)
    hits = tuple(sum(0 < r <= k for r in ranks) / len(ranks) for k in HIT_AT)
    return Row(hits, sum(1 / r for r in ranks if r) / len(ranks), float(np.median(took)))


def facts_shown(retriever: Retriever, asked: list[Asked], tokens: int, compress: bool) -> tuple[float, float]:
    """Share of facts in the first passages as a prompt carries them, and milliseconds of compression."""
    held, took = [], []
    for question in asked:
        found = retriever.find(question.question, SHOWN, tokens, RetrievalOptions(compress=compress))
        shown = " ".join(first_tokens(p.text, tokens) for p in found.passages)
        held += [fact.lower() in shown.lower() for fact in question.facts]
        took.append(found.steps_ms.get("compress", 0.0))
    return float(np.mean(held)), float(np.median(took))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", nargs="*", default=["demo", "jessfraz-blog", "simonw-til"])
    parser.add_argument("--derived", type=int, default=60)
    parser.add_argument(
        "--documents", type=int, default=0, help="take so many of a corpus, those asked about first; 0 is all"
    )
    arguments = parser.parse_args()
    corpora = Path(os.environ.get("TWIN_CORPORA", ROOT.parent / "shared" / "corpora"))
    embedder = load_embedder("offline-minilm")
    for name in arguments.corpus:
        root = ROOT / "demo" / "writing" if name == "demo" else corpora / name
        if not root.is_dir():
            print(f"{name}: no corpus at {root}")
            continue
        one_corpus(name, root, embedder, arguments.derived, arguments.documents)


def one_corpus(name: str, root: Path, embedder: Embedder, derived: int, most: int) -> None:
    known = documents(root)
    if most:
        wanted = {q.target for q in written(name, {d.doc_id for d in known})}
        known = sorted(known, key=lambda d: (d.doc_id not in wanted, d.content_hash))[:most]
    chunks = chunk_documents(known, embedder.count_tokens)
    by_hand = written(name, {d.doc_id for d in known})
    from_text, without = derive(chunks, derived)
    print(f"{name}: {len(known)} documents, {len(chunks)} chunks")
    with tempfile.TemporaryDirectory() as folder:

        def index(which: str, these: list[Chunk]) -> Retriever:
            store = LanceStore(folder, which)
            store.sync(embed_chunks(these, embedder, load_settings().cache_dir / "benchmark").chunks)
            return Retriever(store, embedder)

        retriever = index("whole", chunks)
        table(
            f"{len(by_hand)} written questions, the document",
            lambda o: measure(retriever, by_hand, o, "doc_id"),
        )
        if derived:
            other = index("cut", without)
            table(
                f"{len(from_text)} derived questions, the passage",
                lambda o: measure(other, from_text, o, "chunk_id"),
            )
        facts = [q for q in by_hand if q.facts]
        for tokens in BUDGETS if facts else ():
            (plain, _), (kept, took) = (facts_shown(retriever, facts, tokens, on) for on in (False, True))
            print(
                f"  facts in {SHOWN} passages of {tokens} tokens: first words {plain:.0%}, "
                f"compressed {kept:.0%} ({took:.0f} ms)"
            )


def table(title: str, run: Callable[[RetrievalOptions], Row]) -> None:
    print(f"  {title}")
    print(f"    {'':<24}" + "".join(f"{f'hit@{k}':>8}" for k in HIT_AT) + f"{'MRR':>8}{'ms':>8}")
    for label, switches in RUNS.items():
        row = run(RetrievalOptions.model_validate(switches))
        print(
            f"    {label:<24}" + "".join(f"{h:8.1%}" for h in row.hits) + f"{row.mrr:8.3f}{row.ms:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
