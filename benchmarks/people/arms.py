"""What ways of training are held against each other by: rows made as the walk made them, trainings with its seed and configuration, and
what each of them lost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.people.compare import Desk, Found, judge
from benchmarks.people.home import Home
from benchmarks.people.page import NAMES
from twin_assets.core.datasets.rows import InstructRow, Manifest, dataset_folder
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.models.whole import whole_folder
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.results import BASELINE, EvaluationReport
from twin_assets.feature.instruct.build import RowSource, RowsResult
from twin_assets.settings import Settings
from twin_assets.training.jobs import done, finish_job, prepare_job
from twin_assets.training.rebuild import run_here

LONGEST = 1024  # tokens of a held-out document


def walked(desk: Desk) -> tuple[ModelVersion, ModelVersion]:
    """The base and the SFT model of the walk."""
    store = FeatureStore(desk.lake)
    base, sft = (
        desk.registry.get(store.load(name, desk.persona.name, str)) for name in ("base_model", "sft_model")
    )
    return base, sft


def row_source(home: Home, desk: Desk) -> RowSource:
    """What the walk's instruct rows were made of."""
    chunks = FeatureStore(desk.lake).load("embeddings", desk.persona.name, list[EmbeddedChunk])
    known = {document.doc_id for document in desk.corpus}
    return RowSource(
        desk.corpus,
        [chunk for chunk in chunks if chunk.doc_id in known],
        desk.persona,
        desk.profile,
        home.settings.seed,
        desk.embedder.embed,
        desk.thresholds,
    )


def trained(
    settings: Settings,
    desk: Desk,
    stage: str,
    parent: ModelVersion,
    manifest: Manifest,
    say: Callable[[str], None],
    profile: Profile | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """The version of this stage on these rows, trained unless it is there; as the walk's profile has it, unless given."""
    folder = desk.lake.local(dataset_folder(manifest.persona, "instruct", manifest.version))
    job = prepare_job(
        settings, profile or desk.profile, stage, parent, manifest, folder, manifest.persona, overrides
    )
    version = done(settings, job)
    if version is None:
        say(f"{stage}: training on {job.rows['train']} rows")
        run_here(job)
        version = finish_job(settings, job)
    return version


def must_be_alike(version: ModelVersion, walks: ModelVersion) -> None:
    """Raises TwinError where the walk trained otherwise than this checkout does."""
    same = {"config_hash", "seed", "code_version"}
    if version.lineage.model_dump(include=same) != walks.lineage.model_dump(include=same):
        raise TwinError(f"{walks.tag} was trained otherwise than {version.tag}.", "walk this person again.")


def stored(
    home: Home,
    desk: Desk,
    what: str,
    rows: RowsResult,
    alike: ModelVersion,
    parents: dict[str, str],
    summary: str,
    documents: Sequence[InstructRow] = (),
) -> Manifest:
    """A dataset of these rows beside the walk's, of `alike`'s prompts, for the arm `what`."""
    persona = desk.persona
    return write_dataset(
        desk.lake,
        f"{persona.name}-{what}",
        "instruct",
        rows.rows,
        parents=parents,
        prompts=alike.lineage.prompts,
        dropped=rows.dropped,
        seed=home.settings.seed,
        license=persona.license,
        visibility=persona.visibility,
        summary=summary,
        documents=documents,
    )


def judged(
    home: Home,
    desk: Desk,
    versions: dict[str, ModelVersion],
    pairs: Sequence[tuple[str, str]],
    say: Callable[[str], None],
) -> Found:
    """The evaluation of what each writes: the base asked by prompt and retrieval, the others as a twin."""
    systems = {
        role: desk.writers.system(role, version.tag, "baseline" if role == BASELINE else "twin")
        for role, version in versions.items()
    }
    return judge(home, desk, systems, pairs, say)


def document_losses(
    settings: Settings, desk: Desk, version: ModelVersion, file: Path | None = None
) -> np.ndarray:
    """Of each held-out document of prose the mean loss of its first tokens, in nats, shape (documents,). With a GGUF file its
    weights are read in place of the version's."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = whole_folder(settings, version)
    weights: dict[str, Any] = {"gguf_file": file.name} if file else {}
    model = AutoModelForCausalLM.from_pretrained(
        file.parent if file else folder, local_files_only=True, **weights
    )
    model = model.float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    losses = []
    for document in desk.corpus:
        if document.split != "heldout" or document.category == "code":
            continue
        ids = tokenizer(
            document.voice_text, return_tensors="pt", truncation=True, max_length=LONGEST
        ).input_ids
        with torch.inference_mode():
            losses.append(float(model(input_ids=ids, labels=ids).loss))
    return np.array(losses)


def losses_table(
    versions: dict[str, ModelVersion],
    losses: dict[str, np.ndarray],
    against: str,
    report: EvaluationReport,
    seed: int,
) -> str:
    """A line for each way: how long it trained, what it loses on its own held-out rows and on documents, and how much less than
    `against`."""
    lines = [
        f"| | seconds | loss on its held-out rows | on documents | less than of {NAMES.get(against, against)} (95%) | copied, longest |",
        "|---|---|---|---|---|---|",
    ]
    for role, of in losses.items():
        version, system = versions[role], report.systems.get(role)
        low, high = bootstrap(losses[against] - of, seed)
        seconds, rows_loss = (version.metrics.get(name) for name in ("seconds", "eval_loss"))
        copied = f"{system.copying.copied_share:.0%}, {system.copying.longest_words} words" if system else ""
        lines.append(
            f"| {NAMES.get(role, role)} | {seconds or 0:.0f} | {f'{rows_loss:.3f}' if rows_loss else ''} | {of.mean():.3f} | "
            f"{(losses[against] - of).mean():+.3f} ({low:+.3f} to {high:+.3f}) | {copied} |"
        )
    return "\n".join(lines)
