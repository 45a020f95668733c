"""The job that searches for better hyperparameters and proposes them to a person."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from twin_assets.core.datasets.store import latest_version, read_manifest
from twin_assets.core.errors import TwinError
from twin_assets.defs.shared.common import TRAINING_POOL
from twin_assets.defs.shared.metadata import image
from twin_assets.defs.shared.resources import Platform
from twin_assets.training.base_models.base import ensure_base_model
from twin_assets.training.search.plots import study_plots
from twin_assets.training.search.space import read_sweep
from twin_assets.training.search.study import STARTUP_TRIALS, SearchResult, search


class SearchConfig(dg.Config):
    """Whose model to search for, and for how long."""

    persona: str
    trials: int = Field(12, description="In all: a search that goes on counts the trials it has.")
    minutes: float = Field(120.0, description="No trial is begun that would end later.")
    sweep: str | None = Field(
        None, description="A sweep file of Axolotl's, in place of training_configs/search.yaml."
    )
    startup_trials: int = Field(STARTUP_TRIALS, description="Trials that are never ended early.")


@dg.op(pool=TRAINING_POOL)
def search_values(context: dg.OpExecutionContext, config: SearchConfig, platform: Platform) -> None:
    """Try SFT hyperparameters on the newest instruct dataset; every trial is a real training run."""
    settings, profile, lake = platform.settings, platform.profile, platform.lake
    persona = platform.persona(config.persona).name
    if settings.training_runner == "kubernetes":
        raise TwinError(
            "A search watches its trials and ends bad ones, so it runs them where this job runs.",
            "set TWIN_TRAINING_RUNNER=local and launch the job in a pod with a GPU (tag dagster-k8s/config).",
        )
    version = latest_version(lake, persona, "instruct")
    if version is None:
        raise TwinError(f"{persona} has no instruct dataset.", "materialise it first.")
    base = ensure_base_model(settings, profile, lambda facts: context.log.info(str(facts)))
    result = search(
        settings,
        lake,
        profile,
        base,
        read_manifest(lake, persona, "instruct", version),
        config.trials,
        config.minutes,
        context.log.info,
        read_sweep(Path(config.sweep)) if config.sweep else None,
        startup_trials=config.startup_trials,
    )
    context.log.info(_verdict(result))
    pictures = {name: image(data, name) for name, data in study_plots(settings, result).items()}
    context.add_output_metadata(_metadata(result) | pictures)


def _verdict(result: SearchResult) -> str:
    if result.proposal is None:
        return f"nothing is better than the shipped values by enough to propose it ({result.gain:.1%})"
    return f"{result.gain:.1%} below the loss of the shipped values; for review: {result.proposal}"


def _metadata(result: SearchResult) -> dict[str, Any]:
    shown = sorted(result.trials, key=lambda t: (t.state != "complete", t.loss is None, t.loss or 0.0))
    rows = [
        f"| {t.number}{' (shipped)' if t.shipped else ''} | {t.state} "
        f"| {', '.join(f'{name} {value:.3g}' for name, value in t.values.items())} "
        f"| {'' if t.loss is None else f'{t.loss:.4f}'} | {t.seconds:.0f} |"
        for t in shown
    ]
    head = ["| trial | state | values | evaluation loss | seconds |", "|---|---|---|---:|---:|"]
    proposal = result.proposal
    return {
        "verdict": _verdict(result),
        "study": result.study,
        "trials": dg.MetadataValue.md("\n".join(head + rows)),
        "pruned": sum(t.state == "pruned" for t in result.trials),
        "gain": result.gain,
        "proposal": dg.MetadataValue.md(f"```yaml\n{proposal.read_text()}\n```") if proposal else "none",
    }


@dg.job(
    description="Searches for better SFT hyperparameters (Optuna); proposes them in a file for a person to review."
)
def search_hyperparameters() -> None:
    search_values()
