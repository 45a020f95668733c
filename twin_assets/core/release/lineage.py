"""Which data trained a model: its parents, datasets, configuration and code, in one call."""

from typing import Any

import yaml

from twin_assets.core.datasets.rows import Kind, dataset_folder
from twin_assets.core.datasets.store import read_manifest, read_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import ModelVersion, VersionRecord, find_base
from twin_assets.core.records import Record
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import Lake


class DatasetFacts(Record):
    """A dataset version that a model learnt from. `documents` counts the documents of its training rows;
    `stored_at` is None when the lake no longer has the version, and then nothing else is known."""

    kind: Kind
    version: str
    stored_at: str | None = None
    rows: dict[str, int] = {}
    tasks: dict[str, int] = {}
    documents: int = 0
    parents: dict[str, str] = {}


class Provenance(Record):
    """Where a model version comes from.

    `parents` are the models it was trained from, the nearest first; `missing` names those of them, and of the bases that
    adapters stand on, that this registry doesn't have. `configs` holds what each trained version of the chain was trained with.
    """

    model: VersionRecord
    parents: list[VersionRecord]
    missing: list[str]
    datasets: list[DatasetFacts]
    configs: dict[str, dict[str, Any]]


def which_data(registry: Registry, lake: Lake, persona: str) -> Provenance:
    """Which data trained what is in production. Raises TwinError when nothing is."""
    production = Ledger(lake, persona).production()
    if production is None:
        raise TwinError(f"{persona} has nothing in production.", "release a version first.")
    return trace(registry, lake, production)


def trace(registry: Registry, lake: Lake, tag: str) -> Provenance:
    """Where a model version comes from. Raises TwinError when the registry doesn't have it."""
    chain, missing = model_chain(registry, tag)
    here = registry.list()
    bases = [version.base for version in chain if version.base and not find_base(here, version.base)]
    persona = chain[0].lineage.persona
    datasets: list[Any] = sorted(chain[0].lineage.datasets.items())
    return Provenance(
        model=chain[0].record(),
        parents=[version.record() for version in chain[1:]],
        missing=list(dict.fromkeys([*missing, *(base.tag for base in bases)])),
        datasets=[_facts(lake, persona, kind, version) for kind, version in datasets],
        configs={v.tag: yaml.safe_load(v.config_file.read_text()) for v in chain if v.config_file.is_file()},
    )


def model_chain(registry: Registry, tag: str) -> tuple[list[ModelVersion], list[str]]:
    """The version and its parents, nearest first, and the first parent that is not here, if any."""
    here = {version.tag: version for version in registry.list()}
    chain = [registry.get(tag)]
    while (parent := chain[-1].lineage.parent) is not None:
        if parent not in here:
            return chain, [parent]
        chain.append(here[parent])
    return chain, []


def _facts(lake: Lake, persona: str, kind: Kind, version: str) -> DatasetFacts:
    try:
        manifest = read_manifest(lake, persona, kind, version)
        rows = read_rows(lake, persona, kind, version, "train")
    except KeyError:
        return DatasetFacts(kind=kind, version=version)
    return DatasetFacts(
        kind=kind,
        version=version,
        stored_at=lake.uri(dataset_folder(persona, kind, version)),
        rows=manifest.counts,
        tasks=manifest.tasks,
        documents=len({row.doc_id for row in rows if row.doc_id}),
        parents=manifest.parents,
    )
