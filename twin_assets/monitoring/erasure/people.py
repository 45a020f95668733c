"""What a person left in each place, and taking all of it out of there; `places` says in which order.

What is theirs is known by the persona's name, which is compared whole and never by how something begins: `ada` is not
`ada-lovelace`, and `twin-ada-sft` is a model of `ada` alone.
"""

import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, get_args

import pyarrow.parquet as pq

from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import profile_names
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import Stage
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.release.marks import HELD, PAUSED
from twin_assets.core.storage.database import clean_texts, vacuum_dagster
from twin_assets.core.storage.lake import Lake
from twin_assets.core.vectors import open_store
from twin_assets.monitoring.erasure import files
from twin_assets.monitoring.erasure.documents import forget_vectors
from twin_assets.monitoring.erasure.warehouse import erase_persona
from twin_assets.settings import Settings

# `<folder>/<what>/<persona>/…`; every other folder of the lake is `<folder>/<persona>/…`.
BY_KIND = ("raw", "state", "feature_store")
KEYS = "access/keys"
DELETED = "[deleted]"


class PersonInGraph(Protocol):
    """What Dagster has of a person. This package does not know Dagster."""

    @property
    def reserved(self) -> bool:
        """Whether the name is also one of the graph's own words, so that its texts can't be searched for it."""
        ...

    def running(self) -> list[str]:
        """Runs that are going on or wait, in words."""
        ...

    def close(self) -> None:
        """Let nothing start a run any more."""
        ...

    def forget(self) -> int:
        """Remove the runs with their events and what they printed; how many."""
        ...

    def left(self) -> int:
        """How many runs and partitions there are."""
        ...


class PersonErasure:
    """A person who is being deleted. `counts` is by place what went so far."""

    def __init__(
        self, settings: Settings, lake: Lake, name: str, graph: PersonInGraph, counts: dict[str, int | None]
    ) -> None:
        self.settings, self.lake, self.name, self.graph, self.counts = settings, lake, name, graph, counts
        self.named, made = _names_of(name)
        self.tagged = re.compile(made.encode())
        self.made = re.compile(made)

    @property
    def models(self) -> list[str]:
        """Names that their model versions have, in every store. A base model is of many, and stays."""
        return [f"twin-{self.name}-{stage}" for stage in get_args(Stage) if stage != "base"]

    def cleaned(self, text: str) -> str | None:
        """A text of Dagster's without the name; None for one that is the name and nothing else."""
        if text == self.name:
            return None
        return self._renamed_text(text) if self.named.search(text) else text

    def _renamed_text(self, text: str) -> str:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.named.sub(DELETED, text)
        return json.dumps(self._renamed(value), ensure_ascii=False)

    def _renamed(self, value: object) -> object:
        if isinstance(value, str):
            return self._renamed_text(value) if value[:1] in "{[" else self.named.sub(DELETED, value)
        if isinstance(value, list):
            return [self._renamed(one) for one in value]
        if isinstance(value, dict):
            looks = value.get("looks")  # of a sensor's cursor: at whom it looked last
            if isinstance(looks, dict):
                value = value | {"looks": {who: look for who, look in looks.items() if who != self.name}}
            return {key: self._renamed(one) for key, one in value.items()}
        return value


def is_theirs(key: str, name: str) -> bool:
    """Whether an object of the lake is a persona's."""
    parts = key.split("/")
    at = 2 if parts[0] in BY_KIND else 1
    return len(parts) > at + 1 and parts[at] == name


def objects_of(lake: Lake, folder: str, name: str) -> list[str]:
    """Keys of a persona's objects in a folder of the lake."""
    listed = lake.keys(folder if folder in BY_KIND else f"{folder}/{name}")
    return [key for key in listed if is_theirs(key, name)]


def from_lake(erasure: PersonErasure, where: tuple[str, ...]) -> int:
    """Their objects in these folders, with the copies of them on this machine's disk and what killed writes left there."""
    lake, name, taken = erasure.lake, erasure.name, 0
    for folder in (one.removeprefix("lake/") for one in where if one.startswith("lake/")):
        for key in objects_of(lake, folder, name):
            lake.delete(key)
            taken += 1
        top = lake.here.root / folder
        for place in (kind / name for kind in top.glob("*")) if folder in BY_KIND else (top / name,):
            files.remove_folder(place)
    return taken


def from_index(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """The whole table, or the tenant on a server."""
    with closing(open_store(erasure.settings, erasure.name)) as store:
        count = store.count()
        store.reset()
    if erasure.settings.vector_store == "lancedb":  # what a killed write left has no table
        files.remove_folder(
            Path(erasure.settings.vectors_uri) / f"chunks_{erasure.name.replace('-', '_')}.lance"
        )
    return count


def from_dagster(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Runs, events, partition; then the name in what is left: ticks and what they printed, cursors, events of runs that were
    everybody's."""
    taken, settings = erasure.graph.forget(), erasure.settings
    for path in files.files_below(settings.dagster_home):
        if path.suffix == ".db":
            taken += 0 if erasure.graph.reserved else files.clean_sqlite(path, erasure.cleaned)
            files.vacuum_sqlite(path)
        elif path.is_relative_to(settings.dagster_home / "storage"):
            taken += 0 if erasure.graph.reserved else _without_lines(erasure, path)
    if settings.database_url:
        taken += 0 if erasure.graph.reserved else clean_texts(settings, erasure.cleaned)
        vacuum_dagster(settings)
    return taken


def from_tracker(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Evaluations that wait to be sent to Weights & Biases, each with its folder."""
    home, taken = erasure.settings.home / "wandb", 0
    for run in (home / "wandb").glob("*run-*"):
        if not run.is_symlink() and any(_holds(erasure.tagged, path) for path in files.files_below(run)):
            taken += files.remove_folder(run)
    for path in files.files_below(home):
        if _holds(erasure.tagged, path):
            path.unlink(missing_ok=True)
            taken += 1
    for link in home.rglob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)
    return taken


def from_logs(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Their own log, and lines of others' that name them."""
    taken = 0
    for path in files.files_below(erasure.settings.home / "logs"):
        if path.name.split(".")[0] == erasure.name:
            path.unlink(missing_ok=True)
            taken += 1
            continue
        taken += _without_lines(erasure, path)
    return taken


def _without_lines(erasure: PersonErasure, path: Path) -> bool:
    """Take out the lines that name them; whether there were any."""
    try:
        lines = path.read_bytes().split(b"\n")
        left = [line for line in lines if not erasure.named.search(line.decode("utf-8", "replace"))]
        if len(left) < len(lines):
            path.write_bytes(b"\n".join(left))  # the same file, since a process may have it open
            return True
    except FileNotFoundError:
        pass
    return False


def from_runs(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Folders of trainings, rebuilds and searches."""
    cache, name = erasure.settings.cache_dir, erasure.name
    folders = [cache / "training" / name, cache / "rebuilds" / name, cache / "search" / "runs" / name]
    searches = cache / "search" / name
    # A persona may be called `runs`, and everybody's searches run in a folder of that name.
    folders += searches.glob("data-*") if name == "runs" else [searches]
    return sum(files.remove_folder(folder) for folder in folders)


def from_answers_kept(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """All answers of teachers, judges and the base model: what they said in words of their own names nobody. They are asked
    anew. Nothing of a persona who was never learnt from."""
    if not erasure.counts.get("datasets") and not objects_of(erasure.lake, "feature_store", erasure.name):
        return 0
    caches = [p for p in erasure.settings.cache_dir.glob("*.sqlite") if not p.name.startswith("embeddings-")]
    return sum(files.clean_sqlite(path, lambda text: None) for path in caches)


def from_embeddings(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Vectors of their texts, of every version of every feature."""
    return forget_vectors(erasure.settings, _rows(erasure))


def _rows(erasure: PersonErasure) -> Iterator[dict[str, Any]]:
    for key in objects_of(erasure.lake, "feature_store", erasure.name):
        if key.endswith(".parquet"):
            data = erasure.lake.read(key)
            names = [n for n in pq.read_schema(io.BytesIO(data)).names if n != "vector"]
            yield from pq.read_table(io.BytesIO(data), columns=names).to_pylist()


def from_crawl_parts(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    return files.remove_folder(erasure.settings.cache_dir / "crawl" / erasure.name)


def from_uploads(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    home, name = erasure.settings.home, erasure.name
    return sum(files.remove_folder(home / one / name) for one in ("uploads", "staging"))


def from_warehouse(erasure: PersonErasure, _: tuple[str, ...]) -> int | None:
    return erase_persona(erasure.settings, erasure.name)


def from_temporary(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """What killed writes left: of their declaration, and old ones of anybody. Those of the lake go with its folders."""
    settings = erasure.settings
    theirs = re.compile(rf"\.{re.escape(erasure.name)}\.[0-9a-f]+\.tmp")
    taken = 0
    for path in settings.personas_dir.glob(".*.tmp"):
        if theirs.fullmatch(path.name):
            path.unlink(missing_ok=True)
            taken += 1
    staged = (
        p for p in files.files_below(settings.home) if p.name.startswith(".") and p.name.endswith(".tmp")
    )
    return taken + files.remove_left(staged)


def from_models(erasure: PersonErasure, _: tuple[str, ...]) -> int:
    """Versions in the store here and in the bucket, with what an adapter was merged to; how many versions and objects."""
    settings, taken = erasure.settings, 0
    models = settings.bentoml_home / "models"
    if any((models / name).is_dir() for name in erasure.models):
        registry = Registry(settings)
        for version in registry.list(erasure.name):
            if version.tag.partition(":")[0] in erasure.models:
                registry.delete(version.tag)
                taken += 1
        for name in erasure.models:  # the store's own pointer, and halves of versions
            files.remove_folder(models / name)
    if settings.registry_url:
        bucket = Bucket(settings)
        taken += sum(bucket.delete(name) for name in erasure.models)
    return taken


def from_figures(erasure: PersonErasure, where: tuple[str, ...]) -> int:
    """Releases, readings, canaries and the like; the name in API keys and among those who are paused or held back; proposals and studies of searches."""
    lake, name = erasure.lake, erasure.name
    taken = from_lake(erasure, where) + PAUSED.take(lake, name) + HELD.take(lake, name)
    taken += sum(erasure.lake.update(key, lambda data: _key_without(data, erasure.name)) for key in list(erasure.lake.keys(KEYS)))  # fmt: skip
    for profile in profile_names():
        proposal = erasure.settings.home / "proposals" / f"{erasure.name}-{profile}.yaml"
        if proposal.is_file():
            proposal.unlink()
            taken += 1
    return taken + _studies(erasure)


def _key_without(data: bytes, name: str) -> bytes | None:
    """An API key that is good for the persona, without them. One that was for them alone is revoked and says nothing more:
    its object stays, since a service without any key is open to everybody."""
    try:
        key = json.loads(data)
    except ValueError:
        return None  # damaged: it lets nobody in, and `twin keys revoke` replaces it
    if not isinstance(key, dict) or name not in key.get("personas", ()):
        return None
    key["personas"] = [one for one in key["personas"] if one != name]
    if not key["personas"]:
        key |= {
            "hash": "",
            "name": "deleted",
            "actions": [],
            "revoked_at": key.get("revoked_at") or key["created_at"],
        }
    return json.dumps(key).encode()


def _studies(erasure: PersonErasure) -> int:
    """Studies of searches, which are named by persona, profile and hashes."""
    path = erasure.settings.home / "search" / "studies.db"
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as base:
        names = [row[0] for row in base.execute("select study_name from studies")]
    profiles = "|".join(map(re.escape, profile_names()))
    theirs = re.compile(rf"{re.escape(erasure.name)}-(?:{profiles})-[a-z]+(?:-[0-9a-f]+)+")
    studies = [name for name in names if theirs.fullmatch(name)]
    if studies:
        try:
            import optuna
        except ModuleNotFoundError:
            raise TwinError(
                f"{path} has searches of {erasure.name}, and optuna isn't installed here.",
                "pip install 'llm-twin-platform[train]', or remove that file, and delete again.",
            ) from None
        for study in studies:
            optuna.delete_study(study_name=study, storage=f"sqlite:///{path}")
        with closing(sqlite3.connect(path, timeout=30)) as base:
            base.execute("vacuum")
    return len(studies)


def _names_of(name: str) -> tuple[re.Pattern[str], str]:
    """What finds a persona's name as a whole word, also in what is named after it; and the pattern of only the latter."""
    stages, escaped = "|".join(get_args(Stage)), re.escape(name)
    table = re.escape(f"chunks_{name.replace('-', '_')}")
    made = rf"twin-{escaped}-(?:{stages})|evaluation-{escaped}|{table}"
    edges = r"(?<![A-Za-z0-9_-])(?:{})(?![A-Za-z0-9_-])"
    return re.compile(edges.format(f"{made}|{escaped}")), edges.format(made)


def _holds(pattern: re.Pattern[bytes], path: Path) -> bool:
    try:
        return pattern.search(path.read_bytes()) is not None
    except FileNotFoundError:
        return False
