"""Which data version an asset has, and which versions of its parents it was made from."""

import hashlib
from collections.abc import Mapping, Sequence

import dagster as dg


def latest(instance: dg.DagsterInstance, key: dg.AssetKey, persona: str) -> dg.AssetMaterialization | None:
    """The newest materialisation of a persona's partition, or None."""
    records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[persona])
    records = instance.fetch_materializations(records_filter, limit=1).records
    return records[0].asset_materialization if records else None


def tags_of(materialization: dg.AssetMaterialization | None) -> Mapping[str, str]:
    return (materialization.tags if materialization else None) or {}


def made_from(
    child: dg.AssetMaterialization | None, parent_key: dg.AssetKey, parent: dg.AssetMaterialization | None
) -> bool:
    """Whether `child` was made from exactly this materialisation of `parent_key`."""
    recorded = tags_of(child).get(f"dagster/input_data_version/{parent_key.to_user_string()}")
    version = tags_of(parent).get("dagster/data_version", "")
    # Dagster records the hash of a parent's version where the parent has partitions.
    return recorded == hashlib.sha256(version.encode()).hexdigest()


def is_current(chain: Sequence[dg.AssetKey], links: Sequence[dg.AssetMaterialization | None]) -> bool:
    """Whether each asset of a chain was made from the one before it; `links` are their newest materialisations."""
    return all(
        made_from(child, key, parent) for key, parent, child in zip(chain, links, links[1:], strict=False)
    )
