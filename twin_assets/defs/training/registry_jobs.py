"""Jobs on the model registry: push, pull, rebuild, and garbage collection."""

from typing import Any, Literal

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.release.garbage import collect_garbage
from twin_assets.core.release.push import pull_version, push_version
from twin_assets.defs.shared.common import TRAINING_POOL
from twin_assets.defs.shared.resources import Platform
from twin_assets.defs.training.runner import run_training
from twin_assets.training.rebuild import Rebuild, rebuild


class PushConfig(dg.Config):
    """Which version to push where; what is in production unless one is named."""

    persona: str
    model: str | None = None
    to: Literal["hub", "s3"] = "hub"
    with_parents: bool = False


@dg.op
def push_model(context: dg.OpExecutionContext, config: PushConfig, platform: Platform) -> None:
    """Push a version, as private as the persona's writing."""
    persona = platform.persona(config.persona)
    tag = config.model or platform.ledger(persona.name).production()
    if tag is None:
        raise TwinError(f"{persona.name} has nothing in production.", "name a model in the configuration.")
    if platform.registry.get(tag).lineage.persona not in (persona.name, "shared"):
        raise TwinError(f"{tag} is not a model of {persona.name}.", "name its own persona.")
    addresses = push_version(
        platform.settings,
        tag,
        config.to,
        persona.visibility,
        config.with_parents,
        _client(platform, config.to),
    )
    context.log.info(f"pushed {', '.join(addresses)}")
    context.add_output_metadata({tag: dg.MetadataValue.url(url) for tag, url in addresses.items()})


class PullConfig(dg.Config):
    """Which version to fetch from where."""

    model: str
    source: Literal["hub", "s3"] = "hub"
    with_parents: bool = False


@dg.op
def pull_model(context: dg.OpExecutionContext, config: PullConfig, platform: Platform) -> None:
    """Fetch a version with its lineage into this registry."""
    pulled: list[ModelVersion] = pull_version(
        platform.settings, config.model, config.source, config.with_parents, _client(platform, config.source)
    )
    context.log.info(f"here now: {', '.join(version.tag for version in pulled)}")
    context.add_output_metadata({version.tag: dg.MetadataValue.path(version.path) for version in pulled})


class GarbageConfig(dg.Config):
    """How many versions of each persona, stage and profile stay. A dry run only says what would go."""

    keep_last: int = 3
    dry_run: bool = True


@dg.op
def collect_model_garbage(context: dg.OpExecutionContext, config: GarbageConfig, platform: Platform) -> None:
    """Remove old versions that nothing needs."""
    garbage = collect_garbage(platform.registry, platform.lake, config.keep_last, config.dry_run)
    would = "would remove" if config.dry_run else "removed"
    context.log.info(f"{would} {len(garbage.removed)} versions, {garbage.freed_bytes / 1e6:.1f} MB")
    context.add_output_metadata(
        {
            "dry_run": config.dry_run,
            "removed": dg.MetadataValue.json(garbage.removed),
            "freed_mb": round(garbage.freed_bytes / 1e6, 1),
            "kept": dg.MetadataValue.json(garbage.kept),
        }
    )


class RebuildConfig(dg.Config):
    """Which version to train again."""

    model: str


@dg.op(pool=TRAINING_POOL)
def rebuild_model(
    context: dg.OpExecutionContext, config: RebuildConfig, platform: Platform, pipes: dg.PipesSubprocessClient
) -> None:
    """Train a version again from what was kept of it, where trainings run; fails when another model comes of it."""
    settings = platform.settings
    made = rebuild(
        settings, platform.lake, config.model, lambda job: run_training(context, pipes, settings, job)
    )
    context.add_output_metadata(_rebuild_metadata(made))
    if not made.same:
        raise dg.Failure(
            f"Another model came of the inputs of {made.tag}. Fix: see the comparison.",
            metadata=_rebuild_metadata(made),
        )


def _rebuild_metadata(made: Rebuild) -> dict[str, Any]:
    rows = [
        f"| {name} | {m.before:.4g} | {m.after:.4g} | {'' if m.tolerance is None else f'{m.tolerance:.2g}'} "
        f"| {'' if m.tolerance is None else '✓' if m.within_noise else '✗'} |"
        for name, m in made.metrics.items()
    ]
    head = ["| metric | then | now | tolerance | within noise |", "|---|---:|---:|---:|---|"]
    return {
        "model": made.tag,
        "dataset": made.dataset,
        "config": made.config_hash,
        "same_code": made.same_code,
        "metrics": dg.MetadataValue.md("\n".join(head + rows)),
        "environment_changes": dg.MetadataValue.json(made.environment),
        "folder": dg.MetadataValue.path(made.folder),
    }


def _client(platform: Platform, place: str) -> Any:
    return platform.s3.get_client() if place == "s3" else None


@dg.job(description="Pushes a model version to the Hugging Face Hub or S3 (TWIN_REGISTRY_URL).")
def push_model_version() -> None:
    push_model()


@dg.job(description="Fetches a model version from the Hugging Face Hub or S3 into this registry.")
def pull_model_version() -> None:
    pull_model()


@dg.job(description="Removes old model versions; never production, its predecessor, a candidate or a parent.")
def collect_registry_garbage() -> None:
    collect_model_garbage()


@dg.job(description="Trains a model version again from what was kept of it, and compares.")
def rebuild_model_version() -> None:
    rebuild_model()
