"""Pushes model versions to the Hugging Face Hub or S3, and pulls them into another installation's registry."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from twin_assets.core.datasets.store import read_manifest, refuse_closed_rows
from twin_assets.core.errors import TwinError
from twin_assets.core.models.hub import pull_from_hub, push_to_hub
from twin_assets.core.models.registry import RECORD, Registry, lacks_base, weights_hash
from twin_assets.core.models.version import ModelVersion, VersionRecord, find_base
from twin_assets.core.records import Visibility, most_closed
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.release.lineage import model_chain
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings

Place = Literal["hub", "s3"]


def push_version(
    settings: Settings,
    tag: str,
    place: Place,
    visibility: Visibility,
    with_parents: bool = False,
    client: Any = None,
) -> dict[str, str]:
    """Push a version, and with `with_parents` what it was trained from; returns the address of each by tag.

    The base of an adapter goes with it: what is there whole already is left alone.
    `visibility` is the persona's; a version that was trained when the persona was less open stays so. On
    the hub a base model is left out: it is not ours to publish, and TwinError is raised before anything is pushed
    when a version, or one that it was trained from, learnt from rows that are more closed than the persona. `client` is a boto3 S3 client.
    """
    registry = Registry(settings)
    family = model_chain(registry, tag)[0]
    base = registry.base_of(family[0])
    if place == "hub":
        family = [version for version in family if version.lineage.stage != "base"]
        if not family:
            raise TwinError(f"{tag} is a base model.", "push a version trained from it, or push it to s3.")
        for version in family:  # what a parent learnt is in the weights of its child
            _refuse_closed(settings, version)
    chain = family if with_parents else family[:1]
    ours = base is not None and (place == "s3" or base.lineage.stage != "base")
    if base and ours and base.tag not in {version.tag for version in chain}:
        chain = [*chain, base]
    addresses = {}
    for version in chain:
        registry.describe(version)
        if place == "hub":
            openness = most_closed([visibility, version.about.visibility])
            addresses[version.tag] = push_to_hub(settings, version, openness)
        else:
            addresses[version.tag] = Bucket(settings, client).push(version)
    return addresses


def _refuse_closed(settings: Settings, version: ModelVersion) -> None:
    """By the rows of the datasets that the version was trained with; by `about` alone where they are not here."""
    lake = open_lake(settings)
    datasets: list[Any] = sorted(version.lineage.datasets.items())
    for kind, dataset in datasets:
        with suppress(KeyError):  # not in this lake any more
            manifest = read_manifest(lake, version.lineage.persona, kind, dataset)
            try:
                refuse_closed_rows(lake, manifest)
            except TwinError as error:
                raise TwinError(
                    f"{version.tag} can't be published. {error.problem}", f"{error.fix} Then train again."
                ) from None


def pull_version(
    settings: Settings, tag: str, place: Place, with_parents: bool = False, client: Any = None
) -> list[ModelVersion]:
    """Fetch a version into this registry with its lineage, and with `with_parents` what it was trained from.

    Returns the versions, the asked one first, and the base of an adapter that had to be fetched last. What is here already
    isn't fetched again. Raises TwinError when it isn't there, when its files are not those that were pushed, or when the
    base of an adapter is neither here nor to be had with those weights; the version is not stored then.
    """
    registry = Registry(settings)
    here = {version.tag: version for version in registry.list()}
    pulled: list[ModelVersion] = []
    bases: dict[str, ModelVersion] = {}
    next_tag: str | None = tag
    while next_tag is not None:
        version = here.get(next_tag) or bases.get(next_tag)
        if version is None:
            version, base = _fetch(settings, registry, next_tag, place, client)
            bases |= {base.tag: base} if base else {}
        pulled.append(version)
        parent = version.lineage.parent if with_parents else None
        # A base model is never on the hub; there it comes from where it came from before.
        next_tag = None if place == "hub" and parent and _is_base(parent) else parent
    return [*pulled, *(base for base in bases.values() if base not in pulled)]


def _is_base(tag: str) -> bool:
    return "-base:" in tag


def _fetch(
    settings: Settings, registry: Registry, tag: str, place: Place, client: Any
) -> tuple[ModelVersion, ModelVersion | None]:
    """The version, and the base that had to be fetched for it."""
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache_dir) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        if place == "hub":
            pull_from_hub(settings, tag, folder)
        else:
            Bucket(settings, client).pull(tag, folder)
        record = _read_record(folder, tag)
        base = _fetch_base(settings, registry, record, place, client)
        return registry.save(
            folder,
            record.lineage,
            record.metrics,
            about=record.about,
            created_at=record.created_at,
            base=record.base,
        ), base


def _fetch_base(
    settings: Settings, registry: Registry, record: VersionRecord, place: Place, client: Any
) -> ModelVersion | None:
    here = registry.list()
    if record.base is None or find_base(here, record.base):
        return None
    lacking = lacks_base(record.tag, record.base, here)
    if record.base.tag in {version.tag for version in here} or (place == "hub" and _is_base(record.base.tag)):
        raise lacking
    base, _ = _fetch(settings, registry, record.base.tag, place, client)
    if base.weights_hash != record.base.weights_hash:
        lacking = lacks_base(record.tag, record.base, [base])
        registry.delete(base.tag)
        raise lacking
    return base


def _read_record(folder: Path, tag: str) -> VersionRecord:
    try:
        record = VersionRecord.model_validate_json((folder / RECORD).read_text())
    except (FileNotFoundError, ValidationError):
        raise TwinError(f"{tag} came without a readable {RECORD}.", "push it again.") from None
    if record.tag != tag or record.lineage.tag != tag:
        raise TwinError(f"What came for {tag} is {record.lineage.tag}.", "push it again.")
    if weights_hash(folder) != record.weights_hash:
        raise TwinError(
            f"The files of {tag} are not those that were pushed.", "pull again; if it recurs, push it again."
        )
    return record
