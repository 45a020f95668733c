"""Is SFT better for having read the author's documents first? Continued pre-training and SFT against SFT alone.

Both arms learn from rows of the walk, with its seed and configuration; one of them read documents of the training side before. The
held-out loss is that of the author's held-out documents as they are, in nats a token.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.people.compare import SFT, Desk, judge, open_desk
from benchmarks.people.home import Home
from benchmarks.people.page import NAMES, gains_table, result_table
from twin_assets.core.datasets.rows import Manifest, Side, dataset_folder
from twin_assets.core.datasets.store import read_rows, write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.models.whole import whole_folder
from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.results import BASELINE
from twin_assets.feature.instruct.build import RowSource
from twin_assets.settings import Settings
from twin_assets.training.jobs import done, finish_job, prepare_job
from twin_assets.training.rebuild import run_here

CONTINUED = "documents, then SFT"
SIDES: tuple[Side, Side] = ("train", "test")
LONGEST = 1024  # tokens of a held-out document


def continued(home: Home, tokens: int, say: Callable[[str], None]) -> str:
    """Train what is missing and judge it beside the walk's base and SFT; returns what was found, as Markdown. Raises TwinError for
    somebody who was not walked before, or otherwise than this checkout trains."""
    desk, settings = open_desk(home, say), home.settings
    store = FeatureStore(desk.lake)
    base, alone = (
        desk.registry.get(store.load(name, home.person.name, str)) for name in ("base_model", "sft_model")
    )
    manifest = _dataset(home, desk, alone, tokens)
    read = _trained(settings, desk, "cpt", base, manifest, say)
    both = _trained(settings, desk, "sft", read, manifest, say)
    same = {"config_hash", "seed", "code_version"}
    if both.lineage.model_dump(include=same) != alone.lineage.model_dump(include=same):
        raise TwinError(f"{alone.tag} was trained otherwise than {both.tag}.", "walk this person again.")
    versions = {BASELINE: base, SFT: alone, CONTINUED: both}
    everyone = {**versions, "documents": read}
    losses = {role: document_losses(settings, desk, version) for role, version in everyone.items()}
    systems = {
        role: desk.writers.system(role, version.tag, "baseline" if version is base else "twin")
        for role, version in versions.items()
    }
    found = judge(home, desk, systems, ((SFT, BASELINE), (CONTINUED, BASELINE), (CONTINUED, SFT)), say)
    lines = [
        f"{manifest.counts['documents']} pieces of documents, of {tokens} tokens by estimate; SFT of {manifest.counts['train']} rows. Held out: "
        f"{len(losses[SFT])} documents (the first {LONGEST} tokens) and {manifest.counts['test']} rows. Loss in nats a token.",
        "",
        "| | seconds | loss on held-out rows | on documents | less than of SFT alone (95%) | copied, longest |",
        "|---|---|---|---|---|---|",
    ]
    for role, of in losses.items():
        version, system = everyone[role], found.report.systems.get(role)
        low, high = bootstrap(losses[SFT] - of, settings.seed)
        seconds, rows_loss = (version.metrics.get(name) for name in ("seconds", "eval_loss"))
        copied = f"{system.copying.copied_share:.0%}, {system.copying.longest_words} words" if system else ""
        lines.append(
            f"| {NAMES.get(role, role)} | {seconds or 0:.0f} | {f'{rows_loss:.3f}' if rows_loss else ''} | {of.mean():.3f} | "
            f"{(losses[SFT] - of).mean():+.3f} ({low:+.3f} to {high:+.3f}) | {copied} |"
        )
    return "\n".join([*lines, "", result_table(found), "", gains_table(found)])


def _dataset(home: Home, desk: Desk, alone: ModelVersion, tokens: int) -> Manifest:
    """The rows that the walk's SFT was trained on, with documents beside them."""
    persona, settings = desk.persona, home.settings
    chunks = FeatureStore(desk.lake).load("embeddings", persona.name, list[EmbeddedChunk])
    known = {document.doc_id for document in desk.corpus}
    source = RowSource(
        desk.corpus,
        [chunk for chunk in chunks if chunk.doc_id in known],
        persona,
        desk.profile,
        settings.seed,
        desk.embedder.embed,
        desk.thresholds,
    )
    read = source.documents_to_read(tokens)
    before = (desk.lake, persona.name, "instruct", alone.lineage.datasets["instruct"])
    return write_dataset(
        desk.lake,
        f"{persona.name}-read",
        "instruct",
        [row for side in SIDES for row in read_rows(*before, side)],
        parents={"rows_of": before[3]},
        prompts=alone.lineage.prompts,
        dropped=read.dropped,
        seed=settings.seed,
        license=persona.license,
        visibility=persona.visibility,
        summary=f"The rows of {persona.full_name} with documents beside them.",
        documents=read.rows,
    )


def _trained(
    settings: Settings,
    desk: Desk,
    stage: str,
    parent: ModelVersion,
    manifest: Manifest,
    say: Callable[[str], None],
) -> ModelVersion:
    folder = desk.lake.local(dataset_folder(manifest.persona, "instruct", manifest.version))
    job = prepare_job(settings, desk.profile, stage, parent, manifest, folder, manifest.persona)
    version = done(settings, job)
    if version is None:
        say(f"{stage}: training on {job.rows['train']} rows")
        run_here(job)
        version = finish_job(settings, job)
    return version


def document_losses(settings: Settings, desk: Desk, version: ModelVersion) -> np.ndarray:
    """Of each held-out document of prose the mean loss of its first tokens, in nats, shape (documents,)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = whole_folder(settings, version)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).float().eval()
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
