"""Is SFT better for having read the author's documents first? Continued pre-training and SFT against SFT alone.

Both arms learn from rows of the walk, with its seed and configuration; one of them read documents of the training side before. The
held-out loss is that of the author's held-out documents as they are, in nats a token.
"""

from collections.abc import Callable

from benchmarks.people.arms import (
    LONGEST,
    document_losses,
    judged,
    losses_table,
    must_be_alike,
    row_source,
    stored,
    trained,
    walked,
)
from benchmarks.people.compare import SFT, Desk, open_desk
from benchmarks.people.home import Home
from benchmarks.people.page import gains_table, result_table
from twin_assets.core.datasets.rows import Manifest, Side
from twin_assets.core.datasets.store import read_rows
from twin_assets.core.models.version import ModelVersion
from twin_assets.evaluation.results import BASELINE

CONTINUED = "documents, then SFT"
SIDES: tuple[Side, Side] = ("train", "test")


def continued(home: Home, tokens: int, say: Callable[[str], None]) -> str:
    """Train what is missing and judge it beside the walk's base and SFT; returns what was found, as Markdown. Raises TwinError for
    somebody who was not walked before, or otherwise than this checkout trains."""
    desk, settings = open_desk(home, say), home.settings
    base, alone = walked(desk)
    manifest = _dataset(home, desk, alone, tokens)
    read = trained(settings, desk, "cpt", base, manifest, say)
    both = trained(settings, desk, "sft", read, manifest, say)
    must_be_alike(both, alone)
    versions = {BASELINE: base, SFT: alone, CONTINUED: both}
    everyone = {**versions, "documents": read}
    losses = {role: document_losses(settings, desk, version) for role, version in everyone.items()}
    found = judged(home, desk, versions, ((SFT, BASELINE), (CONTINUED, BASELINE), (CONTINUED, SFT)), say)
    return "\n\n".join(
        [
            f"{manifest.counts['documents']} pieces of documents, of {tokens} tokens by estimate; SFT of {manifest.counts['train']} rows. Held out: "
            f"{len(losses[SFT])} documents (the first {LONGEST} tokens) and {manifest.counts['test']} rows. Loss in nats a token.",
            losses_table(everyone, losses, SFT, found.report, settings.seed),
            result_table(found),
            gains_table(found),
        ]
    )


def _dataset(home: Home, desk: Desk, alone: ModelVersion, tokens: int) -> Manifest:
    """The rows that the walk's SFT was trained on, with documents beside them."""
    read = row_source(home, desk).documents_to_read(tokens)
    before = (desk.lake, desk.persona.name, "instruct", alone.lineage.datasets["instruct"])
    rows = [row for side in SIDES for row in read_rows(*before, side)]
    summary = f"The rows of {desk.persona.full_name} with documents beside them."
    same = read.model_copy(update={"rows": rows})
    return stored(home, desk, "read", same, alone, {"rows_of": before[3]}, summary, read.rows)
