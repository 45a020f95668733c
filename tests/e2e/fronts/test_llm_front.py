"""Who gets an answer of the LLM service as it runs: with a key, without one, and through a browser that another site uses."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from serving.access.needs import ENGINE_KEY, Needs, declared
from serving.llm.service import app
from tests.support.machine import PATIENCE, free_port, until
from twin_assets.settings import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
KEY = "a key of this installation"


@contextmanager
def service(home: Path, **changes: str) -> Iterator[str]:
    """The service with nothing released yet; its address."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | {
        "TWIN_HOME": str(home), "TWIN_PROFILE": "smoke", "BENTOML_HOME": str(home / "bento"), "PYTHONPATH": str(ROOT),
        "BENTOML_DO_NOT_TRACK": "True",
    } | changes  # fmt: skip
    port = free_port()
    bento = str(Path(sys.executable).with_name("bentoml"))
    with (home / "llm.log").open("wb") as log:
        process = subprocess.Popen(
            [bento, "serve", "--host", "127.0.0.1", "-p", str(port), "serving.llm.service:LLMService"],
            env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (home / "llm.log").read_text()[-3000:]
        try:
            return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(ready, "the LLM service")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def refused(url: str, path: str = "/v1/models", **headers: str) -> tuple[int, str]:
    answer = httpx.get(url + path, headers=headers)
    return answer.status_code, answer.json()["error"]["type"] if answer.status_code != 200 else ""


def test_with_a_key_only_who_sends_it_is_answered(tmp_path: Path) -> None:
    with service(tmp_path, TWIN_LLM_API_KEY=KEY, TWIN_ALLOWED_HOSTS='["llm"]') as url:
        key = {"Authorization": f"Bearer {KEY}"}
        assert refused(url, **key) == (200, "")
        for route in declared(app):
            assert route.needs == Needs(ENGINE_KEY), route.path
            for method in route.methods or ():
                assert httpx.request(method, url + route.path, json={}).status_code == 401, route.path
        assert refused(url, **key, Host="llm:3001") == (200, "")
        assert refused(url, **key, **{"X-Forwarded-For": "203.0.113.9"}) == (200, "")
        for wrong in ({}, {"Authorization": "Bearer none"}, {"Authorization": f"Basic {KEY}"}):
            assert refused(url, **wrong) == (401, "WrongKey")
        ask = {"model": "runa", "messages": [{"role": "user", "content": "Why?"}]}
        assert httpx.post(f"{url}/v1/chat/completions", json=ask).status_code == 401
        assert httpx.post(f"{url}/v1/chat/completions", json=ask, headers=key).status_code in (404, 503)
        assert refused(url, **key, Host="evil.example") == (403, "ForeignHost")
        assert refused(url, "/docs.json")[0] == 401, "BentoML's own paths too"
        for probe in ("/readyz", "/livez", "/healthz"):
            assert httpx.get(url + probe).status_code == 200
        assert KEY not in (tmp_path / "llm.log").read_text()


def test_without_a_key_only_programs_on_this_machine_are_answered(tmp_path: Path) -> None:
    with service(tmp_path) as url:
        assert refused(url) == (200, "")
        assert refused(url, Host="rebound.example") == (403, "ForeignHost")
        assert refused(url, "/docs.json", Host="rebound.example") == (403, "ForeignHost")
        assert refused(url, **{"Sec-Fetch-Site": "cross-site"}) == (403, "ForeignRequest")
        assert refused(url, Origin="http://127.0.0.1:1") == (403, "ForeignRequest")
        assert refused(url, "/docs.json", Origin="https://evil.example") == (403, "ForeignRequest")
        assert refused(url, **{"X-Forwarded-For": "127.0.0.1"}) == (403, "NotOpen")
        form = httpx.post(f"{url}/v1/chat/completions", content=b"{}", headers={"Content-Type": "text/plain"})
        assert (form.status_code, form.json()["error"]["type"]) == (415, "NotJson")
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as nginx:
            nginx.sendall(f"GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert nginx.makefile("rb").readline().split()[1] == b"403"
