"""A small home as a release leaves it on disk, and everything that is in it, read by the code of today.

`fill` makes one by the product's own code: a crawl, the graph up to the dataset, a registry, a ledger, and what requests leave.
`facts` reads one: what a release wrote down as its facts must hold in every later one. New fields with a default may appear.
"""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from serving.access.keys import Keys
from tests.support.models import family
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import latest_version, read_manifest, read_rows, write_dataset
from twin_assets.core.drafts.store import Drafts, owner_of
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.feedback.store import Feedback, add_feedback, read_feedback
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.publishing.ledger import PostLedger
from twin_assets.core.records import Message
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.dagster_home import ensure_dagster_home
from twin_assets.core.storage.experiments import ExperimentRow, write_experiment
from twin_assets.core.storage.experiments import read_rows as read_experiments
from twin_assets.core.storage.feature_store import ROWS, FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.raw import read_items
from twin_assets.core.vectors import open_store
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import RequestRecord, read_requests
from twin_assets.inference.twin.threads import Threads, ThreadTurn
from twin_assets.settings import ROOT, Settings

PERSONA = "ines"
STEPS = (
    "raw_web", "raw_library", "stg_documents", "document", "library_", "cleaned_", "unique_", "corpus_", "chunks", "embeddings", "vector_index",
)  # fmt: skip
DECLARED = """
name: ines
full_name: Ines Roca
about: Ines Roca keeps the data of a small port.
license: CC-BY-4.0
log_text: kept
web: {folders: [../writing]}
"""
ARTICLES = sorted((ROOT / "demo" / "writing" / "medium").glob("*.md"))[:3]
QUESTION = "Why is a green tick not a fact?"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TOKEN = "token.txt"  # of the home's one API key; it opens nothing else


def settings_of(home: Path) -> Settings:
    return Settings(home=home, personas_dir=home / "personas", profile="smoke", reference_model="none")


def fill(home: Path) -> None:
    """Make a home in an empty folder."""
    settings = settings_of(home)
    for folder in (settings.personas_dir, home / "writing"):
        folder.mkdir(parents=True)
    (settings.personas_dir / f"{PERSONA}.yaml").write_text(DECLARED, encoding="utf-8")
    for article in ARTICLES:
        shutil.copy(article, home / "writing")
    ensure_dagster_home(settings)
    materialize(settings)
    _release(settings, home / "scratch")
    _use(settings)


def materialize(settings: Settings) -> None:
    """Crawl, and everything up to index and dataset."""
    from twin_assets.definitions import defs
    from twin_assets.defs.shared.resources import build_resources

    assets = [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    chosen = [a for a in assets if all(key.to_user_string().startswith(STEPS) for key in a.keys)]
    given = {
        "home": str(settings.home),
        "personas_dir": str(settings.personas_dir),
        "profile": settings.profile,
    }
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.add_dynamic_partitions("personas", [PERSONA])
        done = dg.materialize(
            chosen, instance=instance, partition_key=PERSONA, resources=build_resources(given)
        )
    assert done.success


def _release(settings: Settings, scratch: Path) -> None:
    versions = family(Registry(settings), scratch, adapters=True)
    shutil.rmtree(scratch)
    write_dataset(
        open_lake(settings), PERSONA, "instruct", _rows(), parents={}, prompts="p", dropped={}, seed=17, license="CC-BY-4.0",
        visibility="public", summary="Rows.",
    )  # fmt: skip
    ledger = Ledger(open_lake(settings), PERSONA)
    model = versions[-1].tag
    ledger.append(model, "proposed", "pipeline", "a candidate")
    ledger.append(model, "evaluated", "pipeline", "it passed", passed=True)
    ledger.append(model, "approved", "Ines", "it sounds like me")
    ledger.append(model, "deployed", "pipeline", "approved")
    write_experiment(open_lake(settings), ExperimentRow(
        run_id="r1", tag=model, persona=PERSONA, stage="dpo", profile="smoke", parent=None, datasets={"instruct": "v"},
        config_hash="c", hyperparameters={"learning_rate": 0.001}, code_version="1", seed=17, metrics={"eval_loss": 1.5}, rows=9,
        tokens=90, seconds=3.0, cost_usd=None, host="here", status="finished", started_at=START,
    ))  # fmt: skip


def _rows() -> list[InstructRow]:
    return [
        InstructRow(
            row_id=f"row-{number}", doc_id=f"doc-{number}", task="write_section", split="heldout" if number == 0 else "train",
            messages=[Message(role="user", content=f"Write section {number}."), Message(role="assistant", content="A tick is a claim.")],
        )
        for number in range(3)
    ]  # fmt: skip


def _use(settings: Settings) -> None:
    lake, persona = open_lake(settings), load_persona(settings.personas_dir, PERSONA)
    model = Ledger(lake, PERSONA).production()
    assert model
    token, key = Keys(lake).create("phone", [PERSONA], ["read", "chat"], per_minute=60)
    (settings.home / TOKEN).write_text(token)
    answer = "Because nobody had looked."
    log = RequestLog(lake)
    for number in range(3):
        log.append(RequestRecord(
            request_id=f"req-{number}", time=START + timedelta(minutes=number), persona=PERSONA, model=model, prompt_kind="answer",
            outcome="answered", prompt=QUESTION, answer=answer, key=key.id, tokens_in=90, tokens_out=9,
        ))  # fmt: skip
    log.close()
    add_feedback(lake, Feedback(
        request_id="req-0", time=START + timedelta(hours=1), persona=PERSONA, model=model, thumb="up", consent=True,
        prompt=QUESTION, answer=answer, edited="Because I had not looked.", edited_share=0.5, key=key.id,
    ))  # fmt: skip
    threads = Threads(lake, persona, key.id, now=START)
    thread = threads.begin("Ticks")
    threads.add(thread.id, ThreadTurn(
        request_id="req-1", time=START + timedelta(minutes=1), model=model, outcome="answered", prompt=QUESTION, answer=answer, key=key.id,
    ))  # fmt: skip
    drafts = Drafts(lake, PERSONA, owner_of(key.id), "public")
    draft = drafts.begin("A tick is a claim.", "person", title="Ticks")
    post = PostLedger(lake, PERSONA).begin(
        "mastodon", draft.last.text, draft_id=draft.id, by="Ines", mine=True
    )
    PostLedger(lake, PERSONA).end(post.number, "made", "Ines", post_id="1", address="https://ines.example/1")


def facts(home: Path) -> dict[str, Any]:
    """All that a home holds, as JSON has it. Raises what the product raises for what it can't read."""
    settings = settings_of(home)
    lake, persona = open_lake(settings), load_persona(settings.personas_dir, PERSONA)
    store, index, drafts = FeatureStore(lake), open_store(settings, PERSONA), {}
    key = Keys(lake).find((home / TOKEN).read_text())
    assert key
    threads = Threads(lake, persona, key.id, now=START)
    found, damaged = Drafts(lake, PERSONA, owner_of(key.id), "public").all()
    assert not damaged
    drafts = {draft.id: _json(draft) for draft in found}
    dataset = latest_version(lake, PERSONA, "instruct")
    assert dataset
    embedder = load_embedder(settings.embedder)
    passages = index.search(QUESTION, embedder.embed_question(QUESTION), 1, embedder=embedder.fingerprint)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        runs = [str(run.status.value) for run in instance.get_runs()]
    return {
        "persona": _json(persona, exclude={"web"}),  # whose folder is absolute
        "raw": [_json(item) for name in lake.keys("raw") for item in read_items(lake, name)],
        "features": {
            asset: [_json(row, exclude={"vector"}) for row in store.read(asset, PERSONA)]
            for asset in ROWS if store.latest(asset, PERSONA)
        },
        "dataset": _json(read_manifest(lake, PERSONA, "instruct", dataset)),
        "dataset_rows": [
            _json(row) for side in ("train", "test") for row in read_rows(lake, PERSONA, "instruct", dataset, side)
        ],
        "models": [_json(version, exclude={"path"}) for version in Registry(settings).list()],
        "ledger": [_json(event) for event in Ledger(lake, PERSONA).events()],
        "production": Ledger(lake, PERSONA).production(),
        "experiments": [_json(row) for row in read_experiments(lake, PERSONA)],
        "key": _json(key),
        "requests": [_json(row) for row in read_requests(lake, PERSONA)],
        "feedback": [_json(said) for said in read_feedback(lake, PERSONA)],
        "threads": [_json(threads.open(one.id)) for one in threads.page(10).threads],
        "drafts": drafts,
        "posts": [_json(post) for post in PostLedger(lake, PERSONA).posts()],
        "indexed": index.count(),
        "found": passages[0].text,
        "warehouse": _warehouse(settings.warehouse_path),
        "runs": runs,
    }  # fmt: skip


def _warehouse(path: Path) -> dict[str, int]:
    """Rows by table; a view reads the lake again."""
    tables = "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE' order by all"
    with duckdb.connect(str(path), read_only=True) as warehouse:
        return {
            name: warehouse.execute(f'select count(*) from "{schema}"."{name}"').fetchall()[0][0]
            for schema, name in warehouse.execute(tables).fetchall()
        }


def _json(record: Any, **options: Any) -> Any:
    return record.model_dump(mode="json", **options) if hasattr(record, "model_dump") else json.loads(json.dumps(record, default=str))  # fmt: skip


def holds(now: Any, then: Any, at: str = "") -> list[str]:
    """Where what is read now is not what was read then; a field that there was not yet may stand beside it."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            fault for name, value in then.items()
            for fault in (holds(now[name], value, f"{at}.{name}") if name in now else [f"{at}.{name} is gone"])
        ]  # fmt: skip
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [fault for number, pair in enumerate(zip(now, then, strict=True)) for fault in holds(*pair, f"{at}[{number}]")]  # fmt: skip
    return [] if now == then else [f"{at}: {str(then)[:80]!r} is read as {str(now)[:80]!r}"]
