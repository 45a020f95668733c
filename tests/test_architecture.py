"""The plan of the house: who may import whom, that nothing goes in a circle, and that a folder can be read at a glance."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = "twin_assets.settings"
WRITING = ROOT / "demo" / "writing"  # the demo persona's, her code too

# From the inside out: a part may import itself, what stands here beside it, and libraries.
CORE = {"twin_assets.core", SETTINGS}
INFERENCE = CORE | {"twin_assets.inference"}
EVALUATION = INFERENCE | {"twin_assets.evaluation"}
MONITORING = EVALUATION | {"twin_assets.monitoring"}
PIPELINES = MONITORING | {"twin_assets.feature", "twin_assets.training"}
EXPORT = EVALUATION | {"twin_assets.export"}
MAY_IMPORT = {
    "twin_assets.core": CORE,
    "twin_assets.feature": CORE | {"twin_assets.feature"},
    "twin_assets.training": CORE | {"twin_assets.training"},
    "twin_assets.inference": INFERENCE,
    "twin_assets.evaluation": EVALUATION,
    "twin_assets.monitoring": MONITORING,
    "twin_assets.export": EXPORT,
    "twin_assets.defs": PIPELINES | {"twin_assets.defs"},
    "twin_assets.cli": PIPELINES | EXPORT | {"twin_assets.defs", "twin_assets.definitions", "twin_assets.cli", "serving", "demo"},
    "serving": MONITORING | {"serving"},
    "demo": PIPELINES | {"twin_assets.defs", "twin_assets.definitions", "twin_assets.cli", "serving", "demo"},
}  # fmt: skip

# A folder with more is a list to be searched. `__init__.py` counts.
MOST_FILES = 13


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package's is that of its `__init__.py`."""
    paths = (
        path for top in ("twin_assets", "serving", "demo") for path in sorted((ROOT / top).rglob("*.py"))
    )
    paths = (path for path in paths if WRITING not in path.parents)
    return {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def named(path: Path) -> Iterator[str]:
    """What a file imports, as dotted as it is written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports() -> dict[str, set[str]]:
    """Modules of ours that each imports, wherever in the file. A package that says nothing itself is no import."""
    edges: dict[str, set[str]] = {}
    for module, path in modules().items():
        edges[module] = set()
        for name in named(path):
            while name and name not in modules():
                name = name.rpartition(".")[0]
            if (
                name
                and name != module
                and not (
                    modules()[name].name == "__init__.py" and not ast.parse(modules()[name].read_text()).body
                )
            ):
                edges[module].add(name)
    return edges  # fmt: skip


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_it_may(part: str) -> None:
    inside = [module for module in modules() if module == part or module.startswith(f"{part}.")]
    assert len(inside) > 1
    for module in inside:
        for name in imports()[module]:
            allowed = any(name == wall or name.startswith(f"{wall}.") for wall in MAY_IMPORT[part])
            assert allowed, f"{module} imports {name}"


def test_every_part_has_its_walls() -> None:
    free = {"twin_assets", SETTINGS, "twin_assets.definitions"}  # the last puts the parts together
    for module in set(modules()) - free:
        assert any(module == part or module.startswith(f"{part}.") for part in MAY_IMPORT), module


def test_no_import_goes_in_a_circle_at_any_level() -> None:
    packages = {module.rpartition(".")[0] for module in modules()} - {""}
    for package in sorted(packages):
        inside = f"{package}."
        graph: dict[str, set[str]] = {}
        for module, names in imports().items():
            if module.startswith(inside):
                child = module.removeprefix(inside).split(".")[0]
                others = {n.removeprefix(inside).split(".")[0] for n in names if n.startswith(inside)}
                graph.setdefault(child, set()).update(others - {child})
        try:
            list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            pytest.fail(f"in {package}: {' <- '.join(error.args[1])}")


def test_only_defs_knows_dagster() -> None:
    for module, path in modules().items():
        if module.startswith(("twin_assets.defs", "twin_assets.definitions", "twin_assets.cli", "demo")):
            continue
        found = {name.split(".")[0] for name in named(path)}
        assert not found & {"dagster", "dagster_dbt", "dagster_aws"}, path


MUTATES = {
    "append", "add", "update", "setdefault", "pop", "popitem", "clear", "extend", "insert", "remove", "discard",
}  # fmt: skip
BARE = {"dict", "list", "set", "defaultdict", "OrderedDict", "Counter", "deque", "Lock", "RLock"}
# The process's own terminal, which there is one of.
MAY_CHANGE = {"twin_assets.defs.shared.console"}


def is_bare(value: ast.expr | None) -> bool:
    """Whether a module's name stands for a bare container or lock; an object's own methods guard its state."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in BARE
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def changed_names(tree: ast.Module) -> set[str]:
    """Bare containers and locks of a module that its own code changes or takes, and its names that are rebound."""
    bare = {target.id for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and is_bare(node.value)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target]) if isinstance(target, ast.Name)}  # fmt: skip
    changed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            changed |= set(node.names)
        elif isinstance(node, ast.With):
            changed |= {ast.unparse(item.context_expr) for item in node.items} & bare
        elif (isinstance(node, ast.Attribute) and node.attr in MUTATES) or (
            isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
        ):
            changed |= {ast.unparse(node.value)} & bare
    return changed


def test_no_module_holds_state_that_changes() -> None:
    assert changed_names(ast.parse("kept = {}\ndef f(x):\n    kept[x] = 1")) == {"kept"}
    assert changed_names(ast.parse("lock = Lock()\ndef f():\n    with lock:\n        pass")) == {"lock"}
    assert changed_names(ast.parse("table = {}\ndef f(x):\n    return table[x]")) == set()
    for module, path in modules().items():
        if module not in MAY_CHANGE:
            assert not changed_names(ast.parse(path.read_text())), module


def test_no_folder_is_a_list_to_be_searched() -> None:
    for top in ("twin_assets", "serving", "demo", "tests"):
        for folder in (ROOT / top, *(path for path in (ROOT / top).rglob("*") if path.is_dir())):
            files = list(folder.glob("*.py"))
            assert len(files) <= MOST_FILES, f"{folder.relative_to(ROOT)} has {len(files)} files"
