"""A bento of the LLM service that contains the released version, served where there is neither lake nor registry."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from serving.llm.contained import ContainedModels, check_files
from tests.cli.terminal import Terminal
from tests.deploy.images import assert_only_pins_are_installed
from tests.support.machine import PATIENCE, free_port, until
from tests.support.models import family, lineage
from tests.support.releases import Office
from tests.support.vllm.servers import make_adapter, make_base
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import About, ModelVersion, Registry, weights_hash
from twin_assets.settings import Settings

KEY = "a-key-of-this-machine"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A home with a persona, whose builder has a key that must stay there."""
    terminal = Terminal(tmp_path / "home", llm_api_key="the-builder-s-own-key")
    terminal.declare("runa")
    terminal.declare("ines")
    return terminal


def release_adapter(home: Path) -> tuple[ModelVersion, ModelVersion]:
    """An adapter in production, and the base that it stands on."""
    office = Office(home)
    base = office.registry.save(make_base(home / "base"), lineage("base"))
    about = About(license="CC-BY-4.0", visibility="connections", learnt_from={"public": 3, "connections": 2})
    adapter = make_adapter(home / "adapter", base.path)
    version = office.registry.save(
        adapter, lineage("sft", base.tag, number=1), about=about, base=base.as_base
    )
    office.ready.append(version.tag)
    office.release()
    return version, base


@contextmanager
def served(bento: Path, home: Path, **told: str) -> Iterator[httpx.Client]:
    """A client of `bentoml serve` of that folder, in an empty one: nothing on the path, and no setting but `told`."""
    home.mkdir()
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("TWIN_", "DAGSTER_", "BENTOML_", "PYTHONPATH"))
    }
    kept |= {"TWIN_HOME": str(home / "twin"), "BENTOML_HOME": str(home / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}  # fmt: skip
    port, log = free_port(), home / "log"
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "-p", str(port), str(bento)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=home, env=kept | told, stdout=output, stderr=output, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, headers=HEADERS) as client:

            def ready() -> bool:
                assert process.poll() is None, log.read_text()[-3000:]
                try:
                    return client.get("/readyz").status_code == 200
                except httpx.HTTPError:
                    return False

            until(ready, "the LLM service")
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()


def test_a_bento_serves_the_version_that_it_contains_wherever_it_is_brought(
    terminal: Terminal, tmp_path: Path
) -> None:
    version, base = release_adapter(terminal.settings.home)
    folder = tmp_path / "out" / "bento"
    said = terminal.said("export", "bento", "runa", str(folder))
    assert f"{version.tag}, " in said
    assert "2 rows for connections only" in said
    assert f"bentoml serve {folder}" in said

    declared = yaml.safe_load((folder / "bento.yaml").read_text())
    assert [(m["tag"], m.get("alias")) for m in declared["models"]] == [
        (version.tag, "runa"),
        (base.tag, None),
    ]
    assert declared["labels"]["visibility"] == "connections"
    card = (folder / "README.md").read_text()
    assert version.tag in card
    assert "cc-by-4.0" in card
    inside = folder / "models" / version.tag.replace(":", "/")
    assert weights_hash(inside) == version.weights_hash
    assert (inside / "version.json").read_text() == (version.path / "version.json").read_text()
    assert_only_pins_are_installed(folder, "hashes.txt")
    assert not [path for path in folder.rglob("*") if path.is_symlink()], "`bentoml import` refuses those"
    names = {str(path.relative_to(folder / "src")) for path in (folder / "src").rglob("*")}
    assert not [name for name in names if name.startswith("personas")]
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert not [text for text in texts if b"the-builder-s-own-key" in text or b"Keeps the boats" in text]

    os.rename(terminal.settings.home, tmp_path / "gone")  # noqa: PTH104
    with served(folder, tmp_path / "elsewhere", TWIN_LLM_API_KEY=KEY) as client:
        listed = client.get("/v1/models").json()["data"]
        assert [(model["id"], model["owned_by"]) for model in listed] == [(version.tag, "runa")]
        for name in ("runa", version.tag):
            asked = {"model": name, "messages": [{"role": "user", "content": "ferry7 ferry9"}], "max_tokens": 4, "seed": 1}  # fmt: skip
            answer = client.post("/v1/chat/completions", json=asked).json()
            assert answer["model"] == version.tag, answer
            assert answer["usage"]["completion_tokens"] > 0
        other = client.post("/v1/chat/completions", json=asked | {"model": "ines"})
        assert (other.status_code, "is in this bento" in other.text) == (404, True)
        assert client.get("/v1/models", headers={"Authorization": "none"}).status_code == 401
    assert not (tmp_path / "elsewhere" / "twin").exists(), "it needs no home"


def test_a_model_that_came_to_harm_on_its_way_is_not_served(tmp_path: Path) -> None:
    registry = Registry(Settings(home=tmp_path))
    base, _, version = family(registry, tmp_path / "scratch", adapters=True)
    check_files(registry, version.tag)
    with (base.path / "model.safetensors").open("ab") as weights:
        weights.write(b"!")
    with pytest.raises(TwinError, match=f"The files of {base.tag} in this bento are not those"):
        check_files(registry, version.tag)


def test_a_vllm_server_is_not_passed_over(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, vllm_url="http://127.0.0.1:1")
    with pytest.raises(TwinError, match="unset TWIN_VLLM_URL"):
        ContainedModels(settings, {"runa": "twin-runa-sft:fd9136d3de82"})


def test_without_a_release_there_is_no_bento(terminal: Terminal, tmp_path: Path) -> None:
    refused = terminal.twin("export", "bento", "ines", str(tmp_path / "bento"))
    assert (refused.exit_code, "ines has nothing in production" in refused.stderr) == (1, True)
    assert "twin release show ines" in refused.stderr
    assert not (tmp_path / "bento").exists()
