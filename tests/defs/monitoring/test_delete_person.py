"""A person is deleted wholly: nothing with their name or their words is left, and of another, whose name goes on where theirs
ends, nothing has changed."""

import hashlib
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from serving.access.keys import DEFAULT_ACTIONS, Keys
from tests.cli.terminal import Terminal
from tests.defs.monitoring.test_erase_document import STEPS, TEXT, WORD, walk
from tests.monitoring.erasure.bytes_of_home import places_with
from tests.support.chunks import CHUNKS
from twin_assets.core.drafts import Drafts
from twin_assets.core.feedback.store import Feedback, add_feedback
from twin_assets.core.models.registry import Lineage, Registry
from twin_assets.core.persona.definition import load_persona, save_persona
from twin_assets.core.publishing import PostLedger
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.marks import PAUSED, pause
from twin_assets.core.storage.erased import add_erased, mark_done, unfinished
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.monitoring.person import PersonInDagster
from twin_assets.inference.twin.request_log import RequestRecord, write_object
from twin_assets.inference.twin.threads import Threads, ThreadTurn
from twin_assets.monitoring.erasure import Certificate, Manifest, delete_person, export_person
from twin_assets.monitoring.erasure.people import is_theirs
from twin_assets.monitoring.erasure.places import PLACES
from twin_assets.monitoring.erasure.portable import PersonExport
from twin_assets.monitoring.erasure.warehouse import rows_of_persona
from twin_assets.settings import ROOT, Settings

ADA, LOVELACE = "zyada", "zyada-lovelace"
NAMED = re.compile(rb"zyada(?![-_]lovela)", re.IGNORECASE)
CERTIFICATE = f"lake/deletions/{ADA}/"
# Caches that are for everybody are emptied in part or wholly, and Dagster's and DuckDB's files are written anew.
SHARED = ("cache/requests.sqlite", "cache/teacher.sqlite", "cache/embeddings-", "dagster/", "warehouse.duckdb", "lake/access/", "lake/deletions/", "lake/paused/", "lake/.update.lock", "logs/service.log")  # fmt: skip


def instance_of(settings: Settings) -> dg.DagsterInstance:
    return dg.DagsterInstance.local_temp(str(settings.dagster_home))


def plant(settings: Settings, name: str, words: str) -> None:
    """What callers, other stages and killed processes leave of a person, beside what a walk has made."""
    home, lake, now = settings.home, open_lake(settings), datetime.now(UTC)
    asked = {"persona": name, "model": f"twin-{name}-sft:one", "request_id": f"of-{name}", "time": now}
    row = RequestRecord(**asked, prompt_kind="answer", outcome="answered", prompt="Why?", answer=words)
    write_object(lake, f"requests/{name}/{now:%Y-%m-%d}", "000000000001-aa", [row])
    add_feedback(lake, Feedback(**asked, thumb="up", consent=True, prompt="Why?", answer=words))
    threads = Threads(lake, load_persona(settings.personas_dir, name), "page")
    assert threads.add(threads.begin(title=words).id, ThreadTurn(**asked, outcome="answered", prompt="Why?", answer=words, key="page"))  # fmt: skip
    Drafts(lake, name, "ann", "public").begin(words, "person", title="Timetables")
    posts = PostLedger(lake, name)
    post = posts.begin("x", words, draft_id="0", by="ann", mine=False)
    posts.end(post.number, "made", "ann", address=f"https://x.example/{post.number}")
    Ledger(lake, name).append(f"twin-{name}-sft:one", "proposed", "pipeline", "new")
    add_erased(lake, name, documents=["0" * 16])
    pause(lake, name, "Ines", words[:200])
    lake.write(f"datasets/{name}/instruct/abc/train.jsonl", words.encode())
    KeptValues[str](home / "cache/teacher.sqlite", "lessons").keep({f"key of {len(name)}": words})
    lake.write(f"reports/{name}/one.json", json.dumps({"samples": [words]}).encode())
    lake.write(f"state/crawl/{name}/mail.json", words.encode())
    for path in (
        f"cache/crawl/{name}/web/part.jsonl", f"cache/training/{name}/sft-abc/rows.txt", f"cache/rebuilds/{name}/sft-abc/rows.txt",
        f"cache/search/{name}/data-1/train.jsonl", f"cache/search/runs/{name}/sft-1/rows.txt", f"uploads/{name}/medium/a/export.csv",
        f"staging/{name}/b/export.csv", f"logs/{name}.log", f"proposals/{name}-pocket.yaml", f"lake/raw/web/{name}/.part.aa.tmp",
    ):  # fmt: skip
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(f"{name}: {words}\n")
    run = home / "wandb/wandb" / f"offline-run-{len(name)}"
    run.mkdir(parents=True)
    (run / "run.wandb").write_bytes(f"\x00evaluation-{name} {words}".encode())
    model = home / "made"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"of": words}))
    Registry(settings).save(model, Lineage(
        persona=name, stage="sft", profile="nano", datasets={}, config_hash="c", code_version="1", seed=1, prompts="p",
    ))  # fmt: skip
    shutil.rmtree(model)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that both have used."""
    home, personas = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("personas")
    settings = Settings(home=home, personas_dir=personas, profile="pocket")
    settings.dagster_home.mkdir(parents=True)
    posts = sorted((ROOT / "demo" / "writing" / "medium").glob("*.md"))
    for number, name in enumerate((ADA, LOVELACE)):
        writing = tmp_path_factory.mktemp("writing")
        for path in posts[4 * number : 4 * number + 4]:
            shutil.copy(path, writing)
        if name == ADA:
            (writing / f"{WORD}.md").write_text(TEXT)
        save_persona(personas, {
            "name": name, "full_name": "Countess", "about": "She writes about ferries.", "license": "MIT",
            "web": {"folders": [str(writing)]},
        })  # fmt: skip
        with instance_of(settings) as instance:
            walk(
                settings,
                instance,
                STEPS[:-1] if name == ADA else ("raw_web", "stg_documents", "document"),
                name,
            )
        plant(settings, name, TEXT.splitlines()[2] if name == ADA else "A ferry of another.")
    open_store(settings, LOVELACE).sync([c.model_copy(update={"persona": LOVELACE}) for c in CHUNKS])
    (home / "logs/service.log").write_text(f"asked {ADA}\nasked {LOVELACE}\n")
    tick = home / "dagster/storage/__repository__/rebuild_when_due/8.err"
    tick.parent.mkdir(parents=True)
    tick.write_text(json.dumps({"orig_message": f"{ADA}: rebuild 1"}) + "\n")
    keys = Keys(open_lake(settings))
    keys.create("one", [ADA], list(DEFAULT_ACTIONS))
    keys.create("two", [ADA, LOVELACE], list(DEFAULT_ACTIONS))
    return settings


def without_erasures(settings: Settings) -> Settings:
    """What was planted as a dataset is no row, in which an erasure could look for a document."""
    lake = open_lake(settings)
    for key in list(unfinished(lake, ADA)):
        mark_done(lake, key)
    return settings


def copied(used: Settings, tmp_path: Path) -> Settings:
    home, personas = tmp_path / "home", tmp_path / "personas"
    shutil.copytree(used.home, home, symlinks=True)
    shutil.copytree(used.personas_dir, personas)
    return Settings(home=home, personas_dir=personas, profile="pocket")


def others(settings: Settings) -> dict[str, bytes]:
    """Every file that is not the deleted person's alone."""
    home, found = settings.home, {}
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        theirs = NAMED.search(name.encode()) or (path.is_file() and name.startswith("wandb/") and NAMED.search(path.read_bytes()))  # fmt: skip
        if path.is_file() and not theirs and not name.startswith(SHARED):
            found[name] = path.read_bytes()
    return found


def deleted(settings: Settings) -> Certificate:
    with instance_of(settings) as instance:
        graph = PersonInDagster(instance, ADA, lambda: defs)
        return delete_person(settings, open_lake(settings), ADA, "Ines", graph)


def gone(settings: Settings) -> None:
    """Nothing but the certificate names them, and nothing has their words."""
    assert {name for name in places_with(settings.home, NAMED) if not name.startswith(CERTIFICATE)} == set()
    assert [p for p in settings.home.rglob("*") if NAMED.search(p.relative_to(settings.home).as_posix().encode()) and not p.is_relative_to(settings.home / CERTIFICATE)] == []  # fmt: skip
    assert places_with(settings.home, WORD) == set()
    assert sorted(p.name for p in settings.personas_dir.iterdir()) == [f"{LOVELACE}.yaml"]


def test_nothing_of_a_deleted_person_is_left_and_all_of_another_is(used: Settings, tmp_path: Path) -> None:
    settings = copied(used, tmp_path)
    lake, before = open_lake(settings), others(settings)
    chunks, rows = open_store(settings, LOVELACE).count(), rows_of_persona(settings, LOVELACE)
    assert chunks
    assert rows
    found = places_with(settings.home, WORD)
    for place in (
        "lake/raw",
        "lake/datasets",
        "vectors/chunks_",
        "warehouse.duckdb",
        "dagster",
        "uploads",
        "logs",
        "wandb",
        "bentoml",
    ):
        assert any(name.startswith(place) for name in found), place  # the scan sees it where it is

    told = deleted(settings)

    gone(settings)
    assert told.finished_at
    assert told.left == []
    assert set(told.checked.values()) == {0}
    emptied = ("datasets", "index", "dagster", "tracker", "logs", "runs", "embeddings", "crawl_parts", "uploads", "features", "warehouse", "requests", "raw", "models", "erased", "figures", "posts", "threads", "drafts", "feedback", "crawl_state", "reports")  # fmt: skip
    assert [place for place in emptied if not told.places[place]] == []
    assert any("https://x.example/1" in line for line in told.stays)
    assert any(str(tmp_path.parent.parent) in line for line in told.stays) or any(
        "writing" in line for line in told.stays
    )
    assert WORD not in told.model_dump_json().replace(f"{WORD}.md", "")
    (key,) = lake.keys(f"deletions/{ADA}")
    assert Certificate.model_validate_json(lake.read(key)) == told
    # Of the other nothing has changed.
    assert others(settings) == before
    assert open_store(settings, LOVELACE).count() == chunks
    assert rows_of_persona(settings, LOVELACE) == rows
    assert (settings.home / "logs/service.log").read_text() == f"asked {LOVELACE}\n"
    assert list(PAUSED.all(lake)) == [LOVELACE]
    assert [v.lineage.persona for v in Registry(settings).list()] == [LOVELACE]
    with instance_of(settings) as instance:
        assert instance.get_dynamic_partitions("personas") == [LOVELACE]
        assert {run.tags["dagster/partition"] for run in instance.get_runs()} == {LOVELACE}
        made = instance.fetch_materializations(dg.AssetKey("raw_web"), limit=5).records
        assert {record.partition_key for record in made} == {LOVELACE}
        newest = [record.asset_entry.last_materialization for record in instance.get_asset_records(
            [dg.AssetKey("raw_web"), dg.AssetKey("chunks")]
        )]  # fmt: skip
        assert sorted(event is None for event in newest) == [False, True]
    # A service without a key would be open to everybody.
    keys = {tuple(key.personas): key.revoked_at is None for key in Keys(lake).all()}
    assert keys == {(): False, (LOVELACE,): True}
    # The crawl of the other goes on as before, and the name may be given again.
    with pytest.raises(Exception, match="no persona"):
        deleted(settings)


def test_whatever_a_deletion_takes_is_exported_or_left_out_for_a_reason() -> None:
    taken = {place.name for place in PLACES if place.person}
    assert taken == {place.name for place in PLACES if place.export}


def test_a_person_is_given_all_that_is_theirs_and_nothing_of_another(used: Settings, tmp_path: Path) -> None:
    settings = without_erasures(copied(used, tmp_path))
    declared = settings.personas_dir / f"{ADA}.yaml"
    declared.write_text(declared.read_text() + "# feed: https://ada:hunter2@blog.example/feed\n")
    terminal = Terminal(tmp_path / "unused")
    terminal.environment = {"TWIN_HOME": str(settings.home), "TWIN_PERSONAS_DIR": str(settings.personas_dir)}
    said = terminal.said("personas", "export", ADA, str(tmp_path / "ada"))
    assert "hashes of keys" in said
    folder = tmp_path / "ada"
    told = Manifest.model_validate_json((folder / "manifest.json").read_text())
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert files.keys() == {one.path for one in told.files} | {"manifest.json"}
    for one in told.files:
        data = files[one.path].read_bytes()
        assert (one.bytes, one.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        if one.rows is not None:
            assert one.rows == data.count(b"\n")
    # What they wrote, what was made of it, what was asked and said: each where the manifest says.
    documents = [json.loads(line) for line in files["documents.jsonl"].read_text().splitlines()]
    assert {d["source"] for d in documents} == {"web"}
    assert all(d["fetched_at"] and d["url"] for d in documents)
    assert any(TEXT.splitlines()[2] in d["body"] for d in documents)
    assert json.loads(files["requests.jsonl"].read_text().splitlines()[0])["request_id"] == f"of-{ADA}"
    for place in ("feedback", "threads", "drafts", "posts", "datasets", "reports", "uploads", "figures"):
        assert told.places[place], place
    texts = {name for name, path in files.items() if TEXT.splitlines()[2].encode() in path.read_bytes()}
    assert {name.split("/")[0] for name in texts} >= {"documents.jsonl", "threads", "drafts", "datasets", "uploads", "feedback"}  # fmt: skip
    (card,) = (name for name in files if name.startswith("models/") and name.endswith("README.md"))
    assert f"twin-{ADA}-sft" in card
    # Nobody else's, and nothing secret.
    everything = b"".join(path.read_bytes() for path in files.values())
    assert LOVELACE.encode() not in everything
    assert b"A ferry of another." not in everything
    assert b"hunter2" not in everything
    assert all(key.hash.encode() not in everything for key in Keys(open_lake(settings)).all())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # The same as a zip; a name that is taken, and one that is nobody's, are refused, and nothing half made is left.
    assert terminal.said("personas", "export", ADA, str(tmp_path / "ada.zip"))
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == set(files)
    for name, target, why in ((ADA, "ada", "is there already"), ("nobody", "new", "no persona 'nobody'")):
        refused = terminal.twin("personas", "export", name, str(tmp_path / target))
        assert (refused.exit_code, why in refused.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_one_thing_that_cannot_be_read_is_named_and_an_export_that_fails_leaves_nothing(
    used: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = without_erasures(copied(used, tmp_path))
    lake = open_lake(settings)
    lake.write(f"scored_requests/{ADA}/2026-01-01/part.parquet", b"PAR1 and no more")
    told = export_person(settings, lake, ADA, tmp_path / "ada", "Ines", weights=True)
    assert [one.what for one in told.left_out] == [f"scored_requests/{ADA}/2026-01-01/part.parquet", told.left_out[-1].what]  # fmt: skip
    assert told.places["datasets"]
    assert any(one.path.startswith("models/") for one in told.files)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PersonExport, "add", full)
    for name in ("full", "full.zip"):
        with pytest.raises(OSError, match="No space left"):
            export_person(settings, lake, ADA, tmp_path / name, "Ines", weights=True)
    assert [path.name for path in tmp_path.iterdir() if "full" in path.name] == []


KILLED = """
import os, signal
from dagster import DagsterInstance
from twin_assets.core.storage.lake import LocalLake
from tests.defs.monitoring.test_delete_person import deleted
from twin_assets.settings import Settings
owner, name, left = {owner}, {name!r}, [{times}]
plain = getattr(owner, name)
def killed(self, *given):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, *given)
setattr(owner, name, killed)
deleted(Settings(home={home!r}, personas_dir={personas!r}, profile="pocket"))
"""


def test_a_deletion_that_is_killed_twice_is_begun_again_and_ends_the_same(used: Settings, tmp_path: Path) -> None:  # fmt: skip
    settings = copied(used, tmp_path)
    where = {"home": str(settings.home), "personas": str(settings.personas_dir)}
    for owner, name, times in (("LocalLake", "delete", 5), ("DagsterInstance", "delete_run", 0)):
        code = KILLED.format(owner=owner, name=name, times=times, **where)
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]
        assert not (
            settings.personas_dir / f"{ADA}.yaml"
        ).exists()  # no reader takes them for a persona meanwhile
    told = deleted(settings)
    gone(settings)
    assert told.finished_at
    assert len(list(open_lake(settings).keys(f"deletions/{ADA}"))) == 1
    # Read before the ledger of posts went, at the first beginning.
    assert any("https://x.example/1" in line for line in told.stays)
    assert told.places["posts"] == 2


@dg.job
def collect() -> None: ...


def test_the_command_refuses_and_a_persona_whose_file_cannot_be_read_is_deleted(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "home")
    terminal.declare("ola")
    terminal.declare("runa")
    broken = terminal.settings.personas_dir / "ola.yaml"
    broken.write_text("name: [")
    unknown = terminal.twin("personas", "delete", "nobody", "--yes")
    assert (unknown.exit_code, "no persona 'nobody'" in unknown.output) == (1, True)
    unsure = terminal.twin("personas", "delete", "ola")
    assert (unsure.exit_code, "add --yes" in unsure.output) == (1, True)
    with instance_of(terminal.settings) as instance:
        run, busy = (
            instance.create_run_for_job(
                collect, tags={"dagster/partition": "ola"}, status=dg.DagsterRunStatus.STARTED
            )
            for _ in range(2)
        )
        instance.report_run_failed(run)
    refused = terminal.twin("personas", "delete", "ola", "--yes")
    assert (refused.exit_code, busy.run_id in refused.output) == (1, True)
    assert broken.is_file()
    with instance_of(terminal.settings) as instance:
        instance.report_run_failed(busy)
    file = tmp_path / "certificate.json"
    told = json.loads(
        terminal.said("personas", "delete", "ola", "--yes", "--by", "Ines", "--certificate", str(file))
    )
    assert told == json.loads(file.read_text())
    assert told["finished_at"]
    assert told["by"].startswith("Ines (system user ")
    assert told["places"]["dagster"] == 2
    assert not list(terminal.settings.personas_dir.glob("ola*"))
    assert terminal.said("personas").startswith("runa ")


def test_an_object_is_a_persona_s_by_its_whole_name_at_its_place() -> None:
    theirs = (
        "raw/web/ada/1.jsonl",
        "state/crawl/ada/web.json",
        "feature_store/chunks/ada/latest.json",
        "ledger/ada/1.json",
    )
    not_theirs = ("raw/web/ada-lovelace/1.jsonl", "raw/ada/ola/1.jsonl", "ledger/ada-lovelace/1.json", "threads/ola/ada/head.json", "platform", "access/keys/ada.json")  # fmt: skip
    assert [key for key in (*theirs, *not_theirs) if is_theirs(key, "ada")] == list(theirs)
