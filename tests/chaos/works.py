"""The works that the campaign disturbs: each on a home of its own, done by the product's own commands and functions, and
ending in a result that can be compared with that of an undisturbed run."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.sites import DemoSites
from tests.chaos.kills import NEVER, Kill, Undisturbed, run_function, run_module
from tests.core.release.test_release_is_killed import check as check_ledger
from tests.support.chunks import chunk
from tests.support.models import lineage, save
from tests.support.releases import Office
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import (
    latest_version,
    read_manifest,
    read_rows,
    stored_version,
    write_dataset,
)
from twin_assets.core.hashing import bytes_hash
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.release.approval import deploy
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake, LocalLake
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import RequestRecord, read_requests
from twin_assets.settings import Settings

ROWS = 1_200  # a dataset with a subset
REQUESTS = 250


@dataclass
class Work:
    """`prepare` makes the home that the work begins on, `result` says what the work left there, `sound` what is wrong
    with it. `act` runs in a process of its own, `module` as a command."""

    name: str
    result: Callable[[Path], "Counter[str]"]
    prepare: Callable[[Path], None] = lambda home: None
    act: Callable[[Path], None] | None = None
    module: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    sound: Callable[[Path], list[str]] = lambda home: []

    def begin(self, home: Path, kill: Kill = NEVER) -> tuple[int, str]:
        """Exit status, and the last words where there are any."""
        counts = home.with_name(f"{home.name}.counts")
        if self.act:
            return run_function(self.act, home, kill, counts)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | self.environment
        return run_module(
            self.module,
            home,
            kill,
            counts,
            environment | {"TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas")},
        )

    def measure(self, home: Path) -> Undisturbed:
        """Does the work on a prepared home, undisturbed."""
        before = {p: p.stat().st_size for p in home.rglob("*") if p.is_file()}
        status, said = self.begin(home)
        assert status == 0, f"{self.name} fails undisturbed: {said}"
        calls, seconds = home.with_name(f"{home.name}.counts").read_text().split()
        after = {p: p.stat().st_size for p in home.rglob("*") if p.is_file()}
        sizes = [size for path, size in after.items() if before.get(path) != size]
        return Undisturbed(int(calls), float(seconds), sizes)


def left_behind(home: Path) -> tuple[int, list[str]]:
    """Temporary files that killed writers left: how many the product sweeps once they are old, and which stay."""
    lake, before = LocalLake(home / "lake"), set(_temporary(home))
    for path in before:
        os.utime(path, (0, 0))  # as if days had passed
    lake.sweep()
    registry = Registry(Settings(home=home))
    with registry._stage():
        pass
    after = set(_temporary(home)) & before
    return len(before - after), sorted(str(p.relative_to(home)) for p in after)


def _temporary(home: Path) -> Iterator[Path]:
    yield from (p for p in home.rglob("*") if p.name.endswith((".tmp", ".damaged")))
    yield from (home / "bentoml" / "staging").glob("*")
    yield from (home / "cache" / "crawl").rglob("*.jsonl")


# --- crawl -------------------------------------------------------------------------------------------------------------


def crawl(sites: DemoSites, source: str, edition: int) -> Work:
    """The crawl of a source of the demo persona; of edition 2 where edition 1 was collected before."""

    def prepare(home: Path) -> None:
        _persona(home, sites)
        sites.edition = 1
        if edition == 2:
            assert work.begin(home)[0] == 0
        sites.edition = edition

    work = Work(
        f"crawl of {source}, edition {edition}", lambda home: _collected(home, source), prepare,
        module=["twin_assets.feature.crawl.run", "--persona", "runa", "--source", source],
        environment={"TWIN_ALLOW_PRIVATE_HOSTS": "true", "TWIN_LINKEDIN_TOKEN": "demo", "TWIN_GITHUB_TOKEN": "demo"},
    )  # fmt: skip
    return work


def _persona(home: Path, sites: DemoSites) -> None:
    (home / "personas").mkdir(parents=True)
    save_persona(home / "personas", {
        "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Keeps the boats' data.",
        "linkedin": {"profile": "https://www.linkedin.com/in/runahollis", "api": sites.url("/linkedin")},
        "medium": {"feed": sites.url("/medium/feed/@runahollis")}, "substack": {"url": sites.url("/substack")},
        "github": {"user": "runahollis", "api": sites.url("/github")},
    })  # fmt: skip


def _collected(home: Path, source: str) -> "Counter[str]":
    return collected(LocalLake(home / "lake"), source)


def collected(lake: Lake, source: str) -> "Counter[str]":
    """Raw versions by item; and what the source's state knows."""
    found = Counter[str]()
    for key in lake.keys(f"raw/{source}/runa"):
        for line in lake.read(key).decode().split("\n"):
            if line:
                item = json.loads(line)
                text = bytes_hash(f"{item['title']} {item['body']}".encode())[:12]
                found[f"raw {item['kind']} {item['item_id']} {text}"] += 1
    state = json.loads(lake.read(f"state/crawl/runa/{source}.json"))
    found.update(f"known {item_id} {known['version']}" for item_id, known in state["known"].items())
    return found


# --- sync --------------------------------------------------------------------------------------------------------------


def _corpus(numbers: range, edited: int = 0) -> list[Any]:
    return [
        chunk(str(n), f"text {n} word{n % 7}", n % 8, title="edited" if n < edited else "first")
        for n in numbers
    ]


def _store(home: Path) -> Any:
    from twin_assets.core.vectors.lance import LanceStore  # here: it has threads, which no fork may copy

    return LanceStore(str(home / "vectors"), "runa")


def fill_index(home: Path) -> None:
    _store(home).sync(_corpus(range(900)))


def sync_index(home: Path) -> None:
    """Adds, edits and deletes."""
    _store(home).sync(_corpus(range(300, 1_500), edited=700))


def _indexed(home: Path) -> "Counter[str]":
    import lancedb

    db = lancedb.connect(str(home / "vectors"))
    found = Counter[str]()
    for name in db.list_tables().tables:
        rows = db.open_table(name).to_arrow().to_pylist()
        found.update(f"{row['chunk_id']} {row['title']}" for row in rows)
    return found


def _index_is_sound(home: Path) -> list[str]:
    """A sync has nothing left to do, and both sides of a search find."""
    import numpy as np

    store, wanted = _store(home), _corpus(range(300, 1_500), edited=700)
    wrong = []
    if (report := store.sync(wanted)).unchanged != len(wanted):
        wrong.append(f"a further sync still changes: {report}")
    vector = np.array(wanted[0].vector)
    if [p.chunk_id for p in store.search("1234", vector, 1, embedder="e1", alpha=0.0)] != ["1234"]:
        wrong.append("the search for words does not find")
    return wrong


SYNC = Work(
    "sync of the vector index",
    _indexed,
    fill_index,
    module=["tests.chaos.works", "sync_index"],
    sound=_index_is_sound,
)


# --- datasets ----------------------------------------------------------------------------------------------------------


def _rows(edition: int) -> list[InstructRow]:
    return [
        InstructRow(row_id=f"r{n}", doc_id=f"d{n % 40}", task="write_post" if n % 3 else "answer", split="heldout" if n % 9 == 8 else "train",
            messages=[Message(role="user", content=f"Write about the {n}th boat."), Message(role="assistant", content=f"Boat {n} was late, {edition}.")])
        for n in range(ROWS)
    ]  # fmt: skip


def _documents(edition: int) -> list[SplitDocument]:
    return [
        SplitDocument.model_validate({
            "persona": "runa", "source": "medium", "category": "article", "doc_id": f"d{n}", "title": f"Boat {n}",
            "url": f"https://runa.example/{n}", "language": "en", "content_hash": f"{n}-{edition}", "cluster_id": f"d{n}",
            "voice_text": f"Boat {n} was late, {edition}.", "search_text": f"boat {n} was late, {edition}", "words": 5,
            "split": "heldout" if n % 5 == 4 else "train",
        })
        for n in range(40)
    ]  # fmt: skip


def build_dataset(home: Path, edition: int = 2) -> None:
    write_corpus_and_dataset(LocalLake(home / "lake"), edition)


def write_corpus_and_dataset(lake: Lake, edition: int) -> str:
    """A version of the corpus in the feature store and the dataset made of it; the dataset's version."""
    stored = FeatureStore(lake).write("corpus_split", "runa", _documents(edition), list[SplitDocument])
    return write_dataset(
        lake, "runa", "instruct", _rows(edition), parents={"corpus_split": stored.rpartition("/")[2]},
        prompts="p1", dropped={"too short": 3}, seed=17, license="CC-BY-4.0", visibility="public", summary="A test.",
    ).version  # fmt: skip


def datasets_in(lake: Lake) -> "Counter[str]":
    """Every object of the corpus and its datasets by content; a corpus version became the latest once."""
    found = Counter[str]()
    for prefix in ("datasets/runa", "feature_store/corpus_split/runa"):
        for key in lake.keys(prefix):
            if "/history/" not in key:
                found[f"{key} {bytes_hash(lake.read(key))[:12]}"] += 1
    found.update(f"history {version.name}" for version in FeatureStore(lake).versions("corpus_split", "runa"))
    return found


def datasets_are_sound(lake: Lake) -> list[str]:
    version = latest_version(lake, "runa", "instruct")
    if version is None:
        return ["there is no latest dataset"]
    manifest = read_manifest(lake, "runa", "instruct", version)
    wrong = (
        [] if stored_version(lake, manifest) == version else ["the latest dataset is not what its name says"]
    )
    rows = sum(len(read_rows(lake, "runa", "instruct", version, side)) for side in ("train", "test"))
    return wrong if rows == ROWS else [*wrong, f"{rows} rows of {ROWS}"]


DATASET = Work(
    "building of a dataset", lambda home: datasets_in(LocalLake(home / "lake")), lambda home: build_dataset(home, 1),
    build_dataset, sound=lambda home: datasets_are_sound(LocalLake(home / "lake")),
)  # fmt: skip


# --- publishing of a model version --------------------------------------------------------------------------------------


def prepare_registry(home: Path) -> None:
    save(Registry(Settings(home=home)), home / "older", lineage("dpo", "runa-sft:one", 1))


def publish_model(home: Path) -> None:
    """As a finished training does: asks for the version of its inputs, and saves it where there is none."""
    registry = Registry(Settings(home=home))
    save(registry, home / "trained", lineage("dpo", "runa-sft:one", 2))


def _published(home: Path) -> "Counter[str]":
    versions = Registry(Settings(home=home)).list()
    return Counter(f"{v.tag} {v.weights_hash} {v.size_bytes}" for v in versions)


def _registry_is_sound(home: Path) -> list[str]:
    registry = Registry(Settings(home=home))
    wrong = []
    for version in registry.list():
        missing = [
            n
            for n in ("README.md", "version.json", "model.safetensors", "model.yaml")
            if not (version.path / n).is_file()
        ]
        if missing:
            wrong.append(f"{version.tag} lacks {missing}")
    return wrong


PUBLISH = Work(
    "publishing of a model version", _published, prepare_registry, publish_model, sound=_registry_is_sound
)


# --- release and approval -----------------------------------------------------------------------------------------------


def prepare_office(home: Path) -> None:
    """One version serves, another was trained."""
    office = Office(home)
    office.release()
    office.candidate()


def release_candidate(home: Path) -> None:
    """Whatever is still to do until the candidate serves, and then back to the version before and there again."""
    office = Office(home)
    ledger = office.ledger
    first = ledger.history().events[0].model
    candidate = next(e.model for e in ledger.events() if e.model != first)
    while True:
        history = ledger.history()
        state, rolled = history.state(candidate), any(e.kind == "rolled_back" for e in history.events)
        if state == "evaluated":
            waiting = history.waiting()
            assert waiting is not None
            office.approve(waiting)
        elif state == "approved":
            deploy(ledger, office.registry, office.settings)
        elif state == "deployed" and not rolled:
            last = history.last(candidate)
            assert last is not None
            office.decide("roll_back", last)
        elif state == "rolled_back":
            office.evaluated(candidate)
        elif state == "proposed":
            ledger.append(candidate, "evaluated", "pipeline", "report", passed=True)
        else:
            return


def _released(home: Path) -> "Counter[str]":
    office, found = Office(home), Counter[str]()
    for event in office.ledger.events():
        found[f"{event.model} {event.kind} by {event.actor}"] += 1
    found[f"production {office.ledger.production()}"] += 1
    return found


def _ledger_is_sound(home: Path) -> list[str]:
    try:
        check_ledger(Office(home).ledger.events())
    except AssertionError as error:
        return [f"the ledger is not sound: {error}"]
    return []


RELEASE = Work(
    "release, rollback and release again",
    _released,
    prepare_office,
    release_candidate,
    sound=_ledger_is_sound,
)


# --- request log --------------------------------------------------------------------------------------------------------


def request(number: int) -> RequestRecord:
    return RequestRecord(
        request_id=f"q{number}", time=datetime.now(UTC), persona="runa", model="twin-runa-dpo:one", prompt_kind="answer",
        outcome="answered", prompt=f"When does boat {number} leave?", answer="Late, as ever. " * 20,
    )  # fmt: skip


def log_requests(home: Path) -> None:
    log_into(LocalLake(home / "lake"))


def log_into(lake: Lake) -> None:
    """Requests that are not in the log yet are asked (again) and logged: a killed process loses its last second's rows."""
    there = {row.request_id for row in read_requests(lake, "runa")}
    log = RequestLog(lake)
    for number in range(REQUESTS):
        if f"q{number}" not in there:
            log.append(request(number))
    log.close()
    assert (log.lost, log.waiting) == (0, 0), f"{log.lost} lost, {log.waiting} wait"


def _logged(home: Path) -> "Counter[str]":
    return Counter(row.request_id for row in read_requests(LocalLake(home / "lake"), "runa"))


LOG = Work("writing of the request log", _logged, act=log_requests)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["TWIN_HOME"]))
