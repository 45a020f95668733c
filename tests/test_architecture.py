"""Who may import whom, as the design lays it down; and what no file of ours may contain."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the outside in: a package may import itself, what stands here beside it, and libraries.
MAY_IMPORT = {
    "twin_assets.core": {"twin_assets.settings"},
    "twin_assets.feature": {"twin_assets.core", "twin_assets.settings"},
    "twin_assets.training": {"twin_assets.core", "twin_assets.settings"},
    "twin_assets.inference": {"twin_assets.core", "twin_assets.settings"},
    "serving": {
        "twin_assets.inference",
        "twin_assets.core",
        "twin_assets.settings",
        "twin_assets.cli.dagster_home",
    },
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package.replace(".", "/")).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_it_may(package: str) -> None:
    assert modules(package)
    for path in modules(package):
        for name in imports(path):
            if name.split(".")[0] not in ("twin_assets", "serving", "demo") or name == "twin_assets":
                continue
            allowed = {package, *MAY_IMPORT[package]}
            assert any(name == a or name.startswith(a + ".") for a in allowed), f"{path.name} imports {name}"


def test_only_defs_and_definitions_import_dagster() -> None:
    for path in [*modules("twin_assets"), *modules("serving")]:
        if "defs" in path.parts or path.name == "definitions.py":
            continue
        named = {name.split(".")[0] for name in imports(path)}
        assert not named & {"dagster", "dagster_dbt", "dagster_aws"}, path
