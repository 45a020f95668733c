"""Datasets: immutable versions of instruct and preference data."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.datasets.rows import (
    DOCUMENTS,
    THUMBS,
    InstructRow,
    Kind,
    Manifest,
    Side,
    ThumbRow,
    dataset_folder,
)
from twin_assets.core.datasets.store import latest_version, read_rows, write_dataset
from twin_assets.core.embedding.embedder import remembering
from twin_assets.core.hashing import fingerprint
from twin_assets.core.prompts.templates import prompts_fingerprint
from twin_assets.core.records import EmbeddedChunk, SplitDocument, to_table
from twin_assets.core.row_file import table_version
from twin_assets.defs.datasets.feedback import accepted_rows, accepted_thumbs
from twin_assets.defs.datasets.rejected import Instruments, Told, how_much_worse
from twin_assets.defs.datasets.requests import ask_for_requests, somebody_writes
from twin_assets.defs.shared.code_versions import dataset_version
from twin_assets.defs.shared.common import DATASETS, OWNERS, personas, when_changed
from twin_assets.defs.shared.metadata import bar_table, image, sample_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.shared.retries import retried_when_away
from twin_assets.feature.instruct.build import (
    RowSource,
    describe_rows,
    may_be_learnt,
)
from twin_assets.feature.plots import lengths_plot
from twin_assets.feature.preference.build import build_preference_rows, select_pair_prompts
from twin_assets.feature.preference.length_balance import LengthBalance, length_balance, words_of
from twin_assets.inference.generation.batches import generate_all
from twin_assets.inference.generation.local import LocalGenerator

REJECTED_TEMPERATURE = 0.9


@dg.asset(
    partitions_def=personas,
    group_name=DATASETS,
    owners=OWNERS,
    kinds={"python", "jsonl"},
    code_version=dataset_version("5"),
    # The split changes first, its embeddings soon after: built between the two, a dataset would be stale.
    automation_condition=when_changed("embeddings"),
)
@retried_when_away
def instruct_dataset(
    context: dg.AssetExecutionContext,
    platform: Platform,
    corpus_split: list[SplitDocument],
    embeddings: list[EmbeddedChunk],
) -> dg.MaterializeResult[Manifest]:
    """Conversations that end with the author's own text, as an immutable version."""
    persona = platform.persona(context.partition_key)
    settings, profile = platform.settings, platform.profile
    # Others' words are no target, nor is what the split set aside.
    doc_ids = {document.doc_id for document in corpus_split}
    embeddings = [chunk for chunk in embeddings if chunk.doc_id in doc_ids]
    embed = remembering(platform.embedder.embed)  # rows are made twice where somebody is asked for requests
    source = RowSource(corpus_split, embeddings, persona, profile, settings.seed, embed, platform.thresholds)
    planned, teaching = list[InstructRow](), None
    if somebody_writes(settings, profile, persona):
        planned = source.plan()
        learnt = may_be_learnt(corpus_split, persona)
        teaching = ask_for_requests(platform, learnt, planned, context.log.info)
    built = source.build(teaching.lessons if teaching else {}, planned)
    parents = {
        "corpus_split": table_version(to_table(corpus_split, SplitDocument)),
        # Not the vectors themselves: their last bits differ from one CPU to another.
        "embeddings": fingerprint([[c.chunk_id, c.content_hash, c.embedder] for c in embeddings], 16),
        "profile": profile.name,
        "teacher": teaching.model if teaching else "none",
    }
    dropped = built.dropped | (teaching.dropped if teaching else {})
    documents = list[InstructRow]()
    if settings.continued_pretraining_tokens:
        read = source.documents_to_read(settings.continued_pretraining_tokens)
        documents, dropped = read.rows, dropped | read.dropped
    result = _store(platform, persona.name, "instruct", built.rows, dropped, parents, documents=documents)
    about = teaching.model_dump(include={"model", "asked", "cached", "estimate", "cost"}) if teaching else {}
    fields = ["reason", "task", "asked", "answer"]
    more = {
        "dropped_samples": sample_table(built.samples, fields, n=len(built.samples)),
        "teacher": dg.MetadataValue.json(about),
    }
    return result._replace(metadata={**(result.metadata or {}), **more})


@dg.asset(
    deps=["instruct_dataset"],
    partitions_def=personas,
    group_name=DATASETS,
    owners=OWNERS,
    kinds={"huggingface", "jsonl"},
    code_version=dataset_version("3", pairs=True),
    dagster_type=dg.Any,  # with check specs Dagster can't read it off the annotation
    check_specs=[
        dg.AssetCheckSpec(
            "rejected_is_worse",
            asset="preference_dataset",
            description="In voice, and of grounding pairs in support, the rejected texts are surely worse than the chosen.",
        )
    ],
)
@retried_when_away
def preference_dataset(
    context: dg.AssetExecutionContext,
    platform: Platform,
    instruct_dataset: Manifest,
    sft_model: str,
    corpus_split: list[SplitDocument],
) -> dg.MaterializeResult:
    """Pairs: chosen is the author's verbatim text, rejected the worst of what the SFT model writes: of voice, of declining
    what the corpus can't answer, and of keeping to the passages. Where the persona consents, reviewed feedback too."""
    persona, seed, profile = platform.persona(context.partition_key), platform.settings.seed, platform.profile
    shares = profile.max_kind_shares
    rows = rows_of(platform, instruct_dataset, "train")
    prompts = select_pair_prompts(rows, profile.preference_pairs, shares, seed)
    count = profile.preference_samples
    context.log.info(f"writing {len(prompts)} rejected answers, {count} samples of each, by {sft_model}")
    generator = LocalGenerator.of(platform.registry, sft_model)
    # All samples in one call: a call ends with its longest text, and rows that are done wait for it.
    asked = [prompt for prompt in prompts for _ in range(count)]
    texts = generate_all(
        generator,
        [prompt.conversation for prompt in asked],
        [min(prompt.max_tokens, profile.answer_tokens) for prompt in asked],
        temperature=REJECTED_TEMPERATURE,
        seed=seed,
        on_progress=context.log.info,
    )
    drawn = [texts[at : at + count] for at in range(0, len(texts), count)]
    instruments = Instruments(platform, persona, corpus_split) if count > 1 else None
    measure = instruments.measure if instruments else None
    built = build_preference_rows(prompts, drawn, persona, shares, seed, measure)
    parents = {"instruct": instruct_dataset.version, "rejected_by": sft_model}
    said = accepted_rows(platform, persona, len(built.rows))
    rows = [*built.rows, *said]
    thumbs = accepted_thumbs(platform, persona, 2 * len(built.rows))
    if said or thumbs:
        parents["feedback"] = fingerprint([*(r.row_id for r in said), *(r.row_id for r in thumbs)])
    result = _store(platform, persona.name, "preference", rows, built.dropped, parents, thumbs)
    balance = length_balance(rows)
    clouds = {b.kind: words_of([r for r in rows if r.kind == b.kind]) for b in balance[1:]}
    more = {
        "kinds": bar_table(result.value.kinds, "kind"),
        "lengths": sample_table(balance, [*LengthBalance.model_fields]),
        "plot": image(lengths_plot(clouds)),
    }
    told: list[Told] = []
    if instruments and built.rows:
        chosen = [(p, row.chosen.content) for (p, _), row in zip(built.rejected, built.rows, strict=True)]
        samples, rejected, author = map(instruments.measure, (built.samples, built.rejected, chosen))
        told = how_much_worse(samples, rejected, author, seed)
        more["rejected_is_worse"] = sample_table(told, [*Told.model_fields])
    return result._replace(
        metadata={**(result.metadata or {}), **more}, check_results=[_rejected_is_worse(told)]
    )


def _rejected_is_worse(told: list[Told]) -> dg.AssetCheckResult:
    """Only warns: how many samples a profile affords decides, and DPO is held against SFT in the evaluation."""
    asked = [one for one in told if one.measure in ("voice", "support")]
    alike = [one.measure for one in asked if one.low <= 0]
    return dg.AssetCheckResult(
        check_name="rejected_is_worse",
        passed=not alike,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"measured": [one.measure for one in asked], "not_surely_worse": alike},
    )


def _store(
    platform: Platform,
    persona: str,
    kind: Kind,
    rows: list[Any],
    dropped: dict[str, int],
    parents: dict[str, str],
    thumbs: Sequence[ThumbRow] = (),
    documents: Sequence[InstructRow] = (),
) -> dg.MaterializeResult[Manifest]:
    declared = platform.persona(persona)
    last = latest_version(platform.lake, persona, kind)
    manifest = write_dataset(
        platform.lake,
        persona,
        kind,
        rows,
        parents=parents,
        prompts=prompts_fingerprint(),
        dropped=dropped,
        seed=platform.settings.seed,
        license=declared.license,
        visibility=declared.visibility,
        summary=_summary(declared.full_name, rows),
        thumbs=thumbs,
        documents=documents,
    )
    return dg.MaterializeResult(
        value=manifest,
        metadata={
            "version": manifest.version,
            "train": manifest.counts["train"],
            "test": manifest.counts["test"],
            "thumbs": manifest.counts.get(THUMBS, 0),
            "documents": manifest.counts.get(DOCUMENTS, 0),
            "tasks": bar_table(manifest.tasks, "task"),
            "visibility": manifest.visibility,
            "rows_by_visibility": bar_table(manifest.visibilities, "visibility"),
            "dropped": bar_table(manifest.dropped, "reason"),
            "subsets": dg.MetadataValue.json(manifest.subsets),
            "since_last_version": _difference(platform, manifest, last),
            "sample": dg.MetadataValue.md(describe_rows(rows, 3)),
            "folder": dg.MetadataValue.path(
                platform.lake.uri(dataset_folder(persona, kind, manifest.version))
            ),
        },
        data_version=dg.DataVersion(manifest.version),
    )


def _summary(author: str, rows: list[Any]) -> str:
    told = sum(getattr(row, "kind", "") == "feedback" for row in rows)
    but = (
        f", but for {told} of kind `feedback`, which readers wrote or liked and a person accepted"
        if told
        else ""
    )
    return f"Written by {author}; every answer is their own text{but}."


def _difference(platform: Platform, manifest: Manifest, last: str | None) -> dg.MetadataValue:
    if last is None or last == manifest.version:
        return dg.MetadataValue.md("the first version" if last is None else "the same version as before")
    diff = diff_versions(platform.lake, manifest.persona, manifest.kind, last, manifest.version)
    counts = f"{diff.added} added, {diff.removed} removed, {diff.changed} changed, {diff.unchanged} unchanged"
    table = sample_table(diff.samples, ["change", "task", "asked", "before", "after"], n=15)
    return dg.MetadataValue.md(f"since {last}: {counts}\n\n{table.value}")


def rows_of(platform: Platform, manifest: Manifest, *sides: Side) -> list[Any]:
    """Rows of the named sides of a version."""
    where = (platform.lake, manifest.persona, manifest.kind, manifest.version)
    return [row for side in sides for row in read_rows(*where, side)]
