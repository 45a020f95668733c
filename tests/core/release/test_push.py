"""A pushed version arrives on another machine as it was: tag, weights and lineage; never more open than it may be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.hub_double import HubDouble
from tests.support.models import PUBLIC, family, lineage, save
from twin_assets.core.datasets.rows import PreferenceRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry, weights_hash
from twin_assets.core.records import Message
from twin_assets.core.release.lineage import trace
from twin_assets.core.release.push import pull_version, push_version
from twin_assets.core.storage.lake import open_lake
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
    bucket.delete_object(Bucket="models", Key=_objects(bucket, sft.tag)["model.safetensors"])
    assert pull_version(there, sft.tag, "s3", client=bucket)[0].tag == sft.tag
    # A damaged copy is refused, and nothing of it is kept.
    with pytest.raises(TwinError, match="are not those that were pushed"):
        pull_version(home(tmp_path / "third", registry_url="s3://models/twins"), sft.tag, "s3", client=bucket)
    assert Registry(home(tmp_path / "third")).list() == []
    with pytest.raises(TwinError, match="holds no finished model version"):
        pull_version(there, "twin-runa-dpo:nope", "s3", client=bucket)
    with pytest.raises(TwinError, match="TWIN_REGISTRY_URL"):
        push_version(home(tmp_path / "here"), dpo.tag, "s3", "public")


def _objects(bucket: Any, tag: str, prefix: str = "twins") -> dict[str, str]:
    """Keys of a pushed version by the file's own name."""
    listed = bucket.list_objects_v2(Bucket="models", Prefix=f"{prefix}/{tag.replace(':', '/')}")["Contents"]
    return {item["Key"].rpartition("/")[2]: item["Key"] for item in listed}


def test_a_version_that_was_pushed_when_files_lay_beside_their_record_is_pulled(
    tmp_path: Path, bucket: Any
) -> None:
    here, there = (home(tmp_path / n, registry_url="s3://models/before") for n in ("here", "there"))
    version = save(Registry(here), tmp_path / "scratch", lineage("dpo"))
    push_version(here, version.tag, "s3", "public", client=bucket)
    place = "before/" + version.tag.replace(":", "/")
    for key in _objects(bucket, version.tag, "before").values():
        _hashed, _, name = key.removeprefix(f"{place}/").partition("/")
        if name:
            source = {"Bucket": "models", "Key": key}
            bucket.copy_object(Bucket="models", CopySource=source, Key=f"{place}/{name}")
            bucket.delete_object(**source)
    (pulled,) = pull_version(there, version.tag, "s3", client=bucket)
    assert pulled.record() == version.record()
    assert weights_hash(pulled.path) == version.weights_hash
    assert (pulled.path / "training" / "config.yaml").is_file()


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


def test_an_adapter_brings_its_base_through_a_bucket_and_never_another_one(
    tmp_path: Path, bucket: Any
) -> None:
    here, there, third = (
        home(tmp_path / n, registry_url="s3://models/adapters") for n in ("here", "there", "third")
    )
    base, sft, dpo = family(Registry(here), tmp_path / "scratch", adapters=True)
    assert set(push_version(here, dpo.tag, "s3", "public", client=bucket)) == {dpo.tag, base.tag}
    pulled = pull_version(there, dpo.tag, "s3", client=bucket)
    assert [v.record() for v in pulled] == [dpo.record(), base.record()]
    assert trace(Registry(there), open_lake(there), dpo.tag).missing == [sft.tag]
    assert pull_version(there, dpo.tag, "s3", client=bucket) == pulled[:1]
    # What is here under the base's name has other weights.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"other": true}')
    other = Registry(third).save(tmp_path / "other", base.lineage)
    both = f"{dpo.tag} is an adapter on .*{base.weights_hash}; {other.tag} has the weights {other.weights_hash} here"
    with pytest.raises(TwinError, match=both):
        pull_version(third, dpo.tag, "s3", client=bucket)
    assert [v.tag for v in Registry(third).list()] == [base.tag]


def test_an_adapter_from_the_hub_is_refused_where_its_base_is_not(tmp_path: Path) -> None:
    with HubDouble() as hub:
        here, there = on_hub(tmp_path / "here", hub), on_hub(tmp_path / "there", hub)
        base, _, dpo = family(Registry(here), tmp_path / "scratch", adapters=True)
        push_version(here, dpo.tag, "hub", "public")
        files = hub.repos["ada/twin-runa-dpo"]["files"]
        assert set(files) == {
            "README.md", "version.json", "adapter_config.json", "adapter_model.safetensors", "training/config.yaml",
        }  # fmt: skip
        assert "library_name: peft" in files["README.md"].decode()
        assert f"stands on | {base.tag}" in files["README.md"].decode()
        with pytest.raises(TwinError, match=f"is an adapter on {base.tag} with .*doesn't have.*base_model"):
            pull_version(there, dpo.tag, "hub")
        assert Registry(there).list() == []
        save(Registry(there), tmp_path / "scratch" / "base", base.lineage)
        assert [v.record() for v in pull_version(there, dpo.tag, "hub")] == [dpo.record()]


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


def pair(number: int) -> PreferenceRow:
    """As a dpo model learns from."""
    return PreferenceRow(
        row_id=f"r{number}", doc_id=f"d{number}", task="t", kind="voice", split="train",
        messages=[Message(role="user", content="?")], chosen=Message(role="assistant", content=f"Mine, {number}."),
        rejected=Message(role="assistant", content=f"Not mine, {number}."),
    )  # fmt: skip


@pytest.mark.parametrize("closed_one", ["sft", "dpo", "neither"])
@pytest.mark.parametrize("with_parents", [True, False])
def test_a_release_is_published_only_when_every_document_it_learnt_from_is_public(
    tmp_path: Path, closed_one: str, with_parents: bool
) -> None:
    """All that is recorded of the versions says public; one document, of one dataset of one of them, is not."""
    with HubDouble() as hub:
        here = on_hub(tmp_path, hub)
        registry, parent = Registry(here), None
        for number, (stage, kind) in enumerate((("sft", "instruct"), ("dpo", "preference"))):
            closed = "private" if stage == closed_one else "public"
            rows: list[Any] = [row(n, "answer") if kind == "instruct" else pair(n) for n in range(3)]
            rows[1] = rows[1].model_copy(update={"visibility": closed})
            data = write_dataset(open_lake(here), "runa", kind, rows, **FACTS)  # type: ignore[arg-type]
            trained = lineage(stage, parent, number + 1, datasets={kind: data.version})
            version = save(registry, tmp_path / stage, trained, number, about=PUBLIC)
            parent = version.tag
        if closed_one == "neither":
            push_version(here, version.tag, "hub", "public", with_parents)
            assert len(hub.repos) == (2 if with_parents else 1)
            return
        with pytest.raises(TwinError, match=r"of its 3 rows, 1 is private.*Then train again"):
            push_version(here, version.tag, "hub", "public", with_parents)
        assert hub.repos == {}
        assert hub.objects == {}


def test_the_hubs_refusal_shows_no_token(tmp_path: Path) -> None:
    with HubDouble() as hub:
        here = on_hub(tmp_path, hub)
        version = save(Registry(here), tmp_path / "scratch", lineage("sft"))
        hub.refuse = 403
        with pytest.raises(TwinError, match=r"HTTP 403.*TWIN_HUB_TOKEN") as error:
            push_version(here, version.tag, "hub", "public")
        assert "hf-secret" not in str(error.value)
