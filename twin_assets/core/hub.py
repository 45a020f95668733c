"""Publishes a dataset version on the Hugging Face Hub, or a server that speaks its API."""

import tempfile
from pathlib import Path

from twin_assets.core.datasets import Manifest, dataset_folder
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import Lake
from twin_assets.settings import Settings


def publish_dataset(settings: Settings, lake: Lake, manifest: Manifest) -> str:
    """Upload a version as one commit and tag it with its name; returns the repository's address.

    The repository is private unless the persona's writing is public. Publishing a version again changes
    nothing. Raises TwinError without a repository or token, and when the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if not settings.hub_namespace or settings.hub_token is None:
        raise TwinError(
            "There is nowhere to publish to.",
            "set TWIN_HUB_NAMESPACE (user or organisation) and TWIN_HUB_TOKEN.",
        )
    api = HfApi(endpoint=settings.hub_endpoint, token=settings.hub_token.get_secret_value())
    repo = f"{settings.hub_namespace}/{manifest.persona}-{manifest.kind}"
    try:
        api.create_repo(repo, repo_type="dataset", private=manifest.visibility != "public", exist_ok=True)
        if manifest.visibility != "public" and not api.repo_info(repo, repo_type="dataset").private:
            raise TwinError(
                f"{repo} is public, and this version is of writing that is not.",
                "make the repository private on the hub, or publish to another TWIN_HUB_NAMESPACE.",
            )
        tags = {ref.name for ref in api.list_repo_refs(repo, repo_type="dataset").tags}
        if manifest.version not in tags:
            _upload(api, repo, lake, manifest)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise TwinError(
            f"The hub refused to publish {repo} (HTTP {status}).",
            "check that TWIN_HUB_TOKEN may write there.",
        ) from None
    return f"{api.endpoint}/datasets/{repo}/tree/{manifest.version}"


def _upload(api, repo: str, lake: Lake, manifest: Manifest) -> None:  # type: ignore[no-untyped-def]
    prefix = dataset_folder(manifest.persona, manifest.kind, manifest.version)
    with tempfile.TemporaryDirectory() as folder:
        for key in lake.keys(prefix):
            target = Path(folder) / key.removeprefix(f"{prefix}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lake.read(key))
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type="dataset",
            commit_message=f"Version {manifest.version}", delete_patterns="subsets/*",
        )  # fmt: skip
        api.create_tag(repo, tag=manifest.version, repo_type="dataset", revision=commit.oid)
