"""What every test begins with: unless a test names a profile, it is the one that proves the plumbing in no time. And which
files begin first."""

import gc
import os
from pathlib import Path

import pytest

from twin_assets.core.collector import SELDOM

os.environ.setdefault("TWIN_PROFILE", "nano")
gc.set_threshold(*SELDOM)  # with Python's own a sixth of the suite's time went into looking for garbage

TESTS = Path(__file__).parent
# Files that take a minute or more, of each run the longest first: one that began last would keep one core busy at the end,
# and the others idle.
LONGEST = [
    "e2e/test_whole_product.py", "e2e/fronts/test_dagster_front.py", "e2e/fronts/test_make_up.py", "e2e/test_second_persona.py",
    "training/axolotl/test_axolotl_runs.py", "training/search/test_search.py", "training/test_preference_methods.py",
    "chaos/test_chaos.py", "defs/monitoring/test_monitoring.py", "serving/llm/vllm/test_contract.py",
    "serving/twin/test_lake_away.py", "warehouse/test_warehouse.py", "monitoring/erasure/test_erasure_at_once.py",
    "core/release/test_ledger_on_s3.py",
]  # fmt: skip


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m e2e` a file that has no such test is not even imported: of all of them, that takes each worker half a minute."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if config.option.markexpr == "e2e" and is_test and "mark.e2e" not in collection_path.read_text("utf-8"):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; all else as it was."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    if gone := [path for path in places if not path.is_file()]:
        raise pytest.UsageError(
            f"LONGEST of {__file__} names what is gone: {gone[0]}. Fix: take it out there."
        )
    items.sort(key=lambda item: places.get(item.path, len(places)))
