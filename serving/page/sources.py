"""Data of the Sources view: what a persona declares, what was collected, and collecting now."""

import json
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Depends, Request

from serving.access.dependencies import AnyPersonaName, Config, PersonaName
from serving.access.needs import needs
from serving.page.dagster import DagsterDown, collect, collect_runs, dagster_url, last_collected
from serving.protocol import RequestBody
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import (
    SOURCES,
    Persona,
    persona_names,
    save_persona,
    source_part,
    text_policy,
)
from twin_assets.core.persona.sources import path_fields
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.core.storage.read_once import ReadOnce
from twin_assets.settings import Settings

# Fields that the page may set of a persona besides its sources. Lists of folders and files are for the YAML only.
GENERAL = (
    "full_name",
    "also_known_as",
    "about",
    "license",
    "visibility",
    "train_on",
    "languages",
    "mask_personal_data",
    "log_text",
    "log_text_days",
    "thread_days",
)
# Tokens are sent to an API base, and paths are read on this machine: neither is for a web form to choose.
FIXED = sorted({"api"}.union(*(path_fields(source_part(source)) for source in SOURCES)))

router = APIRouter()

# Of each item of a raw object: its id, what became of it, and when it was fetched.
Facts = list[tuple[str, str, str]]
MOST_OBJECTS = 2_000


async def raw_facts_of(request: Request) -> ReadOnce[Facts]:
    """The application's: raw objects never change, and the page asks for all of them."""
    facts: ReadOnce[Facts] = request.app.state.raw_facts
    return facts


RawFacts = Annotated[ReadOnce[Facts], Depends(raw_facts_of)]


class Declared(RequestBody):
    """The form sends this: general fields, and each source's fields or None for no such source."""

    general: dict[str, Any]
    sources: dict[str, dict[str, Any] | None]


@router.get("/ui/api/{persona}/sources")
@needs("admin")
def sources(persona: PersonaName, settings: Config, facts: RawFacts) -> dict[str, Any]:
    """The declaration as the file has it, what the lake holds of each source, and which tokens are set."""
    lake, raw = open_lake(settings), read_declaration(settings, persona)
    tokens = {name: getattr(settings, f"{name}_token", None) is not None for name in SOURCES}
    general = {name: raw[name] for name in GENERAL if name in raw}
    if "log_text" in general:
        general["log_text"] = text_policy(general["log_text"])
    return {
        "general": general,
        "sources": {name: raw.get(name) for name in SOURCES},
        "fixed": FIXED,
        "collected": {name: _collected(lake, name, persona, facts) for name in SOURCES},
        "tokens": {name: is_set for name, is_set in tokens.items() if hasattr(settings, f"{name}_token")},
    }


@router.put("/ui/api/{persona}/sources")
@needs("admin")
def save(persona: AnyPersonaName, given: Declared, settings: Config) -> dict[str, Any]:
    """Write the persona's file; a new name makes a new persona. Comments in the file are lost."""
    old = read_declaration(settings, persona) if persona in persona_names(settings.personas_dir) else {}
    told = {name: given.general[name] for name in GENERAL if name in given.general}
    raw = old | told | {"name": persona}
    raw = {name: value for name, value in raw.items() if not _empty(value)}
    for name in SOURCES:
        fixed = {k: v for k, v in (old.get(name) or {}).items() if k in FIXED}
        part = given.sources.get(name)
        raw.pop(name, None)
        if part is not None:
            raw[name] = {k: v for k, v in part.items() if k not in FIXED and not _empty(v)} | fixed
    ordered = {name: raw[name] for name in Persona.model_fields if name in raw}
    saved = save_persona(settings.personas_dir, ordered)
    return {"name": saved.name, "sources": saved.sources()}


@router.post("/ui/api/{persona}/collect")
@needs("admin")
def collect_now(persona: PersonaName, settings: Config) -> dict[str, Any]:
    """Start collecting; the run's id and where to watch it."""
    url = dagster_url(settings)
    run = collect(settings, persona)
    return {"run": run, "url": f"{url}/runs/{run}"}


@router.get("/ui/api/{persona}/runs")
@needs("admin")
def runs(persona: PersonaName, settings: Config) -> dict[str, Any]:
    """The latest runs of `collect`, and what each source's last crawl counted; `down` says that Dagster is,
    which is no error of this page."""
    url = dagster_url(settings)
    try:
        last = last_collected(settings, persona, list(SOURCES))
        return {"url": url, "runs": collect_runs(settings, persona), "last": last, "down": None}
    except DagsterDown as error:
        return {"url": url, "runs": [], "last": {}, "down": {"message": error.problem, "fix": error.fix}}


def _empty(value: Any) -> bool:
    """An empty field of the form is one that isn't declared."""
    return value in ("", [], None)


def read_declaration(settings: Settings, persona: str) -> dict[str, Any]:
    """The persona's file as it stands, unchecked."""
    path = settings.personas_dir / f"{persona}.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise TwinError(f"{path.name} is not a persona.", "mend the file.")
    return raw


def _collected(lake: Lake, source: str, persona: str, facts: ReadOnce[Facts]) -> dict[str, Any]:
    """How many pieces the lake holds, and when the newest was fetched."""
    newest: dict[str, tuple[str, str]] = {}
    for key in lake.keys(f"raw/{source}/{persona}"):
        for item, kind, fetched in facts.read(lake, key):
            newest[item] = max(newest.get(item, ("", "")), (fetched, kind))
    times = [fetched for fetched, _ in newest.values()]
    return {
        "items": sum(kind != "deleted" for _, kind in newest.values()),
        "newest": max(times, default=None),
    }


def read_facts(data: bytes) -> Facts:
    """The facts of the items of one raw object."""
    rows = (json.loads(line) for line in data.decode().split("\n") if line)
    return [(r["item_id"], r["kind"], r["fetched_at"]) for r in rows if "item_id" in r]
