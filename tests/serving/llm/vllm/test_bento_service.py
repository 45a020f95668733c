"""vLLM as a BentoML service (`__command__`): started by `bentoml serve`, with the double in vLLM's place."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from serving.llm.vllm import leash
from serving.llm.vllm.host import VllmHost
from serving.llm.vllm.servers import Given
from tests.support.machine import PATIENCE, free_port, until
from tests.support.models import PUBLIC, lineage
from tests.support.vllm.servers import KEY, executable, make_base, save_adapter
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Message
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import ROOT, Settings

pytestmark = pytest.mark.timeout(300)
ASKED = [Message(role="user", content="ferry2 ferry3 ferry4")]


@contextmanager
def bento(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """`bentoml serve` of the service with a `vllm` on its PATH, its address and its log."""
    (folder / "bin").mkdir()
    vllm = folder / "bin" / "vllm"
    vllm.write_text(f'#!/bin/sh\nexec {" ".join(executable())} "$@"\n')
    vllm.chmod(0o755)
    port, log = free_port(), folder / "bento.log"
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TWIN_", "VLLM_"))} | {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "BENTOML_HOME": str(folder / "bento"), "BENTOML_DO_NOT_TRACK": "True", "ENGINE_PORT": str(free_port()),
        "SERVE_ARGS": "--enable-lora --max-lora-rank 16 --max-model-len 128",
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bentoml", "serve", "--host", "127.0.0.1", "-p", str(port), "serving.llm.vllm.service:VllmService"],
            cwd=ROOT, env=given | environment, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}", log
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        for left in psutil.wait_procs(family, 30)[1]:
            left.kill()


def test_it_holds_adapters_writes_and_shows_nothing_but_the_protocol(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    with bento(tmp_path, BASE_MODEL=str(base), VLLM_API_KEY=KEY) as (process, url, log):

        def answers() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        until(answers, "the service")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        for route in ("/adapters", "/invocations", "/docs.json", "/metrics", "/"):
            assert httpx.post(f"{url}{route}", json={}).status_code == 404
        settings = Settings.model_validate(
            {"home": tmp_path, "vllm_url": url, "vllm_api_key": KEY, "llm_timeout": PATIENCE}
        )
        registry = Registry(settings)
        stored = registry.save(base, lineage("base"), about=PUBLIC)
        versions = [save_adapter(registry, tmp_path, stored, number).tag for number in (1, 2)]
        host = VllmHost(settings, registry, Given(settings))
        texts = [host.load(tag).start(ASKED, Sampling(6, temperature=0)).result() for tag in versions]
        assert all(texts)
        assert texts[0] != texts[1]
        held = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {KEY}"}).json()["data"]
        assert len(held) == 3
        family = psutil.Process(process.pid).children(recursive=True)
        [engine] = [p for p in family if p.parent() and leash.__file__ in p.parent().cmdline()]
        worker = engine.parent().parent()
        assert "bentoml" in " ".join(worker.cmdline())
        worker.kill()  # as an out-of-memory killer does; vLLM's group is its own
        until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "vLLM's end")


def test_it_does_not_start_without_a_key(tmp_path: Path) -> None:
    with bento(tmp_path, BASE_MODEL="somewhere") as (_, _, log):
        until(lambda: "VLLM_API_KEY not set. Fix:" in log.read_text(), "the refusal")
