"""A pushed version arrives on another machine as it was: tag, weights and lineage; never more open than it may be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.core.hub_double import HubDouble
from tests.core.models import PUBLIC, family, lineage, save
from tests.feature.test_dataset_versions import FACTS, row
from twin_assets.core.datasets import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import open_lake
from twin_assets.core.registry import Registry, weights_hash
from twin_assets.core.registry_remote import pull_version, push_version
from twin_assets.settings import Settings


def home(folder: Path, **changes: Any) -> Settings:
    return Settings(home=folder, **changes)


def on_hub(folder: Path, hub: HubDouble) -> Settings:
    return home(folder, hub_namespace="ada", hub_token="hf-secret", hub_endpoint=hub.url)


@pytest.fixture
def bucket() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    client.create_bucket(Bucket="models")
    yield client
    server.stop()


def test_a_version_and_its_parents_move_through_a_bucket_to_another_machine(
    tmp_path: Path, bucket: Any
) -> None:
    here, there = (home(tmp_path / n, registry_url="s3://models/twins") for n in ("here", "there"))
    base, sft, dpo = family(Registry(here), tmp_path / "scratch")
    addresses = push_version(here, dpo.tag, "s3", "public", with_parents=True, client=bucket)
    assert addresses[dpo.tag] == f"s3://models/twins/{dpo.tag.replace(':', '/')}/"
    pulled = pull_version(there, dpo.tag, "s3", with_parents=True, client=bucket)
    assert [v.tag for v in pulled] == [dpo.tag, sft.tag, base.tag]
    for mine, theirs in zip(pulled, (dpo, sft, base), strict=True):
        assert mine.record() == theirs.record()
        assert weights_hash(mine.path) == theirs.weights_hash
        assert mine.path.is_relative_to(tmp_path / "there")
    # What is there already is neither pushed nor pulled again.
    bucket.delete_object(Bucket="models", Key="twins/" + sft.tag.replace(":", "/") + "/model.safetensors")
    assert pull_version(there, sft.tag, "s3", client=bucket)[0].tag == sft.tag
    # A damaged copy is refused, and nothing of it is kept.
    with pytest.raises(TwinError, match="are not those that were pushed"):
        pull_version(home(tmp_path / "third", registry_url="s3://models/twins"), sft.tag, "s3", client=bucket)
    assert Registry(home(tmp_path / "third")).list() == []
    with pytest.raises(TwinError, match="holds no finished model version"):
        pull_version(there, "twin-runa-dpo:nope", "s3", client=bucket)
    with pytest.raises(TwinError, match="TWIN_REGISTRY_URL"):
        push_version(home(tmp_path / "here"), dpo.tag, "s3", "public")


def test_a_version_moves_through_the_hub_with_its_card(tmp_path: Path) -> None:
    with HubDouble() as hub:
        here, there = on_hub(tmp_path / "here", hub), on_hub(tmp_path / "there", hub)
        base, sft, dpo = family(Registry(here), tmp_path / "scratch")
        addresses = push_version(here, dpo.tag, "hub", "public", with_parents=True)
        push_version(here, dpo.tag, "hub", "public")
        assert hub.commits == 2  # the SFT model and the DPO model, each once; the base is not ours to publish
        number = dpo.tag.split(":")[1]
        assert addresses == {
            dpo.tag: f"{hub.url}/ada/twin-runa-dpo/tree/{number}",
            sft.tag: f"{hub.url}/ada/twin-runa-sft/tree/{sft.tag.split(':')[1]}",
        }
        assert hub.repos["ada/twin-runa-dpo"]["private"] is False
        card = hub.repos["ada/twin-runa-dpo"]["files"]["README.md"].decode()
        assert "license: cc-by-4.0" in card
        assert "- ada/runa-instruct" in card
        assert set(hub.repos["ada/twin-runa-dpo"]["files"]) == {
            "README.md", "version.json", "config.json", "model.safetensors", "training/config.yaml",
        }  # fmt: skip
        [pulled] = pull_version(there, dpo.tag, "hub")
        assert pulled.record() == dpo.record()
        assert weights_hash(pulled.path) == dpo.weights_hash
        assert [v.tag for v in pull_version(there, dpo.tag, "hub", with_parents=True)] == [dpo.tag, sft.tag]
        with pytest.raises(TwinError, match=r"refused to hand out twin-runa-dpo:nope \(HTTP 404\)"):
            pull_version(there, "twin-runa-dpo:nope", "hub")
        with pytest.raises(TwinError, match="is a base model"):
            push_version(here, base.tag, "hub", "public")


@pytest.mark.parametrize(("trained", "now"), [("public", "private"), ("connections", "public")])
def test_a_version_is_never_more_open_than_its_persona_was_or_is(
    tmp_path: Path, trained: str, now: Any
) -> None:
    with HubDouble() as hub:
        here = on_hub(tmp_path, hub)
        about = PUBLIC.model_copy(update={"visibility": trained})
        version = save(Registry(here), tmp_path / "scratch", lineage("sft"), about=about)
        push_version(here, version.tag, "hub", now)
        [repo] = hub.repos.values()
        assert repo["private"] is True
        repo["private"], repo["tags"] = False, {}
        with pytest.raises(TwinError, match="is public, and this version is of writing that is not"):
            push_version(here, version.tag, "hub", now)


def test_a_model_that_learnt_from_more_closed_rows_is_not_published(tmp_path: Path) -> None:
    with HubDouble() as hub:
        here = on_hub(tmp_path, hub)
        closed = row(1, "answer").model_copy(update={"visibility": "connections"})
        data = write_dataset(open_lake(here), "runa", "instruct", [closed, row(2, "answer")], **FACTS)
        trained = lineage("sft").model_copy(update={"datasets": {"instruct": data.version}})
        version = save(Registry(here), tmp_path / "scratch", trained, about=PUBLIC)
        with pytest.raises(TwinError, match=r"of its 2 rows, 1 is for connections only.*Then train again"):
            push_version(here, version.tag, "hub", "public")
        assert hub.repos == {}


def test_the_hubs_refusal_shows_no_token(tmp_path: Path) -> None:
    with HubDouble() as hub:
        here = on_hub(tmp_path, hub)
        version = save(Registry(here), tmp_path / "scratch", lineage("sft"))
        hub.refuse = 403
        with pytest.raises(TwinError, match=r"HTTP 403.*TWIN_HUB_TOKEN") as error:
            push_version(here, version.tag, "hub", "public")
        assert "hf-secret" not in str(error.value)
