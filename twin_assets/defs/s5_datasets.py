"""Datasets: immutable versions of instruct and preference data, checked before anyone trains on them."""

from collections import Counter
from typing import Any, Literal

import dagster as dg

from twin_assets.core.dataset_diff import diff_versions
from twin_assets.core.datasets import (
    Kind,
    Manifest,
    dataset_folder,
    latest_version,
    read_manifest,
    read_rows,
    write_dataset,
)
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.hub import publish_dataset
from twin_assets.core.prompts import prompts_fingerprint
from twin_assets.core.records import EmbeddedChunk, SplitDocument, to_table
from twin_assets.defs.common import DATASETS, OWNERS, personas, when_changed
from twin_assets.defs.metadata import bar_table, sample_table
from twin_assets.defs.resources import Platform, table_version
from twin_assets.feature.instruct import (
    build_instruct_rows,
    describe_rows,
    passages_to_teach,
    unverifiable_rows,
)
from twin_assets.feature.near_heldout import holds_any, texts_near_heldout
from twin_assets.feature.preference import (
    build_preference_rows,
    mean_words,
    select_preference_prompts,
)
from twin_assets.feature.shares import over_share
from twin_assets.feature.split import shared_ngrams
from twin_assets.feature.teacher import Teacher
from twin_assets.inference.generation import LocalGenerator

PREFERENCE_PROMPTS = 64
REJECTED_TEMPERATURE = 0.9


@dg.asset(
    partitions_def=personas,
    group_name=DATASETS,
    owners=OWNERS,
    kinds={"python", "jsonl"},
    code_version="1",
    # The split changes first, its embeddings soon after: built between the two, a dataset would be stale.
    automation_condition=when_changed("embeddings"),
)
def instruct_dataset(
    context: dg.AssetExecutionContext,
    platform: Platform,
    corpus_split: list[SplitDocument],
    embeddings: list[EmbeddedChunk],
) -> dg.MaterializeResult[Manifest]:
    """Conversations that end with the author's own text, as an immutable version."""
    persona = platform.persona(context.partition_key)
    settings, profile = platform.settings, platform.profile
    teaching = None
    if settings.teacher_model:
        passages = passages_to_teach(corpus_split, profile)
        teaching = Teacher(settings, context.log.info).teach(passages)
    lessons = teaching.lessons if teaching else {}
    built = build_instruct_rows(corpus_split, embeddings, persona, profile, settings.seed, lessons)
    parents = {
        "corpus_split": table_version(to_table(corpus_split, SplitDocument)),
        # Not the vectors themselves: their last bits differ from one CPU to another.
        "embeddings": fingerprint([[c.chunk_id, c.content_hash, c.embedder] for c in embeddings], 16),
        "profile": profile.name,
        "teacher": settings.teacher_model or "none",
    }
    dropped = built.dropped | (teaching.dropped if teaching else {})
    result = _store(platform, persona.name, "instruct", built.rows, dropped, parents)
    about = teaching.model_dump(include={"asked", "cached", "estimate", "cost"}) if teaching else {}
    return result._replace(metadata={**(result.metadata or {}), "teacher": dg.MetadataValue.json(about)})


@dg.asset(
    deps=["instruct_dataset"],
    partitions_def=personas,
    group_name=DATASETS,
    owners=OWNERS,
    kinds={"huggingface", "jsonl"},
    code_version="1",
)
def preference_dataset(
    context: dg.AssetExecutionContext, platform: Platform, instruct_dataset: Manifest, sft_model: str
) -> dg.MaterializeResult[Manifest]:
    """Pairs: chosen is the author's verbatim text, rejected what the SFT model writes for the same prompt."""
    persona, seed, profile = platform.persona(context.partition_key), platform.settings.seed, platform.profile
    rows = _rows(platform, instruct_dataset, "train")
    prompts = select_preference_prompts(rows, PREFERENCE_PROMPTS, seed)
    context.log.info(f"writing {len(prompts)} rejected answers with {sft_model}")
    generator = LocalGenerator(platform.registry.get(sft_model).path, sft_model)
    written = generator.generate(
        [row.messages[:-1] for row in prompts],
        max_tokens=profile.answer_tokens, temperature=REJECTED_TEMPERATURE, seed=seed,
    )  # fmt: skip
    built = build_preference_rows(prompts, [g.text for g in written], seed)
    parents = {"instruct": instruct_dataset.version, "rejected_by": sft_model}
    result = _store(platform, persona.name, "preference", built.rows, built.dropped, parents)
    lengths = mean_words(built.rows)
    return result._replace(metadata={**(result.metadata or {}), "mean_words": dg.MetadataValue.json(lengths)})


def _store(
    platform: Platform,
    persona: str,
    kind: Kind,
    rows: list[Any],
    dropped: dict[str, int],
    parents: dict[str, str],
) -> dg.MaterializeResult[Manifest]:
    declared = platform.persona(persona)
    last = latest_version(platform.lake, persona, kind)
    manifest = write_dataset(
        platform.lake, persona, kind, rows, parents=parents, prompts=prompts_fingerprint(), dropped=dropped,
        seed=platform.settings.seed, license=declared.license, visibility=declared.visibility,
        summary=f"Written by {declared.full_name}; every answer is their own text.",
    )  # fmt: skip
    return dg.MaterializeResult(
        value=manifest,
        metadata={
            "version": manifest.version,
            "train": manifest.counts["train"],
            "test": manifest.counts["test"],
            "tasks": bar_table(manifest.tasks, "task"),
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


def _difference(platform: Platform, manifest: Manifest, last: str | None) -> dg.MetadataValue:
    if last is None or last == manifest.version:
        return dg.MetadataValue.md("the first version" if last is None else "the same version as before")
    found = diff_versions(platform.lake, manifest.persona, manifest.kind, last, manifest.version)
    counts = (
        f"{found.added} added, {found.removed} removed, {found.changed} changed, {found.unchanged} unchanged"
    )
    table = sample_table(found.samples, ["change", "task", "asked", "before", "after"], n=15)
    return dg.MetadataValue.md(f"since {last}: {counts}\n\n{table.value}")


@dg.asset_check(asset=instruct_dataset, description="No kind of task has more than its share.")
def shares_within_limits(platform: Platform, instruct_dataset: Manifest) -> dg.AssetCheckResult:
    tasks = Counter(row.task for row in _rows(platform, instruct_dataset, "train"))
    over = over_share(tasks, platform.profile.max_shares)
    # A corpus that is nearly all of one kind is small, not wrong.
    return dg.AssetCheckResult(
        passed=not over, severity=dg.AssetCheckSeverity.WARN, metadata={"over": dg.MetadataValue.json(over)}
    )


@dg.asset_check(
    asset=instruct_dataset,
    additional_ins={"documents": dg.AssetIn("corpus_split")},
    blocking=True,
    description="Every answer is the author's text, to the letter.",
)
def answers_are_verbatim(
    platform: Platform, instruct_dataset: Manifest, documents: list[SplitDocument]
) -> dg.AssetCheckResult:
    rows = _rows(platform, instruct_dataset, "train", "test")
    wrong = unverifiable_rows(rows, documents)
    return dg.AssetCheckResult(passed=not wrong, metadata={"rows": len(rows), "not_verbatim": len(wrong)})


@dg.asset_check(
    asset=instruct_dataset,
    additional_ins={"documents": dg.AssetIn("corpus_split")},
    blocking=True,
    description="No 13-gram of a held-out document is in a training row.",
)
def no_heldout_text_in_train(
    platform: Platform, instruct_dataset: Manifest, documents: list[SplitDocument]
) -> dg.AssetCheckResult:
    rows = _rows(platform, instruct_dataset, "train")
    heldout = [d.voice_text for d in documents if d.split == "heldout" and d.category != "code"]
    # What every row shares (the persona's description, the prompts) is no leak: leave the system turn out.
    texts = [m.content for row in rows for m in row.messages if m.role != "system"]
    shared = shared_ngrams(texts, heldout)
    return dg.AssetCheckResult(
        passed=not shared,
        metadata={"shared": len(shared), "examples": dg.MetadataValue.json(sorted(shared)[:5])},
    )


@dg.asset_check(
    asset=instruct_dataset,
    additional_ins={"chunks": dg.AssetIn("embeddings")},
    blocking=True,
    description="No training answer says nearly what a held-out passage says.",
)
def no_heldout_meaning_in_train(
    platform: Platform, instruct_dataset: Manifest, chunks: list[EmbeddedChunk]
) -> dg.AssetCheckResult:
    rows = _rows(platform, instruct_dataset, "train")
    near = texts_near_heldout(chunks)
    wrong = [row.row_id for row in rows if holds_any(row, near)]
    return dg.AssetCheckResult(passed=not wrong, metadata={"passages": len(near), "rows": len(wrong)})


@dg.asset_check(
    asset=preference_dataset,
    additional_ins={"instruct_dataset": dg.AssetIn("instruct_dataset")},
    blocking=True,
    description="Every chosen answer is an answer of the instruct dataset, to the letter.",
)
def chosen_is_verbatim(
    platform: Platform, preference_dataset: Manifest, instruct_dataset: Manifest
) -> dg.AssetCheckResult:
    answers = {
        fingerprint(row.messages[-1].content) for row in _rows(platform, instruct_dataset, "train", "test")
    }
    rows = _rows(platform, preference_dataset, "train", "test")
    wrong = [row.row_id for row in rows if fingerprint(row.chosen.content) not in answers]
    return dg.AssetCheckResult(passed=not wrong, metadata={"rows": len(rows), "not_verbatim": len(wrong)})


def _rows(platform: Platform, manifest: Manifest, *sides: Literal["train", "test"]) -> list[Any]:
    """Rows of the named sides of a version."""
    where = (platform.lake, manifest.persona, manifest.kind, manifest.version)
    return [row for side in sides for row in read_rows(*where, side)]


class PublishConfig(dg.Config):
    """Which dataset to publish; the latest version unless one is named."""

    persona: str
    kind: Literal["instruct", "preference"] = "instruct"
    version: str | None = None


@dg.op
def push_to_hub(context: dg.OpExecutionContext, config: PublishConfig, platform: Platform) -> None:
    """Upload one dataset version to the Hugging Face Hub, as private as the persona's writing."""
    version = config.version or latest_version(platform.lake, config.persona, config.kind)
    try:
        manifest = read_manifest(platform.lake, config.persona, config.kind, version or "")
    except KeyError:
        raise TwinError(
            f"{config.persona} has no {config.kind} dataset {version or ''}.", "materialise it first."
        ) from None
    address = publish_dataset(platform.settings, platform.lake, manifest)
    context.log.info(f"published {manifest.version}: {address}")
    context.add_output_metadata({"address": dg.MetadataValue.url(address)})


@dg.job(
    description="Publishes a dataset version on the Hugging Face Hub (TWIN_HUB_NAMESPACE, TWIN_HUB_TOKEN)."
)
def publish_dataset_version() -> None:
    push_to_hub()


jobs = [publish_dataset_version]
assets = [instruct_dataset, preference_dataset]
checks = [
    shares_within_limits,
    answers_are_verbatim,
    no_heldout_text_in_train,
    no_heldout_meaning_in_train,
    chosen_is_verbatim,
]
