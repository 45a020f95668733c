"""Publishing a dataset version on the Hugging Face Hub."""

from typing import Literal

import dagster as dg

from twin_assets.core.datasets.store import latest_version, read_manifest
from twin_assets.core.errors import TwinError
from twin_assets.core.models.hub import publish_dataset
from twin_assets.defs.shared.resources import Platform


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
