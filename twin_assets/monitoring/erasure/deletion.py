"""Deleting a person wholly, with a certificate of what went, what was looked at afterwards, and what can't be taken back.

The declaration is set aside first, under a name that no reader takes for one: services answer that there is no such persona,
and nothing starts a run. It is removed last. The certificate lies in the lake from the beginning and is written after each
place, so that a deletion that broke off goes on where it was, and ends with the same.
"""

import logging
import platform
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import load_persona, persona_names
from twin_assets.core.publishing import PostLedger
from twin_assets.core.publishing.ledger import MAY_BE_THERE
from twin_assets.core.records import Record
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.storage.erased import DELETIONS
from twin_assets.core.storage.lake import Lake
from twin_assets.core.vectors import open_store
from twin_assets.monitoring.erasure.files import files_below
from twin_assets.monitoring.erasure.people import PersonErasure, PersonInGraph, is_theirs
from twin_assets.monitoring.erasure.places import PLACES
from twin_assets.monitoring.erasure.warehouse import rows_of_persona
from twin_assets.settings import Settings

logger = logging.getLogger(__name__)
NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
# What a service had in hand reaches the lake a second later.
ROUNDS, ROUND_SECONDS = 3, 1.5
MOST_LEFT = 100  # that are named
# Folders below TWIN_HOME in which each persona has one, or a file, of their name. The longer come first.
_BY_PERSON = tuple(
    tuple(where.split("/"))
    for where in ("cache/search/runs", "cache/search", "cache/training", "cache/rebuilds", "cache/crawl", "uploads", "staging", "logs")
)  # fmt: skip


class NoSuchPerson(TwinError):
    """There is no persona of that name, and nothing of one."""


class PersonInUse(TwinError):
    """A run of theirs is going on."""


class Certificate(Record):
    """One deletion. `places`: by place how many objects, files, rows or versions went, None where one was in use.
    `checked`: what a look afterwards still found, by kind, None where it could not look; `left` names of it. `stays` says
    what can't be taken back. `finished_at` is None until all of it is gone."""

    persona: str
    by: str
    begun_at: datetime
    finished_at: datetime | None = None
    versions: dict[str, str]
    places: dict[str, int | None] = {}
    checked: dict[str, int | None] = {}
    left: list[str] = []
    stays: list[str]


def refuse_unknown(settings: Settings, lake: Lake, name: str, graph: PersonInGraph) -> None:
    """Raises NoSuchPerson, unless there is such a persona, one whose deletion broke off, or something left of one."""
    known = NAME.fullmatch(name) and (
        name in persona_names(settings.personas_dir)
        or set_aside(settings, name).is_file()
        or _unfinished(lake, name)
        or _objects(lake, name)
        or graph.left()
    )
    if not known:
        names = ", ".join(persona_names(settings.personas_dir)) or "none"
        raise NoSuchPerson(
            f"There is no persona {name[:80]!r}, and nothing of one (known: {names}).", "see `twin personas`."
        )


def refuse_running(name: str, graph: PersonInGraph) -> None:
    """Raises PersonInUse while runs of theirs go on or wait."""
    if running := graph.running():
        raise PersonInUse(
            f"{name} has runs that are not over: {', '.join(running[:5])}.",
            "wait for their end, or end them in Dagster (Runs, Terminate), and delete again.",
        )


def delete_person(settings: Settings, lake: Lake, name: str, by: str, graph: PersonInGraph) -> Certificate:
    """Take a person out of every place; what was found and removed. `finished_at` is None where a place was in use: then the same
    call again goes on. Raises NoSuchPerson and PersonInUse before anything is removed."""
    refuse_unknown(settings, lake, name, graph)
    refuse_running(name, graph)
    key, told = _begun(settings, lake, name, by)
    _set_aside(settings, name)
    graph.close()
    refuse_running(name, graph)  # one may have begun meanwhile
    counts = dict(told.places)
    erasure = PersonErasure(settings, lake, name, graph, counts)
    for turn in range(ROUNDS):
        for place in PLACES:
            if place.person:
                try:
                    taken = place.person(erasure, place.where)
                except (TwinError, OSError, sqlite3.Error):
                    logger.exception("%s of %s could not be emptied", place.name, name)
                    taken = None
                before = counts.get(place.name)
                counts[place.name] = None if taken is None else taken + (before or 0)
                told = told.model_copy(update={"places": dict(counts)})
                lake.write(key, told.model_dump_json(indent=2).encode())
        left, checked = _look(erasure)
        told = told.model_copy(update={"left": left[:MOST_LEFT], "checked": checked})
        if not left or None in counts.values() or turn + 1 == ROUNDS:
            break
        time.sleep(ROUND_SECONDS)
    if None not in counts.values() and not any(checked.values()):
        set_aside(settings, name).unlink(missing_ok=True)
        told = told.model_copy(update={"finished_at": datetime.now(UTC)})
    lake.write(key, told.model_dump_json(indent=2).encode())
    return told


def set_aside(settings: Settings, name: str) -> Path:
    """Where a persona's declaration waits while they are deleted: no reader takes it for one."""
    return settings.personas_dir / f"{name}.yaml.deleting"


def _set_aside(settings: Settings, name: str) -> None:
    path = settings.personas_dir / f"{name}.yaml"
    try:
        if path.is_file() or path.is_symlink():
            path.replace(set_aside(settings, name))
    except OSError as error:
        raise TwinError(
            f"{path} can't be moved aside ({error.strerror}).",
            f"take {path.name} out of where that folder comes from, and delete again.",
        ) from None


def _begun(settings: Settings, lake: Lake, name: str, by: str) -> tuple[str, Certificate]:
    """The certificate of a deletion that broke off, or a new one. What stays is read as long as nothing is gone."""
    begun = _unfinished(lake, name)
    if begun and name not in persona_names(settings.personas_dir):
        return begun
    now = datetime.now(UTC)
    told = Certificate(
        persona=name,
        by=by,
        begun_at=now,
        versions={"llm-twin-platform": version("llm-twin-platform"), "python": platform.python_version()},
        stays=_stays(settings, lake, name),
    )
    key = begun[0] if begun else f"{DELETIONS}/{name}/{now:%Y%m%dT%H%M%S%f}.json"
    lake.write(key, told.model_dump_json(indent=2).encode())
    return key, told


def _unfinished(lake: Lake, name: str) -> tuple[str, Certificate] | None:
    """The newest certificate, if its deletion broke off."""
    keys = list(lake.keys(f"{DELETIONS}/{name}"))
    told = Certificate.model_validate_json(lake.read(keys[-1])) if keys else None
    return (keys[-1], told) if told and told.finished_at is None else None


def _objects(lake: Lake, name: str) -> list[str]:
    return [key for key in lake.keys("") if is_theirs(key, name) and not key.startswith(f"{DELETIONS}/")]


def _look(erasure: PersonErasure) -> tuple[list[str], dict[str, int | None]]:
    """What is still there: names of objects and files, and counts by kind."""
    settings, lake, name = erasure.settings, erasure.lake, erasure.name
    objects = _objects(lake, name)
    inside = list(_files(erasure))
    copies = [] if lake.here is lake else _objects(lake.here, name)
    checked: dict[str, int | None] = {
        "objects of the lake": len(objects),
        "copies of objects on this machine": len(copies),
        "other files below TWIN_HOME named after them": len(inside),
        "rows of the warehouse": rows_of_persona(settings, name),
        "runs and partitions in Dagster": erasure.graph.left(),
    }
    try:
        with closing(open_store(settings, name)) as store:
            checked["chunks in the index"] = store.count()
    except TwinError:
        checked["chunks in the index"] = None
    if (settings.bentoml_home / "models").is_dir():
        models = [v.tag for v in Registry(settings).list(name) if v.tag.partition(":")[0] in erasure.models]
        checked["models in the store"] = len(models)
    if settings.registry_url:
        try:
            checked["objects in the bucket of models"] = sum(
                Bucket(settings).count(one) for one in erasure.models
            )
        except TwinError:
            checked["objects in the bucket of models"] = None
    return [*objects, *(f"{key} (copy)" for key in copies), *inside], checked


def _files(erasure: PersonErasure) -> Iterator[str]:
    """Files below TWIN_HOME, beside the lake, that are theirs by a name in their path; also in folders that no place lists."""
    home, name, lake = erasure.settings.home, erasure.name, erasure.lake.here.root
    aside, tops = (
        set_aside(erasure.settings, name),
        {place.split("/")[0] for one in PLACES for place in one.where},
    )
    for path in files_below(home):
        if path.is_relative_to(lake) or path == aside:
            continue
        parts = path.relative_to(home).parts
        at = next((len(own) for own in _BY_PERSON if parts[: len(own)] == own), None)
        whose = parts[at : at + 1] if at else parts if parts[0] not in tops else ()
        if any(map(erasure.made.search, parts)) or name in [part.split(".")[0] for part in whose]:
            yield "/".join(parts)


def _stays(settings: Settings, lake: Lake, name: str) -> list[str]:
    """What deleting does not reach, in sentences; read before anything goes."""
    said = []
    try:
        posts = [post for post in PostLedger(lake, name).posts() if post.outcome in (*MAY_BE_THERE, "opened")]
    except TwinError:
        posts = []
        said.append("The ledger of posts can't be read: look yourself for what was published.")
    for post in posts:
        where = post.address or post.post_id or "no address is known"
        may = "" if post.outcome == "made" else ", if it was made"
        said.append(
            f"The post of {post.at:%Y-%m-%d} on {post.place} stays there{may} ({where}): delete it there."
        )
    namespace = settings.hub_namespace or "whichever namespace was set"
    said += [
        f"Models and datasets that were pushed to the Hugging Face hub ({namespace}, names that begin with twin-{name}-), and what "
        "others have downloaded from there, stay: delete those repositories there.",
        "What `twin export` wrote, bentos that were built, and whatever else was copied out of the platform stays where it was put.",
        "Answers and texts that were handed to callers are theirs.",
        "Backups of TWIN_HOME, of the lake, of the folder of personas (and its history in git) and of databases keep it until they are "
        "overwritten.",
        "Model servers keep a version that they have loaded in memory until they let it go or are restarted, and a running service's "
        "counters keep the persona's name until then.",
        "Other machines that share this lake but not this TWIN_HOME keep their caches, logs and copies of objects: delete "
        "cache/lake-mirror, cache/training, cache/crawl and logs there.",
    ]  # fmt: skip
    if settings.wandb_mode == "online":
        said.append(
            f"Runs and artifacts at Weights & Biases (project {settings.wandb_project}) stay: delete them there."
        )
    else:
        said.append(
            "Runs that were sent to Weights & Biases (by `wandb sync`) stay there: delete them there."
        )
    if settings.lake_url or settings.registry_url:
        said.append(
            "A bucket that keeps versions of objects keeps the deleted ones until its lifecycle rule removes them."
        )
    said.append(
        "Providers of hosted models (teacher, judge, embedder, engine) that were sent passages or prompts keep what their "
        "terms say."
        if settings.llm_model or settings.teacher_model
        else "No hosted model is set now; a provider that one was asked of before keeps what its terms say."
    )
    if settings.vector_store == "weaviate":
        said.append("Weaviate removes a tenant's files by itself; its backups and logs keep what they have.")
    if settings.database_url:
        said.append("PostgreSQL's write-ahead log and backups keep the rows until they are recycled.")
    said.append("Compressed cursors of Dagster's automation name the persona until its next tick.")
    said.append(
        f"Words of theirs that others quoted in writing of their own, and what logs say without naming {name}, stay."
    )
    try:
        persona = load_persona(settings.personas_dir, name)
    except TwinError:
        said.append("The declaration could not be read: files of their own that it named stay.")
    else:
        parts = [persona.declared(source) for source in persona.sources()]
        paths = {str(p) for part in parts for _, value in part for p in (value if isinstance(value, list) else [value]) if isinstance(p, Path)}  # fmt: skip
        paths |= {str(p) for p in (*persona.impostors, persona.questions) if p}
        said += [
            f"{path}, which the declaration named, stays: it is no copy of ours." for path in sorted(paths)
        ]
    return said
