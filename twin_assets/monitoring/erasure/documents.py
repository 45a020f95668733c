"""What a document left in each place, and taking it out of there; `places` says in which order.

A document is known by its id where rows carry one. Texts that others wrote with it before them (answers, reports, logs)
are known by its words (`core.text.traces`): what none of the persona's other documents says.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from twin_assets.core.datasets.erasure import erase_rows, rows_that
from twin_assets.core.datasets.rows import Kind, StoredRow
from twin_assets.core.drafts.store import draft_keys
from twin_assets.core.embedding.embedder import search_view
from twin_assets.core.feedback import store as feedback
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.version import REWARD_FILE
from twin_assets.core.publishing.ledger import FOLDER as LEDGER
from twin_assets.core.records import Chunk, UniqueDocument, Visibility
from twin_assets.core.storage.database import clean_texts
from twin_assets.core.storage.erased import add_erased, mark_done, settle
from twin_assets.core.storage.feature_store import ROWS, FeatureStore
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.raw import RawItem, read_items, take_out
from twin_assets.core.text.traces import Traces
from twin_assets.core.vectors import open_store
from twin_assets.inference.twin import log_days, request_log
from twin_assets.inference.twin.threads import removal, stored
from twin_assets.monitoring.erasure import files
from twin_assets.monitoring.erasure.warehouse import erase_documents
from twin_assets.settings import Settings

TEXTS = ("voice_text", "search_text", "text")  # of a feature's row


class DocumentErasure:
    """One document that is being erased: what is known of it, and what of its erasure is told beside counts."""

    def __init__(self, settings: Settings, lake: Lake, persona: str, doc_id: str) -> None:
        self.settings, self.lake, self.persona, self.doc_id = settings, lake, persona, doc_id
        self.raw: list[RawItem] = []
        others: dict[str, str] = {}
        for key in raw_keys(lake, persona):
            for item in read_items(lake, key):
                if item.doc_id == doc_id:
                    self.raw.append(item)
                else:
                    others[item.doc_id] = item.body
        self.rows = FeatureStore(lake).rows_of(persona, doc_id)
        texts = [item.body for item in self.raw]
        texts += [row[name] for row in self.rows for name in TEXTS if row.get(name)]
        names = {item.url for item in self.raw} | {item.item_id for item in self.raw}
        names |= {item.title for item in self.raw if item.title and len(item.title.split()) > 2}
        self.traces = Traces(texts, names, others.values())
        self.datasets: dict[str, int] = {}

    @property
    def visibilities(self) -> set[Visibility]:
        """Who its versions are for."""
        return {item.visibility for item in self.raw} | {
            row.get("visibility", "private") for row in self.rows
        }

    def copies(self) -> list[str]:
        """Ids of other documents with the same text, such as the same piece on another site."""
        store, doc_ids = FeatureStore(self.lake), set[str]()
        if store.latest("unique_documents", self.persona):
            clusters: list[UniqueDocument] = store.read("unique_documents", self.persona)
            for one in clusters:
                doc_ids |= {one.doc_id, *one.duplicates} if self.doc_id in one.duplicates else set()
        for row in self.rows:
            doc_ids |= set(row.get("duplicates") or ())
        return sorted(doc_ids - {self.doc_id})


def raw_keys(lake: Lake, persona: str) -> list[str]:
    """Raw objects of a persona, of all sources and the library."""
    return [key for key in lake.keys("raw") if key.split("/")[2:3] == [persona]]


def from_datasets(erasure: DocumentErasure) -> int:
    lake, persona, taken = erasure.lake, erasure.persona, 0
    kinds: tuple[Kind, ...] = ("instruct", "preference")
    for kind in kinds:

        def quotes(row: StoredRow) -> bool:
            return row.doc_id == erasure.doc_id or erasure.traces.are_in(row.model_dump_json())

        entry = add_erased(lake, persona, rows=rows_that(lake, persona, kind, quotes))
        erased = erase_rows(lake, persona, kind)
        if entry:
            mark_done(lake, entry)
        erasure.datasets |= erased
        taken += sum(erased.values())
    return taken


def from_features(erasure: DocumentErasure) -> int:
    store, lake = FeatureStore(erasure.lake), erasure.lake
    taken = settle(lake, erasure.persona, lambda listed: store.take_out(erasure.persona, listed.documents))
    single = (
        key
        for key in list(lake.keys("feature_store"))
        if key.split("/")[1] not in ROWS
        and key.split("/")[2:3] == [erasure.persona]
        and key.endswith(".json")
    )
    return taken + _clean_objects(erasure, single)


def from_reports(erasure: DocumentErasure) -> int:
    folders = ("reports", "monitoring", "experiments", "alerts")
    return _clean_objects(
        erasure, (key for one in folders for key in list(erasure.lake.keys(f"{one}/{erasure.persona}")))
    )


def from_drafts(erasure: DocumentErasure) -> int:
    """Its words in drafts, whoever's they are; what a person wrote around them stays."""
    return _clean_objects(erasure, iter(draft_keys(erasure.lake, erasure.persona)))


def from_posts(erasure: DocumentErasure) -> int:
    """Its words in the ledger of posts; that there was a post, and where, stays."""
    return _clean_objects(erasure, erasure.lake.keys(f"{LEDGER}/{erasure.persona}"))


def from_index(erasure: DocumentErasure) -> int:
    with closing(open_store(erasure.settings, erasure.persona)) as store:
        return store.erase([erasure.doc_id])


def from_warehouse(erasure: DocumentErasure) -> int | None:
    return erase_documents(erasure.settings, erasure.persona, [erasure.doc_id])


def from_log(erasure: DocumentErasure) -> int:
    """Texts of requests that quote it; the rows stay."""
    lake, persona = erasure.lake, erasure.persona
    rows = request_log.stored_rows(lake, persona)
    quoting = {
        row.request_id
        for row in rows
        if _quote(
            erasure,
            row.prompt,
            row.understood_as,
            row.answer,
            row.brief.model_dump_json() if row.brief else None,
        )
    }
    entry = add_erased(lake, persona, texts=quoting)
    settle(lake, persona, lambda listed: log_days.take_out(lake, persona, listed))
    if entry:
        mark_done(lake, entry)
    return len(quoting)


def from_feedback(erasure: DocumentErasure) -> int:
    """Texts of reactions that quote it; a thumb stays, a pair does not."""
    lake, persona = erasure.lake, erasure.persona
    keys = list(lake.keys(f"{feedback.FOLDER}/{persona}"))
    said = [one for key in keys if (one := feedback.read_reaction(lake, key))]
    quoting = {
        r.request_id
        for r in said
        if _quote(erasure, r.prompt, r.answer, r.edited, r.comment, json.dumps(r.brief) if r.brief else None)
    }
    entry = add_erased(lake, persona, texts=quoting)
    changed = settle(lake, persona, lambda listed: feedback.take_out_texts(lake, persona, listed))
    if entry:
        mark_done(lake, entry)
    return changed


def from_threads(erasure: DocumentErasure) -> int:
    """Citations of it, texts of turns that quote it, and titles that do."""
    lake, persona = erasure.lake, erasure.persona
    quoting, retitled = set[str](), 0
    for key in list(lake.keys(f"{stored.FOLDER}/{persona}")):
        if key.endswith(f"/{stored.HEAD}"):
            retitled += lake.update(key, lambda data: _without_title(erasure, data))
        elif turn := stored.read_turn(lake, key):
            others = [one.quote for one in turn.citations or () if one.doc_id != erasure.doc_id]
            if _quote(erasure, turn.prompt, turn.answer, turn.understood_as, *others):
                quoting.add(turn.request_id)
    entry = add_erased(lake, persona, texts=quoting)
    changed = settle(lake, persona, lambda listed: removal.take_out(lake, persona, listed))
    if entry:
        mark_done(lake, entry)
    return retitled + changed


def from_raw(erasure: DocumentErasure) -> int:
    lake, persona = erasure.lake, erasure.persona
    return settle(lake, persona, lambda listed: take_out(lake, raw_keys(lake, persona), listed.documents))


def from_crawl_state(erasure: DocumentErasure) -> int:
    """What a crawl remembers of it: that it is known, and how to ask whether it changed."""
    taken = 0
    for source in {item.source for item in erasure.raw}:
        ids = {item.item_id for item in erasure.raw if item.source == source}

        def forgotten(data: bytes, ids: set[str] = ids) -> bytes | None:
            try:
                state = json.loads(data)
            except ValueError:
                return None  # damaged: the next crawl makes it again from what the lake holds
            items, validators = state.get("known", {}), state.get("validators", {})
            left = {
                "known": {name: one for name, one in items.items() if name not in ids},
                "validators": {
                    u: v for u, v in validators.items() if not erasure.traces.are_in(json.dumps([u, v]))
                },
            }
            same = left == {"known": items, "validators": validators}
            return None if same else json.dumps(state | left).encode()

        taken += erasure.lake.update(f"state/crawl/{erasure.persona}/{source}.json", forgotten)
    return taken


def from_crawl_parts(erasure: DocumentErasure) -> int:
    """Lines of parts that a killed crawl left; a running one looks at the list before it stores its own."""
    changed = 0
    for path in files.files_below(erasure.settings.cache_dir / "crawl" / erasure.persona):
        if path.suffix in (".jsonl", ".damaged"):
            lines = path.read_bytes().split(b"\n")
            left = [line for line in lines if not erasure.traces.are_in(line.decode("utf-8", "replace"))]
            if len(left) < len(lines):
                path.write_bytes(b"\n".join(left))
                changed += 1
    return changed


def from_embeddings(erasure: DocumentErasure) -> int:
    """Vectors of its texts."""
    return forget_vectors(erasure.settings, erasure.rows)


def forget_vectors(settings: Settings, rows: Iterable[dict[str, Any]]) -> int:
    """Vectors of the texts of features' rows, as the cache of embedded texts names them; how many."""
    texts = set[str]()
    for row in rows:
        texts |= {row[name] for name in TEXTS if row.get(name)}
        if row.get("chunk_id"):
            texts.add(search_view(Chunk.model_validate(row)))
    keys = [text_hash(text, 32) for text in texts]
    caches = settings.cache_dir.glob("embeddings-*.sqlite")
    return sum(KeptValues[bytes](file, "vectors").erase(keys) for file in caches)


def from_answers_kept(erasure: DocumentErasure) -> int:
    """What a teacher said of its passages; such a passage is asked anew."""
    taken = 0
    for path in erasure.settings.cache_dir.glob("*.sqlite"):
        if not path.name.startswith("embeddings-"):
            taken += files.clean_sqlite(path, lambda text: None if erasure.traces.are_in(text) else text)
    return taken


def from_runs(erasure: DocumentErasure) -> int:
    """Folders of trainings, rebuilds and searches on versions that held it; a training that runs on one ends in an
    error."""
    cache, persona = erasure.settings.cache_dir, erasure.persona
    held = [
        job.parent
        for runs in ("training", "rebuilds", "search/runs")
        for job in (cache / runs / persona).glob("*/job.json")
        if any(version in job.read_text() for version in erasure.datasets) or _rewards(job, erasure.doc_id)
    ]
    held += [cache / "search" / persona / f"data-{version}" for version in erasure.datasets]
    return sum(files.remove_folder(folder) for folder in held)


def _rewards(job: Path, doc_id: str) -> bool:
    """Whether a document is among what rewards the training: that is made of the corpus, not of the dataset alone."""
    reward = job.with_name(REWARD_FILE)
    return reward.is_file() and doc_id in reward.read_text("utf-8")


def from_logs(erasure: DocumentErasure) -> int:
    return files.clean_files(
        files.files_below(erasure.settings.home / "logs"), erasure.traces, "[erased]", open_by_others=True
    )


def from_dagster(erasure: DocumentErasure) -> int:
    """Samples and messages in Dagster's event log, and what its runs printed."""
    home = erasure.settings.dagster_home
    taken = files.clean_files(
        (path for path in files.files_below(home) if not _is_database(path)),
        erasure.traces,
        "[erased]",
        open_by_others=True,
    )
    for path in filter(_is_database, files.files_below(home)):
        if path.suffix == ".db":
            taken += files.clean_sqlite(path, lambda text: _cleaned(erasure, text))
    if erasure.settings.database_url:
        taken += clean_texts(erasure.settings, lambda text: _cleaned(erasure, text))
    return taken


def from_tracker(erasure: DocumentErasure) -> int:
    """Files that wait to be sent to Weights & Biases."""
    return files.remove_files(files.files_below(erasure.settings.home / "wandb"), erasure.traces)


def from_uploads(erasure: DocumentErasure) -> int:
    """Its words in exports that were brought, kept or staged; the export is read as before, without them."""
    home, persona = erasure.settings.home, erasure.persona
    return files.clean_files(
        files.files_below(home / "uploads" / persona, home / "staging" / persona), erasure.traces
    )


def from_temporary(erasure: DocumentErasure) -> int:
    """Files that a killed write left: those with its words, and old ones."""
    home = erasure.settings.home
    staged = [p for p in files.files_below(home) if p.name.startswith(".") and p.name.endswith(".tmp")]
    return files.remove_files(iter(staged), erasure.traces) + files.remove_left(iter(staged))


def _without_title(erasure: DocumentErasure, data: bytes) -> bytes | None:
    head = stored.ThreadHead.model_validate_json(data)
    if not _quote(erasure, head.title):
        return None
    return head.model_copy(update={"title": None}).model_dump_json().encode()


def _quote(erasure: DocumentErasure, *texts: str | None) -> bool:
    return any(text and erasure.traces.are_in(text) for text in texts)


def _cleaned(erasure: DocumentErasure, text: str) -> str:
    return files.clean_text(text, erasure.traces) if erasure.traces.are_in(text) else text


def _is_database(path: Path) -> bool:
    return path.suffix == ".db" or path.name.endswith((".db-wal", ".db-shm", ".db-journal"))


def _clean_objects(erasure: DocumentErasure, keys: Iterator[str]) -> int:
    changed = 0
    for key in keys:
        changed += erasure.lake.update(key, lambda data: files.clean_bytes(data, erasure.traces, "[erased]"))
    return changed
