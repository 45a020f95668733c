"""What a tokenisation of full-text search finds in a script: known-item search, words alone.

    python -m benchmarks.words FOLDER [--divider jieba] [--chunks 1000] [--queries 150]

FOLDER has one text a file (.txt, .md), of whichever language. A query is drawn from a passage, and has to find it among its
first ten: three words, one word, and a run of ten letters cut anywhere (of scripts with spaces: four words in a row). Words
are those of ICU's dictionaries, which our own column is made with; `--divider` takes another's, so that nobody is judged by
his own: jieba (Chinese), pythainlp (Thai) or janome (Japanese), of which none is a dependency. Prints recall@10 and MRR.
LanceDB is measured in a folder of its own; where TWIN_WEAVIATE_URL is set that Weaviate too, in a collection that is removed again.
Tokenisations that its server does not have are told.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa

from benchmarks.retrieval import documents
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.text.words import UNSPACED, has_unspaced, spaced, terms
from twin_assets.core.vectors.weaviate_connection import CONNECTIONS, server_of
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.settings import load_settings

FIRST, SPAN, WORDS_IN_A_ROW = 10, 10, 4
Divider = Callable[[str], list[str]]
Search = Callable[[str], list[int]]
_LETTER, _RUN = re.compile(f"[{UNSPACED}]"), re.compile(f"[{UNSPACED}]{{{SPAN + 2},}}")
# LanceDB's own, each with the column that it reads, and ours.
NGRAMS = {"base_tokenizer": "ngram", "stem": False, "remove_stop_words": False}
LANCE: dict[str, tuple[str, dict[str, object]]] = {
    "simple": ("text", {"base_tokenizer": "simple"}),
    "icu/split": ("text", {"base_tokenizer": "icu/split"}),
    "ngram 2": ("text", NGRAMS | {"ngram_min_length": 2, "ngram_max_length": 2}),
    "spaced, simple": ("spaced", {"base_tokenizer": "simple"}),
    "spaced, icu": ("spaced", {"base_tokenizer": "icu"}),
    "spaced, icu/split": ("spaced", {"base_tokenizer": "icu/split"}),
}
WEAVIATE = {
    "word": "text",
    "trigram": "text",
    "gse": "text",
    "kagome_ja": "text",
    "lowercase": "spaced",
}


def divider(name: str) -> Divider:
    if name == "jieba":
        import jieba

        return lambda text: list(jieba.lcut(text))
    if name == "pythainlp":
        from pythainlp import word_tokenize

        return lambda text: list(word_tokenize(text, engine="newmm"))
    if name == "janome":
        from janome.tokenizer import Tokenizer

        tokenizer = Tokenizer(wakati=True)
        return lambda text: [str(word) for word in tokenizer.tokenize(text)]
    return terms


def drawn(texts: list[str], divide: Divider | None, words: int, count: int) -> list[tuple[str, int]]:
    """Queries with the number of the passage that each was drawn from; without `divide` runs of letters."""
    rng, queries = np.random.default_rng(1), list[tuple[str, int]]()
    for n in rng.permutation(len(texts)):
        text = texts[n]
        if divide is None:
            pieces = _RUN.findall(text) if has_unspaced(text) else text.split()
            if len(pieces) < (1 if has_unspaced(text) else WORDS_IN_A_ROW):
                continue
            if has_unspaced(text):
                run = pieces[rng.integers(len(pieces))]
                start = rng.integers(len(run) - SPAN + 1)
                queries.append((run[start : start + SPAN], int(n)))
            else:
                start = rng.integers(len(pieces) - WORDS_IN_A_ROW + 1)
                queries.append((" ".join(pieces[start : start + WORDS_IN_A_ROW]), int(n)))
        else:
            least = 2 if words > 1 else 3
            distinct = sorted({word for word in divide(text) if _tells(word, has_unspaced(text), least)})
            if len(distinct) < 5:
                continue
            queries.append((" ".join(rng.choice(distinct, words, replace=False)), int(n)))
        if len(queries) == count:
            break
    return queries


def _tells(word: str, unspaced: bool, least: int) -> bool:
    if unspaced:
        return bool(_LETTER.search(word)) and len(word) >= least
    return word.isalpha() and len(word) >= 2 * least


def lance(texts: list[str]) -> Iterator[tuple[str, Search]]:
    rows = {"n": list(range(len(texts))), "text": texts, "spaced": [spaced(text) for text in texts]}
    with tempfile.TemporaryDirectory() as folder:
        table = lancedb.connect(folder).create_table("words", pa.table(rows))
        for name, (column, options) in LANCE.items():
            table.create_fts_index(column, replace=True, **options)

            def search(query: str, column: str = column) -> list[int]:
                asked = spaced(query) if column == "spaced" else query
                hits = table.search(asked, query_type="fts", fts_columns=[column]).select(["n", "_score"])
                return [int(n) for n in hits.limit(FIRST).to_arrow().column("n").to_pylist()]

            yield f"LanceDB {name}", search


def weaviate(texts: list[str]) -> Iterator[tuple[str, Search]]:
    from weaviate.classes.config import Configure, DataType, Property, Tokenization
    from weaviate.exceptions import WeaviateBaseError

    server = server_of(load_settings())
    CONNECTIONS.use(server)
    collections = CONNECTIONS.client(server).collections
    for name, column in WEAVIATE.items():
        collection = f"TwinBenchmarkWords{name.title().replace('_', '')}"
        collections.delete(collection)
        try:
            collections.create(
                collection,
                properties=[
                    Property(name="n", data_type=DataType.INT),
                    Property(name="text", data_type=DataType.TEXT, tokenization=Tokenization(name)),
                ],
                vector_config=Configure.Vectors.self_provided(),
            )
        except WeaviateBaseError as error:
            print(f"  Weaviate {name}: {' '.join(str(error).split())[:200]}")
            continue
        there = collections.use(collection)
        try:
            for start in range(0, len(texts), 200):
                some = enumerate(texts[start : start + 200], start)
                there.data.insert_many(
                    [{"n": n, "text": spaced(t) if column == "spaced" else t} for n, t in some]
                )

            def search(query: str, column: str = column, there: object = there) -> list[int]:
                asked = spaced(query) if column == "spaced" else query
                objects = there.query.bm25(asked, limit=FIRST, query_properties=["text"]).objects  # type: ignore[attr-defined]
                return [int(o.properties["n"]) for o in objects]

            yield f"Weaviate {'spaced, ' if column == 'spaced' else ''}{name}", search
        finally:
            collections.delete(collection)
    CONNECTIONS.release(server)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--divider", choices=["icu", "jieba", "pythainlp", "janome"], default="icu")
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=150)
    given = parser.parse_args()
    count_tokens = load_embedder("offline-minilm").count_tokens
    texts: dict[str, None] = {}
    all_documents = documents(given.folder)
    for n in np.random.default_rng(0).permutation(len(all_documents)):
        texts |= dict.fromkeys(chunk.text for chunk in chunk_documents([all_documents[n]], count_tokens))
        if len(texts) >= given.chunks:
            break
    passages = list(texts)[: given.chunks]
    divide = divider(given.divider)
    sets = {
        "3 words": drawn(passages, divide, 3, given.queries),
        "1 word": drawn(passages, divide, 1, given.queries),
        "a run": drawn(passages, None, 0, given.queries),
    }
    print(f"{given.folder.name}: {len(passages)} chunks, words of {given.divider}, "
          f"{', '.join(f'{len(queries)} queries of {name}' for name, queries in sets.items())}; recall@{FIRST} MRR ms")  # fmt: skip
    for stores in (lance, weaviate) if load_settings().weaviate_url else (lance,):
        for name, search in stores(passages):
            print(
                f"  {name:<28}" + "  ".join(_score(search, queries) for queries in sets.values()), flush=True
            )


def _score(search: Search, queries: list[tuple[str, int]]) -> str:
    began, ranks = time.perf_counter(), list[int]()
    for query, n in queries:
        hits = search(query)
        ranks.append(hits.index(n) + 1 if n in hits else 0)
    ms = (time.perf_counter() - began) / len(queries) * 1000
    found, mrr = (
        sum(values) / len(ranks) for values in ([r > 0 for r in ranks], [1 / r for r in ranks if r])
    )
    return f"{found:6.3f} {mrr:.3f} {ms:4.1f}"


if __name__ == "__main__":
    main()
