"""What `twin demo` says at its end: counts, versions, the evaluation, and where to look next."""

import json

import dagster as dg

from twin_assets.cli.runner import Step
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings

# What each asset says about itself that is worth a line here.
SHOWN = {
    "raw_linkedin": ["fetched", "new", "changed", "unchanged", "partial"],
    "raw_medium": ["fetched", "new", "changed", "unchanged", "partial"],
    "raw_substack": ["fetched", "new", "changed", "unchanged", "partial"],
    "raw_github": ["fetched", "new", "changed", "unchanged", "partial"],
    "cleaned_documents": ["documents", "words"],
    "unique_documents": ["documents", "removed"],
    "corpus_split": ["documents", "heldout"],
    "chunks": ["chunks", "tokens"],
    "embeddings": ["computed", "reused"],
    "vector_index": ["count", "added", "updated", "deleted", "unchanged"],
    "instruct_dataset": ["version", "train", "test"],
    "base_model": ["model", "size_mb"],
    "sft_model": ["model", "metrics"],
    "preference_dataset": ["version", "train", "test"],
    "dpo_model": ["model", "metrics"],
    "release": ["production", "waiting_for_approval"],
}


def print_summary(settings: Settings, persona: str, steps: list[Step], seconds: float) -> str | None:
    """Print the state of every stage, whether it was made now or earlier; returns the candidate that was evaluated last."""
    took = {step.name: step for step in steps}
    print("\n── what there is " + "─" * 60)
    with dg.DagsterInstance.get() as instance:
        for asset, fields in SHOWN.items():
            metadata = _metadata(instance, asset, persona)
            facts = ", ".join(f"{f} {_plain(metadata[f])}" for f in fields if f in metadata)
            step = took.get(asset)
            time = f"{step.seconds:6.1f} s" if step and step.seconds else "      = "
            print(f"  {time}  {asset:<20} {facts}")
        evaluation = _metadata(instance, "evaluation_report", persona)
    if evaluation:
        print("\n── evaluation " + "─" * 63)
        print(_plain(evaluation["summary"]))
        print(_plain(evaluation["gates"]))
        if "comparison" in evaluation:  # a report from before there was one has none
            print(f"\n  {_plain(evaluation['comparison'])}")
        if "worth_it" in evaluation:
            print(f"  {_plain(evaluation['worth_it'])}")
        print(f"\n  report: {_plain(evaluation['report'])}")
    production = Ledger(open_lake(settings), persona).production()
    print("\n── in production " + "─" * 60)
    print(f"  {production or 'nothing yet'}")
    print(f"\n  {seconds:.0f} s in all. Next: `twin up`, then open the URLs it prints.")
    return _plain(evaluation["candidate"]) if evaluation else None


def _metadata(instance: dg.DagsterInstance, asset: str, persona: str) -> dict[str, dg.MetadataValue]:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[persona])
    records = instance.fetch_materializations(wanted, limit=1).records
    materialization = records[0].asset_materialization if records else None
    return dict(materialization.metadata) if materialization else {}


def _plain(value: dg.MetadataValue) -> str:
    raw = value.value
    return json.dumps(raw) if isinstance(raw, dict | list) else str(raw)
