"""Lines of raw objects that can't be read are left out, and the asset says how many."""

from pathlib import Path

import dagster as dg
import pytest

from tests.warehouse.test_warehouse import raw
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import LocalLake
from twin_assets.definitions import defs
from twin_assets.defs.shared import dbt
from twin_assets.defs.shared.resources import build_resources

WAREHOUSE = dg.AssetSelection.groups("warehouse")


def test_a_dbt_that_never_ends_is_ended_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt, "DBT_SECONDS", 1.0)
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    with pytest.raises(TwinError, match="dbt build took longer than 1 seconds and was ended"):
        dg.materialize(
            defs.assets or [], selection=WAREHOUSE, instance=instance, partition_key="runa",
            resources=build_resources({"home": str(tmp_path)}),
        )  # fmt: skip


def test_damaged_lines_show_in_the_assets_metadata_and_warn(tmp_path: Path) -> None:
    line = raw("a", "the text of a", 0).model_dump_json()
    LocalLake(tmp_path / "lake").write("raw/medium/runa/1.jsonl", f"{line[:90]}{line}\n\0\n{line}\n".encode())
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("personas", ["runa"])
    result = dg.materialize(
        defs.assets or [], selection=WAREHOUSE, instance=instance, partition_key="runa",
        resources=build_resources({"home": str(tmp_path)}),
    )  # fmt: skip
    metadata = {
        m.asset_key.to_user_string(): m.metadata for m in result.asset_materializations_for_node("warehouse")
    }
    assert set(metadata) == {"stg_documents", "documents", "document_history"}
    assert metadata["stg_documents"]["damaged_lines"].value == 2
    [told] = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert "no_damaged_lines" in told.check_name
    assert told.severity == dg.AssetCheckSeverity.WARN
