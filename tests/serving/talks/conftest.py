"""The server that tests of kept threads share."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.access.keys import Keys
from tests.serving.talks.kept_threads import Running
from tests.serving.twin_server import twin


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with twin(tmp_path, ui_password="open sesame", rate_per_minute=0) as (server, engine):
        keys, clients = Keys(server.answers.lake), []
        for name in ("ann", "bob"):
            token, _ = keys.create(name, ["*"], ["chat", "admin"])
            headers = {"Authorization": f"Bearer {token}"}
            clients.append(httpx.Client(base_url=server.url, headers=headers, timeout=60))
        yield Running(server, engine, *clients)
        for client in clients:
            client.close()
