"""Does training with rounded weights pay on a person's writing? SFT of all weights with `qat` and without it, served in 4 bits.

Both arms read the walk's rows in the same order, with one learning rate. The file is that of `twin export --quantize q4_1`, whose
grid `qat` trains on; its weights are read back from it. `twin export` of the two versions judges voice and reading.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.people.arms import LONGEST, document_losses, trained, walked
from benchmarks.people.compare import open_desk
from benchmarks.people.home import Home
from twin_assets.core.datasets.store import read_manifest
from twin_assets.core.models.whole import whole_folder
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.export.gguf_file import write_gguf

REPORTER = "twin_assets.training.reporter.ReporterPlugin"
# The size's own overlay would name LoRA's plugin for the answers' logits, which rounds no output layer.
METHODS: dict[str, list[str]] = {
    "full": [REPORTER],
    "qat": [REPORTER, "twin_assets.training.weight_grid.WeightGridPlugin"],
}


def rounded(home: Home, rate: float, say: Callable[[str], None]) -> str:
    """Train what is missing at this learning rate and measure it; returns what was found, as Markdown. Raises TwinError for somebody who
    was not walked before."""
    desk, settings, losses = open_desk(home, say), home.settings, dict[str, np.ndarray]()
    base, sft = walked(desk)
    manifest = read_manifest(desk.lake, home.person.name, "instruct", sft.lineage.datasets["instruct"])
    lines = [
        "| | version | seconds | as it is | in 4 bits | lost by rounding (95%) |",
        "|---|---|---|---|---|---|",
    ]
    for method, plugins in METHODS.items():
        overlays = ("base.yaml", f"methods/{method}.yaml", f"sizes/{desk.profile.size}.yaml")
        profile = desk.profile.model_copy(update={"method": method, "overlays": overlays})
        values: dict[str, Any] = {"plugins": plugins, "learning_rate": rate}
        version = trained(settings, desk, "sft", base, manifest, say, profile, values)
        file = home.folder / f"{version.tag.replace(':', '-')}-q4_1.gguf"
        if not file.exists():
            write_gguf(whole_folder(settings, version), file, "q4_1", version.tag, version.about.license)
        kept = document_losses(settings, desk, version)
        losses[method] = document_losses(settings, desk, version, file)
        low, high = bootstrap(losses[method] - kept, settings.seed)
        lines.append(
            f"| {method} | {version.tag} | {version.metrics['seconds']:.0f} | {kept.mean():.3f} | {losses[method].mean():.3f} | "
            f"{(losses[method] - kept).mean():+.3f} ({low:+.3f} to {high:+.3f}) |"
        )
    less = losses["full"] - losses["qat"]
    low, high = bootstrap(less, settings.seed)
    return "\n".join(
        [
            f"{len(less)} held-out documents (the first {LONGEST} tokens), loss in nats a token; learning rate {rate:g}.",
            "",
            *lines,
            "",
            f"In 4 bits `qat` loses {less.mean():+.3f} ({low:+.3f} to {high:+.3f}) less than `full`, of the same documents.",
        ]
    )
