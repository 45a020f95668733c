"""Datasets: immutable versions of instruct and preference data."""

from collections.abc import Callable
from typing import Any, Literal

import dagster as dg

from twin_assets.core.datasets.diff import diff_versions
from twin_assets.core.datasets.rows import Kind, Manifest, dataset_folder
from twin_assets.core.datasets.store import latest_version, read_rows, write_dataset
from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import prompts_fingerprint
from twin_assets.core.records import EmbeddedChunk, Message, SplitDocument, to_table
from twin_assets.core.storage.kept import KeptValues
from twin_assets.defs.datasets.feedback import accepted_rows
from twin_assets.defs.shared.code_versions import dataset_version
from twin_assets.defs.shared.common import DATASETS, OWNERS, personas, when_changed
from twin_assets.defs.shared.metadata import bar_table, image, sample_table
from twin_assets.defs.shared.resources import Platform, table_version
from twin_assets.feature.instruct.build import (
    build_instruct_rows,
    describe_rows,
    may_be_learnt,
    passages_to_teach,
)
from twin_assets.feature.instruct.teaching.backtranslation import backtranslate
from twin_assets.feature.instruct.teaching.lessons import Teaching
from twin_assets.feature.instruct.teaching.teacher import Teacher, TeacherRequest
from twin_assets.feature.plots import lengths_plot
from twin_assets.feature.preference.build import build_preference_rows, select_pair_prompts
from twin_assets.feature.preference.length_balance import LengthBalance, length_balance, words_of
from twin_assets.inference.generation.batches import generate_all
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.settings import Settings
from twin_assets.training.base_models.base import ensure_base_model

REJECTED_TEMPERATURE = 0.9
CPU_PARAMETERS = 1e9  # a base model of more writes no requests on a CPU unless it is told to


@dg.asset(
    partitions_def=personas,
    group_name=DATASETS,
    owners=OWNERS,
    kinds={"python", "jsonl"},
    code_version=dataset_version("3"),
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
    # Others' words are no target, nor is what the split set aside.
    doc_ids = {document.doc_id for document in corpus_split}
    embeddings = [chunk for chunk in embeddings if chunk.doc_id in doc_ids]
    passages = passages_to_teach(may_be_learnt(corpus_split, persona), profile)
    teaching = _requests_for(platform, persona, passages, context.log.info)
    built = build_instruct_rows(
        corpus_split,
        embeddings,
        persona,
        profile,
        settings.seed,
        platform.embedder.embed,
        teaching.lessons if teaching else {},
        platform.thresholds,
    )
    parents = {
        "corpus_split": table_version(to_table(corpus_split, SplitDocument)),
        # Not the vectors themselves: their last bits differ from one CPU to another.
        "embeddings": fingerprint([[c.chunk_id, c.content_hash, c.embedder] for c in embeddings], 16),
        "profile": profile.name,
        "teacher": teaching.model if teaching else "none",
    }
    dropped = built.dropped | (teaching.dropped if teaching else {})
    result = _store(platform, persona.name, "instruct", built.rows, dropped, parents)
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
    code_version=dataset_version("2", pairs=True),
)
def preference_dataset(
    context: dg.AssetExecutionContext, platform: Platform, instruct_dataset: Manifest, sft_model: str
) -> dg.MaterializeResult[Manifest]:
    """Pairs: chosen is the author's verbatim text, rejected what the SFT model writes: of voice, of declining
    what the corpus can't answer, and of keeping to the passages. Where the persona consents, reviewed feedback too."""
    persona, seed, profile = platform.persona(context.partition_key), platform.settings.seed, platform.profile
    shares = profile.max_kind_shares
    rows = rows_of(platform, instruct_dataset, "train")
    prompts = select_pair_prompts(rows, profile.preference_pairs, shares, seed)
    context.log.info(f"writing {len(prompts)} rejected answers with {sft_model}")
    written = generate_all(
        LocalGenerator.of(platform.registry, sft_model),
        [prompt.conversation for prompt in prompts],
        [min(prompt.max_tokens, profile.answer_tokens) for prompt in prompts],
        temperature=REJECTED_TEMPERATURE,
        seed=seed,
        on_progress=context.log.info,
    )
    built = build_preference_rows(prompts, written, persona, shares, seed)
    parents = {"instruct": instruct_dataset.version, "rejected_by": sft_model}
    said = accepted_rows(platform, persona, len(built.rows))
    if said:
        parents["feedback"] = fingerprint([row.row_id for row in said])
    rows = [*built.rows, *said]
    result = _store(platform, persona.name, "preference", rows, built.dropped, parents)
    balance = length_balance(rows)
    clouds = {b.kind: words_of([r for r in rows if r.kind == b.kind]) for b in balance[1:]}
    more = {
        "kinds": bar_table(result.value.kinds, "kind"),
        "lengths": sample_table(balance, [*LengthBalance.model_fields]),
        "plot": image(lengths_plot(clouds)),
    }
    return result._replace(metadata={**(result.metadata or {}), **more})


def _requests_for(
    platform: Platform, persona: Persona, passages: list[TeacherRequest], say: Callable[[str], None]
) -> Teaching | None:
    """What a teacher, or else the profile's base model, says that the passages answer; None where rules must do."""
    settings, profile = platform.settings, platform.profile
    if settings.teacher_model:
        return Teacher(settings, say).teach(passages)
    # The model is asked in English, and answers in it.
    if persona.first_language != "en" or not _base_model_writes(settings, profile):
        return None
    base = ensure_base_model(settings, profile, lambda facts: say(str(facts)))
    generator = LocalGenerator.of(platform.registry, base.tag)

    def write(conversations: list[list[Message]], tokens: int) -> list[str]:
        return generate_all(
            generator,
            conversations,
            [tokens] * len(conversations),
            temperature=0.0,
            seed=settings.seed,
            on_progress=say,
            repetition_penalty=1.0,  # the words of the passage are wanted
        )

    kept: KeptValues[str] = KeptValues(settings.cache_dir / "requests.sqlite", "written")
    return backtranslate(
        passages, write, platform.embedder.embed, platform.thresholds.agreeing_request, kept, base.tag, say
    )


def _base_model_writes(settings: Settings, profile: Profile) -> bool:
    """Unless a setting says so: where there is a GPU, or of a model that a CPU can bear."""
    if profile.plumbing:
        return False  # what writes noise asks for nothing
    if settings.backtranslation is not None:
        return settings.backtranslation
    import torch

    small = profile.architecture is not None and profile.architecture.parameters <= CPU_PARAMETERS
    return small or torch.cuda.is_available()


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
    )
    return dg.MaterializeResult(
        value=manifest,
        metadata={
            "version": manifest.version,
            "train": manifest.counts["train"],
            "test": manifest.counts["test"],
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


def rows_of(platform: Platform, manifest: Manifest, *sides: Literal["train", "test"]) -> list[Any]:
    """Rows of the named sides of a version."""
    where = (platform.lake, manifest.persona, manifest.kind, manifest.version)
    return [row for side in sides for row in read_rows(*where, side)]
