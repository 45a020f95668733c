"""Kept connections to an engine: used again while they are good, and never after."""

import json
import threading

import pytest
from urllib3.exceptions import HTTPError

from demo.sites.answers import Answer
from demo.sites.loopback import CUT_SHORT, Loopback
from twin_assets.inference.generation.connections import Connections


class Counting(Loopback):
    """Answers with how many connections it has been asked on so far, and keeps what it was asked for."""

    def __init__(self, port: int = 0, **headers: str) -> None:
        super().__init__(port)
        self.headers, self.threads, self.asked = headers, set[threading.Thread](), list[tuple[str, str]]()

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.threads.add(threading.current_thread())  # each connection has its own
        self.asked.append((target, headers.get("proxy-authorization", "")))
        return Answer(200, self.headers, json.dumps([len(self.threads), body.decode()]).encode())


def post(connections: Connections, url: str) -> list[int | str]:
    with connections.post(f"{url}/v1/x?a=b", b"hello", {"Content-Type": "text/plain"}) as response:
        return list(json.loads(response.read()))


def test_a_connection_is_used_again_unless_its_answer_was_left_in_the_middle() -> None:
    with Counting() as server:
        connections = Connections(server.address, 5)
        assert [post(connections, server.address) for _ in range(3)] == [[1, "hello"]] * 3
        assert server.asked[0] == ("/v1/x?a=b", "")
        with connections.post(f"{server.address}/v1/x", b"", {}) as response:
            response.read(1)
        assert post(connections, server.address) == [2, "hello"]


def test_one_connection_serves_one_request_at_a_time() -> None:
    with Counting() as server:
        connections = Connections(server.address, 5)
        with connections.post(f"{server.address}/v1/x", b"", {}) as response:
            assert post(connections, server.address) == [2, "hello"]
            assert response.read().startswith(b"[1")


def test_a_server_that_was_started_anew_is_asked_on_a_new_connection() -> None:
    with Counting() as server:
        connections, address = Connections(server.address, 5), server.address
        post(connections, address)
    with Counting(int(address.rpartition(":")[2])):
        assert post(connections, address) == [1, "hello"]


def test_what_goes_wrong_on_the_wire_is_an_error_and_the_connection_is_dropped() -> None:
    with Counting() as server:
        connections, address = Connections(server.address, 5), server.address
        server.headers = {CUT_SHORT: "yes"}
        with pytest.raises(HTTPError, match="IncompleteRead"):
            post(connections, address)
        server.headers = {}
        assert post(connections, address) == [2, "hello"]
    with pytest.raises(HTTPError, match="refused"):
        post(connections, address)


def test_the_environments_proxy_is_asked_for_the_whole_address_unless_the_host_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Counting() as proxy, Counting() as server:
        monkeypatch.setenv("http_proxy", proxy.address.replace("//", "//anna:s%20t@"))
        post(Connections("http://engine.example/v1", 5), "http://engine.example")
        assert proxy.asked == [("http://engine.example/v1/x?a=b", "Basic YW5uYTpzIHQ=")]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        post(Connections(server.address, 5), server.address)
        assert server.asked == [("/v1/x?a=b", "")]
        assert len(proxy.asked) == 1
