"""A dataset version is published whole, once, as private as its persona wants, over the hub's own API."""

from pathlib import Path
from typing import Any

import pytest

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.hub_double import HubDouble
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.hub import publish_dataset
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings


def settings(home: Path, hub: HubDouble, **changes: Any) -> Settings:
    values = {"hub_namespace": "ada", "hub_token": "hf-secret", "hub_endpoint": hub.url} | changes
    return Settings(home=home, **values)


def test_a_version_is_published_once_and_tagged(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    first = write_dataset(lake, "ada", "instruct", [row(1, "answer")], **FACTS)
    second = write_dataset(lake, "ada", "instruct", [row(2, "answer")], **FACTS)
    hidden = write_dataset(lake, "ada", "instruct", [row(3, "answer")], **FACTS | {"visibility": "private"})
    with HubDouble() as hub:
        address = publish_dataset(settings(tmp_path, hub), lake, first)
        publish_dataset(settings(tmp_path, hub), lake, first)
        assert hub.commits == 1
        publish_dataset(settings(tmp_path, hub), lake, second)
        with pytest.raises(TwinError, match="is public, and this version is of writing that is not"):
            publish_dataset(settings(tmp_path, hub), lake, hidden)
        [repo] = hub.repos.values()
        assert address.startswith(f"{hub.url}/datasets/ada/ada-instruct")
    assert set(repo["tags"]) == {first.version, second.version}
    assert {"README.md", "train.jsonl", "test.jsonl", "manifest.json"} <= set(repo["files"])
    assert second.version.encode() in repo["files"]["manifest.json"]
    assert repo["private"] is False


def test_writing_that_is_not_public_makes_a_private_repository(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    manifest = write_dataset(
        lake, "ada", "instruct", [row(1, "answer")], **FACTS | {"visibility": "connections"}
    )
    with HubDouble() as hub:
        publish_dataset(settings(tmp_path, hub), lake, manifest)
        assert hub.repos["ada/ada-instruct"]["private"] is True


def test_a_post_for_connections_only_is_not_published_in_a_public_dataset(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    closed = [row(n, "answer").model_copy(update={"visibility": "connections"}) for n in (2, 3)]
    hidden = row(4, "answer", "heldout").model_copy(update={"visibility": "private"})
    manifest = write_dataset(lake, "ada", "instruct", [row(1, "answer"), *closed, hidden], **FACTS)
    said = r"of its 4 rows, 2 are for connections only and 1 is private.*train_on: public"
    with HubDouble() as hub:
        with pytest.raises(TwinError, match=said):
            publish_dataset(settings(tmp_path, hub), lake, manifest)
        # A manifest that says less than its rows is not believed.
        with pytest.raises(TwinError, match=said):
            publish_dataset(
                settings(tmp_path, hub), lake, manifest.model_copy(update={"visibility": "public"})
            )
        assert hub.repos == {}
        open_to_them = write_dataset(
            lake, "ada", "instruct", closed, **FACTS | {"visibility": "connections"}
        )  # fmt: skip
        publish_dataset(settings(tmp_path, hub), lake, open_to_them)
        assert hub.repos["ada/ada-instruct"]["private"] is True


def test_refusals_are_named_without_the_token(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")
    manifest = write_dataset(lake, "ada", "instruct", [row(1, "answer")], **FACTS)
    with HubDouble() as hub:
        with pytest.raises(TwinError, match="TWIN_HUB_NAMESPACE"):
            publish_dataset(settings(tmp_path, hub, hub_namespace=None), lake, manifest)
        with pytest.raises(TwinError, match=r"HTTP 401.*TWIN_HUB_TOKEN") as error:
            publish_dataset(settings(tmp_path, hub, hub_token="hf-wrong"), lake, manifest)
        assert "hf-wrong" not in str(error.value)
        assert hub.repos == {}
