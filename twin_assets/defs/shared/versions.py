"""Which data version an asset has, and which versions of its parents it was made from."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import dagster as dg

ROWS_AT_ONCE = 500


def latest(instance: dg.DagsterInstance, key: dg.AssetKey, persona: str) -> dg.AssetMaterialization | None:
    """The newest materialisation of a persona's partition, or None."""
    records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[persona])
    records = instance.fetch_materializations(records_filter, limit=1).records
    return records[0].asset_materialization if records else None


def tags_of(materialization: dg.AssetMaterialization | None) -> Mapping[str, str]:
    return (materialization.tags if materialization else None) or {}


def version_of(materialization: dg.AssetMaterialization | None) -> str:
    """The data version of a materialisation; empty for none."""
    return tags_of(materialization).get("dagster/data_version", "")


def newest_rows(
    instance: dg.DagsterInstance, names: Iterable[str], personas: Collection[str] | None = None
) -> Mapping[str, Mapping[str, int]]:
    """By persona and asset, where the newest materialisation stands in Dagster's event log: it changes with each.
    One query an asset, however many personas there are; of some, where they are named."""
    wanted = None if personas is None else set(personas)
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for name in names if wanted is None or wanted else ():  # Dagster takes nobody for everybody
        newest = instance.get_latest_storage_id_by_partition(
            dg.AssetKey(name),
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            wanted,
        )
        for persona, row in newest.items():
            rows[persona][name] = row
    return rows


def newest_records(
    instance: dg.DagsterInstance, name: str, personas: Collection[str] | None = None
) -> Mapping[str, dg.EventLogRecord]:
    """The newest materialisation of an asset by persona, with its time; a query for every ROWS_AT_ONCE personas."""
    return _records(
        instance, name, {p: at[name] for p, at in newest_rows(instance, (name,), personas).items()}
    )


def newest_links(
    instance: dg.DagsterInstance,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, int]],
    personas: Sequence[str],
) -> Mapping[str, list[dg.AssetMaterialization | None]]:
    """By persona, the newest materialisations of the assets `names`, None where there is none, as `rows` of `newest_rows`
    tell; a query an asset for every ROWS_AT_ONCE of `personas`."""
    links: dict[str, list[dg.AssetMaterialization | None]] = {persona: [] for persona in personas}
    for name in names:
        at = {p: rows[p][name] for p in personas if name in rows.get(p, {})}
        records = _records(instance, name, at)
        for persona, theirs in links.items():
            record = records.get(persona)
            theirs.append(record.asset_materialization if record else None)
    return links


def _records(
    instance: dg.DagsterInstance, name: str, rows: Mapping[str, int]
) -> Mapping[str, dg.EventLogRecord]:
    found: dict[int, dg.EventLogRecord] = {}
    wanted = list(rows.values())
    for start in range(0, len(wanted), ROWS_AT_ONCE):
        some = wanted[start : start + ROWS_AT_ONCE]
        asked = dg.AssetRecordsFilter(dg.AssetKey(name), storage_ids=some)
        records = instance.fetch_materializations(asked, limit=len(some))
        found |= {record.storage_id: record for record in records.records}
    return {persona: found[row] for persona, row in rows.items() if row in found}


def made_from(
    child: dg.AssetMaterialization | None, parent_key: dg.AssetKey, parent: dg.AssetMaterialization | None
) -> bool:
    """Whether `child` was made from exactly this materialisation of `parent_key`."""
    recorded = tags_of(child).get(f"dagster/input_data_version/{parent_key.to_user_string()}")
    # Dagster records the hash of a parent's version where the parent has partitions.
    return recorded == hashlib.sha256(version_of(parent).encode()).hexdigest()


def is_current(chain: Sequence[str], links: Sequence[dg.AssetMaterialization | None]) -> bool:
    """Whether each asset of a chain was made from the one before it; `links` are their newest materialisations."""
    return all(
        made_from(child, dg.AssetKey(name), parent)
        for name, parent, child in zip(chain, links, links[1:], strict=False)
    )
