"""Corpus: two text views, one copy of everything, and a split that nothing crosses."""

from collections import Counter
from pathlib import Path

import dagster as dg
import numpy as np

from twin_assets.core.hashing import text_hash
from twin_assets.core.publishing import PostLedger
from twin_assets.core.records import CleanedDocument, Record, SplitDocument, UniqueDocument
from twin_assets.core.row_file import RowFile
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.text.privacy import ALL_KINDS, mask
from twin_assets.defs.shared.common import CORPUS, OWNERS, personas, when_inputs_change
from twin_assets.defs.shared.metadata import bar_table, image, sample_table
from twin_assets.defs.shared.resources import Platform, records_result
from twin_assets.feature.corpus.cleaning.clean import clean_documents, leaks
from twin_assets.feature.corpus.duplicates.dedup import find_duplicates
from twin_assets.feature.corpus.ngrams import shared_ngrams
from twin_assets.feature.corpus.published import REASON, not_their_own
from twin_assets.feature.corpus.split import sides_of, split_corpus
from twin_assets.feature.corpus.warehouse import read_documents, read_library, read_some, read_turns
from twin_assets.feature.index.embed import CachedEmbedder
from twin_assets.feature.plots import PlottedDocument, clusters_plot, corpus_plot


class DroppedDocument(Record):
    """What the report says of a document that was left out."""

    reason: str
    title: str | None
    url: str
    begins: str


@dg.asset(
    deps=["documents"],
    partitions_def=personas,
    group_name=CORPUS,
    owners=OWNERS,
    kinds={"unstructured", "parquet"},
    code_version="8",
    automation_condition=when_inputs_change,
)
def cleaned_documents(
    context: dg.AssetExecutionContext, platform: Platform
) -> dg.MaterializeResult[RowFile[CleanedDocument]]:
    """Documents without boilerplate: `voice_text` to learn from, `search_text` to find by."""
    persona = platform.persona(context.partition_key)
    erased = erased_list(platform.lake, persona.name).documents
    warehouse = platform.settings.warehouse_path
    documents = (d for d in read_documents(warehouse, persona.name) if d.doc_id not in erased)
    cleaned = clean_documents(
        documents, persona.languages, persona.mask_personal_data, read_turns(warehouse, persona.name),
        platform.settings.data_runner,
    )  # fmt: skip
    published = not_their_own(cleaned.documents, PostLedger(platform.lake, persona.name).posts())
    theirs = cleaned.documents.without(published)
    plotted = [PlottedDocument(*values) for values in theirs.values(*PlottedDocument._fields)]
    dropped = cleaned.dropped | ({REASON: sorted(published)} if published else {})
    return records_result(
        theirs,
        {
            "documents": len(theirs),
            "words": sum(d.words for d in plotted),
            "questions_answered_in_talks": sum(len(found) for (found,) in theirs.values("exchanges")),
            "dropped": bar_table({reason: len(ids) for reason, ids in dropped.items()}, "reason"),
            "dropped_samples": _dropped_samples(warehouse, persona.name, dropped),
            "boilerplate_removed": bar_table(cleaned.removed, "kind"),
            "masked": bar_table(cleaned.masked, "kind"),
            "languages": bar_table(Counter(d.language or "unknown" for d in plotted), "language"),
            "sample": sample_table(theirs, ["title", "category", "words", "voice_text"]),
            "plot": image(corpus_plot(plotted)),
        },
    )


@dg.asset(
    deps=["documents"],
    partitions_def=personas,
    group_name=CORPUS,
    owners=OWNERS,
    kinds={"unstructured", "parquet"},
    code_version="3",
    automation_condition=when_inputs_change,
)
def library_documents(
    context: dg.AssetExecutionContext, platform: Platform
) -> dg.MaterializeResult[RowFile[SplitDocument]]:
    """Pages and papers of others that were added to the library: found and cited, never learnt from."""
    persona = platform.persona(context.partition_key)
    documents = read_library(platform.settings.warehouse_path, persona.name)
    cleaned = clean_documents(
        documents, persona.languages, persona.mask_personal_data, runner=platform.settings.data_runner
    )
    pages = RowFile[SplitDocument].of(
        SplitDocument(**d.model_dump(), cluster_id=d.doc_id, split="train") for d in cleaned.documents
    )
    return records_result(
        pages,
        {
            "documents": len(pages),
            "dropped": bar_table({reason: len(ids) for reason, ids in cleaned.dropped.items()}, "reason"),
            "sample": sample_table(pages, ["title", "words", "url"]),
        },
    )


def _embedder(platform: Platform) -> CachedEmbedder:
    """Whole documents, of which both deduplication and the split ask the vectors, and most are those of last time."""
    return CachedEmbedder(
        platform.embedder, platform.settings.cache_dir, runner=platform.settings.data_runner
    )


def _dropped_samples(warehouse: Path, persona: str, dropped: dict[str, list[str]]) -> dg.MetadataValue:
    """A few of each reason, with how they begin, so that a person can judge the filter."""
    reasons = {doc_id: reason for reason, ids in dropped.items() for doc_id in ids[:3]}
    shown = [
        DroppedDocument(
            reason=reasons[d.doc_id],
            title=d.title,
            url=d.url,
            begins=mask(d.body[:2_000], ALL_KINDS)[0],  # the raw body: nothing has masked it yet
        )
        for d in read_some(warehouse, persona, reasons)
    ]
    shown.sort(key=lambda one: one.reason)
    return sample_table(shown, ["reason", "title", "url", "begins"], n=30)


@dg.asset(
    partitions_def=personas,
    group_name=CORPUS,
    owners=OWNERS,
    kinds={"daft", "parquet"},
    code_version="3",
    automation_condition=when_inputs_change,
)
def unique_documents(
    context: dg.AssetExecutionContext, platform: Platform, cleaned_documents: RowFile[CleanedDocument]
) -> dg.MaterializeResult[RowFile[UniqueDocument]]:
    """One representative for each cluster of exact, near and semantic duplicates."""
    result = find_duplicates(
        cleaned_documents,
        _embedder(platform).embed,
        runner=platform.settings.data_runner,
        thresholds=platform.thresholds,
    )
    kinds = [c.kind for c in result.clusters]
    return records_result(
        result.documents,
        {
            "documents": len(result.documents),
            "removed": len(cleaned_documents) - len(result.documents),
            "clusters": bar_table({kind: kinds.count(kind) for kind in sorted(set(kinds))}, "kind"),
            "plot": image(
                clusters_plot(
                    {k: [len(c.members) for c in result.clusters if c.kind == k] for k in sorted(set(kinds))}
                )
            ),
            "sample": sample_table(result.clusters, ["kind", "similarity", "representative", "members"]),
        },
    )


@dg.asset(
    partitions_def=personas,
    group_name=CORPUS,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version="2",
    automation_condition=when_inputs_change,
)
def corpus_split(
    context: dg.AssetExecutionContext, platform: Platform, unique_documents: RowFile[UniqueDocument]
) -> dg.MaterializeResult[RowFile[SplitDocument]]:
    """Train and held-out sides, by document and cluster, before anything is generated from them."""
    store, key = FeatureStore(platform.lake), ("corpus_split", context.partition_key)
    last = store.load(*key, RowFile[SplitDocument]) if store.latest(*key) else ()
    split = split_corpus(
        unique_documents,
        _embedder(platform).embed,
        seed=platform.settings.seed,
        before=sides_of(last),
        thresholds=platform.thresholds,
        runner=platform.settings.data_runner,
    )
    sides = Counter(f"{d.split} {d.category}" for d in split.documents)
    return records_result(
        split.documents,
        {
            "documents": len(split.documents),
            "heldout": sum(n for side, n in sides.items() if side.startswith("heldout")),
            "sides": bar_table(sides, "side"),
            "contaminated": dg.MetadataValue.json(split.contaminated),
            "heldout_titles": dg.MetadataValue.json(
                [d.title or d.voice_text[:60] for d in split.documents if d.split == "heldout"]
            ),
        },
        # What was set aside is found and cited too, so a change of it is one for those who follow.
        beside={
            d.doc_id: text_hash(d.voice_text) for d in unique_documents if d.doc_id in split.contaminated
        },
    )


@dg.asset_check(
    asset=cleaned_documents,
    blocking=True,
    description="No secret, and no personal data that the persona masks, is in any cleaned text.",
)
def no_secrets(platform: Platform, cleaned_documents: RowFile[CleanedDocument]) -> dg.AssetCheckResult:
    leaked = Counter[str]()
    for name in {name for (name,) in cleaned_documents.values("persona")}:
        theirs = (d for d in cleaned_documents if d.persona == name)
        leaked += leaks(theirs, platform.persona(name).mask_personal_data, platform.settings.data_runner)
    return dg.AssetCheckResult(
        passed=not leaked,
        metadata={"documents": len(cleaned_documents), "found": bar_table(leaked, "kind")},
    )


@dg.asset_check(asset=corpus_split, blocking=True, description="No 13-gram is on both sides of the split.")
def no_shared_ngrams(corpus_split: RowFile[SplitDocument]) -> dg.AssetCheckResult:
    sides = np.array(
        ["" if c == "code" else s for c, s in corpus_split.values("category", "split")], dtype="U7"
    )
    train, heldout = (corpus_split.texts("voice_text", sides == side) for side in ("train", "heldout"))
    shared = shared_ngrams(train, heldout)
    return dg.AssetCheckResult(
        passed=not shared,
        metadata={"shared": len(shared), "examples": dg.MetadataValue.json(sorted(shared)[:5])},
    )
