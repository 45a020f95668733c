"""Publishes dataset and model versions on the Hugging Face Hub, or a server that speaks its API."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twin_assets.core.datasets.rows import Manifest, dataset_folder
from twin_assets.core.datasets.store import refuse_closed_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import STORE_FILE
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.records import Visibility
from twin_assets.core.storage.lake import Lake
from twin_assets.settings import Settings

HUB_SECONDS = 60.0  # without a byte


def publish_dataset(settings: Settings, lake: Lake, manifest: Manifest) -> str:
    """Upload a version as one commit and tag it with its name; returns the repository's address.

    The repository is private unless the persona's writing is public. Publishing a version again changes
    nothing. Raises TwinError without a repository or token, when a row is more closed than the persona, and when the
    hub refuses.
    """
    refuse_closed_rows(lake, manifest)
    api, namespace = _open(settings)
    repo = f"{namespace}/{manifest.persona}-{manifest.kind}"
    with _refusals(f"publish {repo}", "check that TWIN_HUB_TOKEN may write there."):
        _ensure_repo(api, repo, "dataset", manifest.visibility)
        if not _has_tag(api, repo, "dataset", manifest.version):
            _upload_dataset(api, repo, lake, manifest)
    return f"{api.endpoint}/datasets/{repo}/tree/{manifest.version}"


def push_to_hub(settings: Settings, version: ModelVersion, visibility: Visibility) -> str:
    """Upload a model version as one commit and tag it; returns its address.

    The repository is private unless `visibility` is public. Pushing again changes nothing. Raises TwinError
    without a repository or token, and when the hub refuses.
    """
    api, namespace = _open(settings)
    name, _, number = version.tag.partition(":")
    repo = f"{namespace}/{name}"
    with _refusals(f"publish {repo}", "check that TWIN_HUB_TOKEN may write there."):
        _ensure_repo(api, repo, "model", visibility)
        if not _has_tag(api, repo, "model", number):
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=version.path,
                commit_message=f"Version {number}",
                ignore_patterns=[STORE_FILE],
                delete_patterns="*",
            )
            api.create_tag(repo, tag=number, revision=commit.oid)
    return f"{api.endpoint}/{repo}/tree/{number}"


def pull_from_hub(settings: Settings, tag: str, folder: Path) -> None:
    """Download a model version into `folder`. Raises TwinError when the hub doesn't have it or refuses."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    api, namespace = _open(settings)
    name, _, number = tag.partition(":")
    with _refusals(f"hand out {tag}", "push it first, and check that TWIN_HUB_TOKEN may read it."):
        try:
            api.snapshot_download(f"{namespace}/{name}", revision=number, local_dir=folder)
        except LocalEntryNotFoundError as error:  # it stands for any failure to reach the hub
            raise TwinError(
                f"The hub can't be reached for {tag}: {str(error).splitlines()[0]}",
                "check the network and TWIN_HUB_ENDPOINT.",
            ) from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes about the download


def _open(settings: Settings) -> tuple[Any, str]:
    """The hub's API with our token, and the namespace that everything of ours lies in."""
    from huggingface_hub import HfApi

    if not settings.hub_namespace or settings.hub_token is None:
        raise TwinError(
            "There is no place on the hub to publish to.",
            "set TWIN_HUB_NAMESPACE (user or organisation) and TWIN_HUB_TOKEN.",
        )
    patient_hub()
    token = settings.hub_token.get_secret_value()
    return HfApi(endpoint=settings.hub_endpoint, token=token), settings.hub_namespace


def patient_hub() -> None:
    """Let every call of the hub's client wait for an answer for so long and no longer: by itself it waits for ever."""
    import httpx
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def limited(request: httpx.Request) -> None:
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            kind: given.get(kind) or HUB_SECONDS for kind in ("connect", "read", "write", "pool")
        }

    def client() -> httpx.Client:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "request": [*made.event_hooks["request"], limited]}
        return made

    set_client_factory(client)


@contextmanager
def _refusals(act: str, fix: str) -> Iterator[None]:
    """Name what the hub refused or never answered, without anything that was sent."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise TwinError(f"The hub refused to {act} (HTTP {status}).", fix) from None
    except httpx.TimeoutException:
        raise TwinError(
            f"The hub gave no answer in {HUB_SECONDS:g} seconds when asked to {act}.",
            "check the network and TWIN_HUB_ENDPOINT, then try again.",
        ) from None


def _ensure_repo(api: Any, repo: str, repo_type: str, visibility: str) -> None:
    """Create the repository if it isn't there. Raises TwinError when one that is there is too open."""
    private = visibility != "public"
    api.create_repo(repo, repo_type=repo_type, private=private, exist_ok=True)
    if private and not api.repo_info(repo, repo_type=repo_type).private:
        raise TwinError(
            f"{repo} is public, and this version is of writing that is not.",
            "make the repository private on the hub, or publish to another TWIN_HUB_NAMESPACE.",
        )


def _has_tag(api: Any, repo: str, repo_type: str, tag: str) -> bool:
    return tag in {ref.name for ref in api.list_repo_refs(repo, repo_type=repo_type).tags}


def _upload_dataset(api: Any, repo: str, lake: Lake, manifest: Manifest) -> None:
    prefix = dataset_folder(manifest.persona, manifest.kind, manifest.version)
    with tempfile.TemporaryDirectory() as folder:
        for key in lake.keys(prefix):
            target = Path(folder) / key.removeprefix(f"{prefix}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lake.read(key))
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="dataset",
            commit_message=f"Version {manifest.version}",
            delete_patterns="subsets/*",
        )
        api.create_tag(repo, tag=manifest.version, repo_type="dataset", revision=commit.oid)
