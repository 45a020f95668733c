"""A person is deleted where lake, models and index are on servers, and while a service runs."""

from pathlib import Path

import pytest

from tests.core.vectors.test_weaviate import at
from tests.serving.twin_server import twin
from tests.support.chunks import CHUNKS
from tests.support.machine import until
from tests.support.s3_double import KEYS_OF_A_STRANGER, s3_client, s3_server
from tests.support.weaviate_double import running
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.storage.lake import open_lake
from twin_assets.monitoring.erasure import NoSuchPerson, delete_person
from twin_assets.settings import Settings

KEYS = ("raw/web/{}/1.jsonl", "state/crawl/{}/web.json", "ledger/{}/1.json", "threads/{}/key/-/head.json", "feature_store/chunks/{}/latest.json")  # fmt: skip


class NothingInDagster:
    """A persona whom Dagster has never heard of."""

    reserved = False

    def running(self) -> list[str]:
        return []

    def close(self) -> None: ...

    def forget(self) -> int:
        return 0

    def left(self) -> int:
        return 0


def declared(settings: Settings, *names: str) -> None:
    settings.personas_dir.mkdir(parents=True, exist_ok=True)
    for name in names:
        save_persona(settings.personas_dir, {
            "name": name, "full_name": name.title(), "license": "MIT", "about": "Keeps the boats' data.",
            "medium": {"feed": "https://medium.com/feed/@x"},
        })  # fmt: skip


def test_objects_their_copies_and_models_go_from_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS_OF_A_STRANGER.items():
        monkeypatch.setenv("AWS_DEFAULT_REGION" if name == "region_name" else name.upper(), value)
    with s3_server() as url:
        client = s3_client(url)
        client.create_bucket(Bucket="boats")
        settings = Settings(
            home=tmp_path / "home", personas_dir=tmp_path / "personas", lake_url="s3://boats/prod",
            registry_url="s3://boats/models", s3_endpoint_url=url,
        )  # fmt: skip
        declared(settings, "ada", "ada-lovelace")
        lake = open_lake(settings)
        for name in ("ada", "ada-lovelace"):
            for key in KEYS:
                lake.write(key.format(name), name.encode())
            client.put_object(Bucket="boats", Key=f"models/twin-{name}-sft/1/version.json", Body=b"{}")
        client.put_object(Bucket="boats", Key="models/twin-ada-base/1/version.json", Body=b"{}")
        for folder in ("raw", "ledger"):
            lake.local(folder)

        told = delete_person(settings, lake, "ada", "Ines", NothingInDagster())

        assert told.finished_at
        assert (
            told.places["raw"],
            told.places["models"],
            told.checked["copies of objects on this machine"],
        ) == (1, 1, 0)
        listed = {item["Key"] for item in client.list_objects_v2(Bucket="boats")["Contents"]}
        theirs = {f"prod/{key.format('ada-lovelace')}" for key in KEYS} | {
            "models/twin-ada-lovelace-sft/1/version.json"
        }
        kept = {"models/twin-ada-base/1/version.json", *(f"prod/{key}" for key in lake.keys("deletions"))}
        assert {key for key in listed if "ada" in key} == theirs | kept
        mirror = settings.cache_dir / "lake-mirror" / "boats"
        copies = sorted(
            p.relative_to(mirror).as_posix() for p in mirror.rglob("*") if "ada" in p.name and p.is_dir()
        )
        assert copies == ["ledger/ada-lovelace", "raw/web/ada-lovelace"]
        with pytest.raises(NoSuchPerson, match="known: ada-lovelace"):
            delete_person(settings, lake, "nobody", "Ines", NothingInDagster())


def test_the_tenant_of_one_goes_and_that_of_another_stays(tmp_path: Path) -> None:
    with running() as double:
        settings = Settings(
            home=tmp_path, personas_dir=tmp_path / "personas", vector_store="weaviate", weaviate_url=f"http://127.0.0.1:{double.http_port}",
            weaviate_grpc_port=double.grpc_port,
        )  # fmt: skip
        declared(settings, "runa", "runa-skov")
        for name in ("runa", "runa-skov"):
            at(double, tmp_path, persona=name).sync([c.model_copy(update={"persona": name}) for c in CHUNKS])
        told = delete_person(settings, open_lake(settings), "runa", "Ines", NothingInDagster())
        assert told.finished_at
        assert told.places["index"] == len(CHUNKS)
        assert [at(double, tmp_path, persona=name).count() for name in ("runa", "runa-skov")] == [
            0,
            len(CHUNKS),
        ]


def test_a_running_service_knows_them_no_more_and_makes_nothing_anew(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _):
        assert server.ask().status_code == 200
        answers, settings = server.answers, server.settings
        (row, text) = answers.log._recent[
            -1
        ]  # as of an answer that is still being written while its author is deleted
        told = delete_person(settings, answers.lake, "runa", "Ines", NothingInDagster())
        assert told.finished_at
        answers.log.append(row, text)
        # Requests within a second share one look at who there is.
        until(lambda: server.ask().status_code == 404, "the service forgets them")
        for ask in (server.ask, server.write):
            answer = ask()
            assert (answer.status_code, "no persona 'runa'" in answer.text) == (404, True)
        assert server.client.get("/v1/models").status_code == 200
        answers.log.close()
        left = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*runa*")]
        assert [path for path in left if not path.startswith("lake/deletions/")] == []
