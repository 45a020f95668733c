"""Index: chunks, their vectors, and the vector store synced to them by difference."""

from collections import Counter
from contextlib import closing
from itertools import chain

import dagster as dg

from twin_assets.core.records import Chunk, EmbeddedChunk, SplitDocument, UniqueDocument, set_aside, to_table
from twin_assets.core.row_file import RowFile, table_version
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.vectors import open_store
from twin_assets.core.vectors.findable import findable
from twin_assets.defs.shared.common import INDEX, OWNERS, personas, when_changed, when_inputs_change
from twin_assets.defs.shared.metadata import bar_table, image, sample_table
from twin_assets.defs.shared.resources import Platform, records_result
from twin_assets.defs.shared.retries import retried_when_away
from twin_assets.feature.index.chunk import chunks_of
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.feature.plots import vectors_plot


@dg.asset(
    partitions_def=personas,
    group_name=INDEX,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="3",
    # The unique documents change first, their split soon after, and it says what of them was set aside.
    automation_condition=when_changed("corpus_split", "library_documents"),
)
def chunks(
    context: dg.AssetExecutionContext,
    platform: Platform,
    unique_documents: RowFile[UniqueDocument],
    corpus_split: RowFile[SplitDocument],
    library_documents: RowFile[SplitDocument],
) -> dg.MaterializeResult[RowFile[Chunk]]:
    """Passages by category: posts whole, articles by section, code by function; the library's among them, and those of
    documents that the split set aside."""
    documents = chain(corpus_split, set_aside(unique_documents, corpus_split), library_documents)
    made = RowFile[Chunk].of(chunks_of(documents, platform.embedder.count_tokens))
    categories = Counter(category for (category,) in made.values("category"))
    return records_result(
        made,
        {
            "chunks": len(made),
            "tokens": sum(tokens for (tokens,) in made.values("tokens")),
            "categories": bar_table(categories, "category"),
            "sample": sample_table(made, ["title", "heading", "tokens", "text"]),
        },
    )


@dg.asset(
    partitions_def=personas,
    group_name=INDEX,
    owners=OWNERS,
    kinds={"huggingface", "parquet"},
    code_version="1",
    automation_condition=when_inputs_change,
)
def embeddings(
    context: dg.AssetExecutionContext, platform: Platform, chunks: list[Chunk]
) -> dg.MaterializeResult[RowFile[EmbeddedChunk]]:
    """Chunks with unit vectors; only texts never seen before are computed."""
    embedder = platform.embedder
    settings = platform.settings
    result = embed_chunks(chunks, embedder, settings.cache_dir, context.log.info, settings.data_runner)
    return records_result(
        RowFile[EmbeddedChunk].of(result.chunks),
        {
            "chunks": len(result.chunks),
            "computed": result.computed,
            "reused": result.reused,
            "dimensions": embedder.dimensions,
            "embedder": f"{embedder.name} ({embedder.fingerprint})",
            "map": image(vectors_plot(result.chunks)),
        },
    )


@dg.asset(
    partitions_def=personas,
    group_name=INDEX,
    owners=OWNERS,
    kinds={"lancedb", "weaviate"},
    code_version="3",
    automation_condition=when_inputs_change,
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=[
        dg.AssetCheckSpec(
            "index_equals_corpus",
            asset="vector_index",
            blocking=True,
            description="Same chunks, and a sample is found.",
        )
    ],
)
@retried_when_away
def vector_index(
    context: dg.AssetExecutionContext, platform: Platform, embeddings: list[EmbeddedChunk]
) -> dg.MaterializeResult:
    """The persona's vector store, holding exactly these chunks."""
    with closing(open_store(platform.settings, context.partition_key)) as store:
        report = store.sync(embeddings)
        erased = erased_list(platform.lake, context.partition_key).documents
        if any(chunk.doc_id in erased for chunk in embeddings):  # erased while this ran
            store.erase(erased)
            embeddings = [chunk for chunk in embeddings if chunk.doc_id not in erased]
        count, embedder, found = store.count(), str(store.fingerprint()), findable(store, embeddings)
    return dg.MaterializeResult(
        value=report,
        metadata=report.model_dump() | {"count": count, "embedder": embedder},
        check_results=[
            dg.AssetCheckResult(
                check_name="index_equals_corpus",
                passed=count == len(embeddings) and found.good,
                metadata={"index": count, "corpus": len(embeddings)} | found._asdict(),
            )
        ],
        data_version=dg.DataVersion(table_version(to_table(embeddings, EmbeddedChunk))),
    )
