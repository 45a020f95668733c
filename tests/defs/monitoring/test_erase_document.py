"""One document is erased for good: from raw to index, no byte of it is left, and no later crawl brings it back."""

import gzip
import json
import shutil
import sqlite3
import sys
import zipfile
from datetime import UTC, datetime

import dagster as dg
import pytest

from twin_assets.core.datasets.store import latest_version, read_rows
from twin_assets.core.drafts import Drafts
from twin_assets.core.feedback.store import Feedback, add_feedback, read_feedback
from twin_assets.core.models.registry import Lineage, Registry
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.publishing import PostLedger
from twin_assets.core.storage.erased import unfinished
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.raw import read_items
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.feature.crawl.run import ERASED
from twin_assets.inference.twin.request_log import RequestRecord, read_requests, write_object
from twin_assets.inference.twin.threads import Threads, ThreadTurn
from twin_assets.monitoring.erasure import erase_document, finish_erasures
from twin_assets.monitoring.erasure.places import PLACES
from twin_assets.settings import ROOT, Settings

sys.path.insert(0, str(ROOT / "tests" / "inference"))
from tests.monitoring.erasure.bytes_of_home import places_with

WORD = "zyquokka"
TEXT = f"""# The {WORD} timetable nobody asked for

In the spring of 2019 we let the {WORD} timetable run for a week before anybody noticed that it was printed upside down.

I keep the {WORD} sheet on the wall, since it is the only error of mine that passengers have ever thanked me for in person.

What I learnt of the {WORD} week: print one, walk to the pier, hold it up against the sun, and read it aloud to a stranger.
If the stranger laughs, the {WORD} timetable goes back to the desk, and so do I, with the coffee that I had promised him.
"""
QUOTE = f"In the spring of 2019 we let the {WORD} timetable run for a week before anybody noticed that it was printed upside down."
STEPS = (
    "raw_web", "raw_library", "stg_documents", "document", "library_", "cleaned_", "unique_", "corpus_", "chunks", "embeddings",
    "vector_index", "instruct_dataset",
)  # fmt: skip


def walk(
    settings: Settings, instance: dg.DagsterInstance, steps: tuple[str, ...] = STEPS, persona: str = "runa"
) -> dg.ExecuteInProcessResult:
    """The graph from the crawl to the dataset, or the part of it that `steps` begin the names of."""
    overrides = {"home": str(settings.home), "personas_dir": str(settings.personas_dir), "profile": "pocket"}
    assets = [a for a in defs.assets or [] if isinstance(a, dg.AssetsDefinition)]
    chosen = [a for a in assets if all(k.to_user_string().startswith(steps) for k in a.keys)]
    instance.add_dynamic_partitions("personas", [persona])
    made = dg.materialize(
        chosen, instance=instance, partition_key=persona, resources=build_resources(overrides)
    )
    assert made.success
    return made


def walk_below(settings: Settings) -> dg.ExecuteInProcessResult:
    """The same, with Dagster's own storage below the home."""
    with dg.DagsterInstance.local_temp(str(settings.dagster_home)) as instance:
        return walk(settings, instance)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home, writing = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("writing")
    for path in sorted((ROOT / "demo" / "writing" / "medium").glob("*.md"))[:5]:
        shutil.copy(path, writing)
    (writing / f"{WORD}.md").write_text(TEXT)
    personas = tmp_path_factory.mktemp("personas")
    text = f"name: runa\nfull_name: Runa Skov\nabout: She writes about ferries.\nlicense: MIT\nweb: {{folders: [{writing}]}}\n"
    (personas / "runa.yaml").write_text(text)
    found = Settings(home=home, personas_dir=personas, profile="pocket")
    found.dagster_home.mkdir(parents=True)
    walk_below(found)
    return found


def plant(settings: Settings) -> None:
    """What killed processes, callers and other stages leave of a text, beside what the walk has made."""
    home, lake, now = settings.home, open_lake(settings), datetime.now(UTC)
    asked = {"persona": "runa", "model": "runa:one", "request_id": "quoting", "time": now}
    rows = [RequestRecord(**asked, prompt_kind="answer", outcome="answered", prompt="Timetables?", answer=f"You wrote: {QUOTE}")]  # fmt: skip
    write_object(lake, f"requests/runa/{now:%Y-%m-%d}", "000000000001-aa", rows)
    add_feedback(lake, Feedback(**asked, thumb="up", consent=True, prompt="Timetables?", answer=QUOTE))
    threads = Threads(lake, load_persona(settings.personas_dir, "runa"), "page")
    thread = threads.begin(title=f"On {WORD}: {QUOTE}").id
    turn = ThreadTurn(
        **asked, outcome="answered", prompt="Timetables?", answer=f"You wrote: {QUOTE}", key="page"
    )
    assert threads.add(thread, turn)
    Drafts(lake, "runa", "ann", "public").begin(
        f"My own beginning. {QUOTE} My own end.", "person", title="Timetables"
    )
    PostLedger(lake, "runa").begin("x", QUOTE, draft_id="0", by="ann", mine=False)
    lake.write("reports/runa/runa-one.html", f"<p>In the spring of 2019 we let</p> <b>the {WORD}</b> timetable run for a week before anybody noticed".encode())  # fmt: skip
    lake.write("reports/runa/runa-one.json", json.dumps({"samples": [QUOTE, "kept"]}).encode())
    for path in (home / "cache/crawl/runa/web/20260101T000000000000-aa.jsonl", home / "logs/runa.log", home / "lake/raw/web/runa/.x.jsonl.aa.tmp"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{json.dumps({'body': TEXT})}\nanother line that stays\n")
    with sqlite3.connect(home / "cache/teacher.sqlite") as cache:
        cache.execute("create table lessons (key text primary key, answer text)")
        cache.executemany(
            "insert into lessons values (?, ?)", [("a", json.dumps({"draft": QUOTE})), ("b", "{}")]
        )
    upload = home / "uploads/runa/substack/0123456789abcdef0123456789abcdef"
    upload.mkdir(parents=True)
    with zipfile.ZipFile(upload / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("posts/1.html", f"<html><p>{TEXT}</p></html>")
        archive.writestr("posts/2.html", "<html><p>Another post stays as it is.</p></html>")
        archive.writestr("more.csv.gz", gzip.compress(f'1,"{QUOTE}"\n2,"stays"\n'.encode()))
    folder = home / "cache/training/runa/sft-abc"
    folder.mkdir(parents=True)
    version = latest_version(lake, "runa", "instruct")
    assert version
    (folder / "job.json").write_text(json.dumps({"lineage": {"datasets": {"instruct": version}}}))
    (folder / "rows.txt").write_text(QUOTE)
    (folder.parent / "sft-other").mkdir()
    (folder.parent / "sft-other" / "job.json").write_text(
        '{"lineage": {"datasets": {"instruct": "another"}}}'
    )
    model = home / "made"
    model.mkdir()
    (model / "config.json").write_text("{}")
    Registry(settings).save(model, Lineage(
        persona="runa", stage="sft", profile="nano", datasets={"instruct": version}, config_hash="c", code_version="1", seed=1,
        prompts="p",
    ))  # fmt: skip
    shutil.rmtree(model)


def document_of(settings: Settings) -> str:
    documents = FeatureStore(open_lake(settings)).read("cleaned_documents", "runa")
    (found,) = [d.doc_id for d in documents if WORD in d.voice_text]
    return found


def test_no_byte_of_an_erased_document_is_left_and_no_crawl_brings_it_back(settings: Settings) -> None:
    plant(settings)
    home, lake = settings.home, open_lake(settings)
    doc_id, before = document_of(settings), places_with(home, WORD)
    # The search finds it where it must be: in raw and decoded bytes, in old versions, in archives.
    for place in ("lake/raw/web", "lake/feature_store/chunks", "lake/feature_store/embeddings", "lake/datasets/runa/instruct", "lake/requests", "lake/threads", "lake/feedback", "lake/drafts", "lake/publishing", "lake/reports", "lake/state", "vectors/chunks_runa@", "warehouse.duckdb", "dagster", "cache/crawl", "cache/teacher.sqlite", "cache/requests.sqlite", "uploads", "logs", "cache/training"):  # fmt: skip
        assert any(one.startswith(place) for one in before), place
    others = FeatureStore(lake).read("chunks", "runa")
    items = [item for key in lake.keys("raw") for item in read_items(lake, key)]
    (line,) = [item.model_dump_json() for item in items if item.doc_id == doc_id]

    rewarded = (
        home / "cache/training/runa/grpo-other"
    )  # on a dataset without it, by a reward that is made of it
    rewarded.mkdir()
    (rewarded / "job.json").write_text('{"lineage": {"datasets": {"instruct": "another"}}}')
    (rewarded / "reward.json").write_text(json.dumps({"prose": {doc_id: TEXT}}))
    told = erase_document(settings, lake, "runa", doc_id)

    assert places_with(home, WORD) == set()
    version = latest_version(lake, "runa", "instruct")
    assert version is not None
    assert told.datasets.keys() == {version}
    assert told.models == [v.tag for v in Registry(settings).list("runa")]
    assert told.copies == []
    assert None not in told.places.values()
    assert unfinished(lake, "runa") == {}
    # All else is still there.
    left = FeatureStore(lake).read("chunks", "runa")
    assert left == [c for c in others if c.doc_id != doc_id]
    assert len(left) > 20
    store = open_store(settings, "runa")
    assert store.count() == len(left)
    assert not any(
        r.doc_id == doc_id
        for side in ("train", "test")
        for r in read_rows(lake, "runa", "instruct", version, side)
    )  # type: ignore[arg-type]
    assert [(r.request_id, r.answer) for r in read_requests(lake, "runa")] == [("quoting", None)]
    (thread,) = Threads(lake, load_persona(settings.personas_dir, "runa"), "page").page(10).threads
    assert (thread.title, thread.turns) == ("Untitled", 1)
    assert [(f.thumb, f.answer) for f in read_feedback(lake, "runa")] == [("up", None)]
    [draft] = Drafts(lake, "runa", "ann", "public").all()[0]
    assert draft.last.text.startswith("My own beginning.")
    assert draft.last.text.endswith("My own end.")
    assert json.loads(lake.read("reports/runa/runa-one.json"))["samples"] == ["[erased].", "kept"]
    assert (home / "logs/runa.log").read_text().endswith("another line that stays\n")
    assert (
        home / "cache/crawl/runa/web/20260101T000000000000-aa.jsonl"
    ).read_text() == "another line that stays\n"
    with zipfile.ZipFile(next((home / "uploads").rglob("*.zip"))) as archive:
        assert archive.read("posts/2.html") == b"<html><p>Another post stays as it is.</p></html>"
        assert b"stays" in gzip.decompress(archive.read("more.csv.gz"))
    assert not (home / "cache/training/runa/sft-abc").exists()
    assert (home / "cache/training/runa/sft-other").exists()
    assert not rewarded.exists()

    # The text still stands where it was crawled from, and a killed crawl had it in hand.
    part = home / "cache/crawl/runa/web/20260101T000000000000-aa.jsonl"
    part.write_text(f"{line}\n")
    made = walk_below(settings)
    (crawled,) = made.asset_materializations_for_node("raw_web")
    assert f"| {ERASED} | 1 |" in str(crawled.metadata["skipped"].value)
    assert crawled.metadata["deleted"].value == 0
    # What the source lists by its name is known again by that, and by nothing else.
    assert {name.split("/")[0] for name in places_with(home, "thanked me for in person")} == set()
    assert all(name.startswith(("dagster/", "lake/state/")) for name in places_with(home, WORD))
    assert doc_id not in {d.doc_id for d in FeatureStore(lake).read("cleaned_documents", "runa")}
    bodies = [item.body for key in lake.keys("raw") for item in read_items(lake, key)]
    assert bodies
    assert WORD not in "".join(bodies)
    assert finish_erasures(settings, lake, "runa") == 0


def test_every_folder_of_a_used_home_is_a_place_of_the_registry(settings: Settings) -> None:
    known = tuple(where.removeprefix("./") for place in PLACES for where in place.where if where != ".")
    home = settings.home
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if path.is_file() and not path.name.startswith("."):
            assert name.startswith(known), (
                f"{name} is in no place of inference.erasure.places: add a line there"
            )
    for place in PLACES:
        assert place.holds
        if place.document is None and place.request is None:
            assert place.name in ("mirror", "models", "erased", "figures", "deletions")
        if place.person is None:
            assert place.name in ("mirror", "deletions")


def test_the_jobs_that_erase_are_there_and_one_says_that_a_document_is_unknown(settings: Settings) -> None:
    overrides = {"home": str(settings.home), "personas_dir": str(settings.personas_dir)}
    config = {"ops": {"erase_one_document": {"config": {"persona": "runa", "doc_id": "0" * 16}}}}
    job = defs.get_job_def("erase_document")
    assert defs.get_job_def("erase_requests")
    ran = dg.JobDefinition.execute_in_process(
        job, run_config=config, resources=build_resources(overrides), raise_on_error=False
    )
    assert not ran.success
    assert "has no document" in str(ran.get_step_failure_events()[0].event_specific_data)
