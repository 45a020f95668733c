"""Models, datasets, releases and erasure from a terminal."""

import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.terminal import Terminal
from tests.core.models.tiny_llama import tiny_adapter, tiny_llama
from tests.evaluation.evaluation_factories import request
from tests.monitoring.scores.test_live_scores import log
from tests.support.models import family, lineage
from tests.support.releases import Office
from twin_assets.core.datasets.rows import PreferenceRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.models.registry import Registry, weights_hash
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Message
from twin_assets.core.storage.erased import add_erased
from twin_assets.core.storage.lake import LocalLake
from twin_assets.inference.twin.request_log import read_requests, user_hash
from twin_assets.inference.twin.threads import Threads, ThreadTurn


def test_releases_are_shown_decided_and_signed_by_the_operating_systems_user(tmp_path: Path) -> None:
    office, terminal = Office(tmp_path), Terminal(tmp_path)
    terminal.declare("runa")
    terminal.environment |= {"USER": "somebody-else", "LOGNAME": "somebody-else"}
    signed = ("--reviewer", "Ines", "--reason", "too short")
    user = f"Ines (system user {pwd.getpwuid(os.getuid()).pw_name})"

    first = office.candidate()
    assert f"waiting     {first.model}, evaluation {first.number}" in terminal.said("release", "show", "runa")
    said = terminal.said("release", "reject", "runa", "--evaluation", str(first.number), *signed)
    assert f"{user}: too short" in said
    assert office.ledger.events()[-1].who == user
    second = office.candidate()
    terminal.said("release", "approve", "runa", "--evaluation", str(second.number), *signed)
    assert second.model in terminal.said("release", "deploy", "runa")
    assert terminal.said("release", "deploy", "runa") == "no approval waits\n"
    shown = json.loads(terminal.said("release", "show", "runa", "--json"))
    assert (shown["production"], shown["before"], shown["waiting"]) == (second.model, None, None)
    assert [event["number"] for event in shown["events"]] == [
        event.number for event in office.ledger.events()
    ]
    assert "production is none" in terminal.said("release", "roll-back", "runa", *signed)
    missing = terminal.twin("release", "approve", "runa", "--evaluation", "99", *signed)
    assert (missing.exit_code, "has no event 99" in missing.stderr) == (1, True)
    assert "no persona 'nobody'" in terminal.twin("release", "show", "nobody").stderr


def test_versions_are_listed_traced_and_exported_whole(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    registry = Registry(terminal.settings)
    base, sft, dpo = family(registry, tmp_path / "scratch")
    listed = json.loads(terminal.said("registry", "show", "--json"))
    assert [row["tag"] for row in listed] == [dpo.tag, sft.tag, base.tag]
    assert base.tag not in terminal.said("registry", "show", "--persona", "runa")
    assert json.loads(terminal.said("registry", "trace", dpo.tag))
    assert sft.tag in json.loads(terminal.said("registry", "gc"))["kept"]

    folder = tmp_path / "out" / "model"
    assert "for public use" in terminal.said("export", "model", dpo.tag, str(folder))
    assert weights_hash(folder) == dpo.weights_hash
    assert (folder / "README.md").is_file()
    again = terminal.twin("export", "model", sft.tag, str(folder))
    assert (again.exit_code, "is not empty" in again.stderr) == (1, True)
    assert weights_hash(folder) == dpo.weights_hash


def test_an_adapter_is_exported_as_a_whole_model_with_itself_beside(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    registry = Registry(terminal.settings)
    base = registry.save(tiny_llama(tmp_path / "base"), lineage("base"))
    adapter = tiny_adapter(base.path, tmp_path / "adapter")
    version = registry.save(adapter, lineage("sft", base.tag), base=base.as_base)
    listed = terminal.said("registry", "show")
    assert f"{version.tag}  " in listed
    assert f" on {base.tag}" in listed
    folder = tmp_path / "out"
    assert "MB, for" in terminal.said("export", "model", version.tag, str(folder))
    assert {"model.safetensors", "config.json", "chat_template.jinja", "README.md", "version.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert not (folder / "adapter_config.json").exists()
    kept = {path.name for path in (folder / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= kept
    assert "model.yaml" not in kept


def test_a_dataset_is_exported_as_it_is_stored_without_what_was_erased(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    lake = LocalLake(terminal.settings.lake_dir)
    rows = [
        PreferenceRow(
            row_id=name, doc_id=f"doc-{name}", task="t", kind="voice", split="train",
            messages=[Message(role="user", content="?")], chosen=Message(role="assistant", content=f"{name}: mine"),
            rejected=Message(role="assistant", content="theirs"),
        )
        for name in ("kept", "gone")
    ]  # fmt: skip
    made = write_dataset(
        lake, "runa", "preference", rows, parents={}, prompts="p", dropped={}, seed=1, license="MIT",
        visibility="public", summary="Pairs.",
    )  # fmt: skip
    add_erased(lake, "runa", documents=["doc-gone"])  # listed, and then whoever erased was killed
    folder = tmp_path / "out"
    said = terminal.said("export", "dataset", "runa", str(folder), "--kind", "preference")
    assert made.version in said
    assert {path.name for path in folder.iterdir()} >= {
        "train.jsonl",
        "test.jsonl",
        "manifest.json",
        "README.md",
    }
    assert [json.loads(line)["row_id"] for line in (folder / "train.jsonl").open()] == ["kept"]
    assert not [path for path in folder.rglob("*") if path.is_file() and b"gone: mine" in path.read_bytes()]
    for words in (["--kind", "instruct"], ["--kind", "preference", "--version", "nope"]):
        missing = terminal.twin("export", "dataset", "runa", str(tmp_path / "other"), *words)
        assert (missing.exit_code, "has no" in missing.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


def test_a_user_is_erased_by_the_name_that_they_gave(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    lake, ann = LocalLake(terminal.settings.lake_dir), user_hash("key1", "ann@example.org")
    log(lake, "a", request(0, key="key1", user=ann), request(1, key="key1"), request(2, key="key2"))
    unnamed = terminal.twin("erase", "runa", "--user", "ann@example.org")
    assert (unnamed.exit_code, "give --key too" in unnamed.stderr) == (2, True)
    gone = terminal.said("erase", "runa", "--user", "ann@example.org", "--key", "key1")
    assert json.loads(gone)["requests"] == 1
    assert [row.request_id for row in read_requests(lake, "runa")] == ["1", "2"]
    terminal.declare()
    persona = load_persona(terminal.settings.personas_dir, "runa")
    threads, old = Threads(lake, persona, "key1"), datetime.now(UTC) - timedelta(days=31)
    turn = ThreadTurn(
        request_id="1", time=old, model="m", outcome="answered", prompt="p", answer="a", key="key1"
    )
    assert threads.add(threads.begin().id, turn)
    removed = json.loads(terminal.said("erase", "runa", "--texts-older-than", "30"))
    assert removed == {"texts_removed_from_rows": 0, "turns_removed_from_threads": 1}
    missing = terminal.twin("erase", "runa", "--document", "nope")
    assert (missing.exit_code, "no document 'nope'" in missing.stderr) == (1, True)


def test_an_estimate_says_what_fits_in_words_and_in_json(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert "On 1 × A100 of 24 GB:" in terminal.said("estimate", "--gpu", "1x24")
    small, large = json.loads(terminal.said("estimate", "--gpu", "1x24", "--gpu", "8x80", "--json"))
    assert (small["gpus"], large["memory_bytes"]) == (1, 80e9)
    assert small["profiles"]["pocket"]["problem"] is None
    assert small["profiles"]["pocket"]["sft"]["memory_gb"] > 0
    assert "needs about" in small["profiles"]["llama-8b"]["problem"]
    assert large["profiles"]["llama-8b"]["problem"] is None
    assert terminal.twin("estimate", "--gpu", "many").exit_code == 1
