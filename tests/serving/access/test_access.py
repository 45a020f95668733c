"""Who may ask what, how often and how much; request ids; what other sites can and can't do."""

import asyncio
import io
import json
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from serving.access.keys import Keys
from serving.access.limits import Admission, QueueFull, RateLimit, network_of
from serving.access.session import (
    SESSION_SECONDS,
    TRIES,
    known_device,
    session_is_good,
    sign_device,
    sign_session,
)
from serving.access.this_machine import is_loopback, names_this_machine
from serving.telemetry import JsonLines
from serving.telemetry import access as access_log
from tests.serving.twin_server import QUESTION, Server, install, serving, twin
from tests.support.machine import PATIENCE, until
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.marks import PAUSED, pause
from twin_assets.core.storage.lake import LocalLake, open_lake
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with a password and keys of different scopes."""
    with twin(tmp_path_factory.mktemp("home"), ui_password="open sesame", rate_per_minute=1000) as (
        server,
        _,
    ):
        keys = Keys(server.answers.lake)
        made = {
            "writer": keys.create("writer", ["runa"], ["write"])[0],
            "other": keys.create("other", ["ola"], ["read", "chat", "write", "links", "feedback"])[0],
            "admin": keys.create("admin", ["*"], ["admin"])[0],
            "own": keys.create("own", ["ola"], ["admin"])[0],
            "keeper": keys.create("keeper", ["runa"], ["library"])[0],
            "slow": keys.create("slow", ["*"], ["read"], per_minute=2)[0],
        }
        yield server, {name: f"Bearer {token}" for name, token in made.items()}


def test_only_a_hash_of_a_key_is_kept(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    stored = "".join(server.answers.lake.read(key).decode() for key in server.answers.lake.keys("access"))
    for token in bearer.values():
        assert token.rsplit("_", 1)[1] not in stored


def test_a_key_is_good_for_its_actions_and_personas_only(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    post, get = server.client.post, server.client.get

    def write(name: str, persona: str) -> int:
        body = {"persona": persona, "topic": "tides"}
        return post("/v1/write", json=body, headers={"Authorization": bearer[name]}).status_code

    assert write("writer", "runa") == 200
    assert write("writer", "ola") == 403
    assert write("other", "runa") == 403
    assert write("admin", "runa") == 403
    chat = {"model": "runa", "messages": [{"role": "user", "content": QUESTION}]}
    assert (
        post("/v1/chat/completions", json=chat, headers={"Authorization": bearer["writer"]}).status_code
        == 403
    )
    linked = {"persona": "runa", "topic": "tides", "links": ["https://example.com/a"]}
    assert post("/v1/write", json=linked, headers={"Authorization": bearer["writer"]}).status_code == 403
    said = {"request_id": "a", "persona": "runa", "model": "m", "thumb": "up"}
    assert post("/v1/feedback", json=said, headers={"Authorization": bearer["other"]}).status_code == 403
    for name, persona, status in (("keeper", "runa", 200), ("keeper", "ola", 403), ("admin", "runa", 403)):
        answer = get("/v1/library", params={"persona": persona}, headers={"Authorization": bearer[name]})
        assert answer.status_code == status, name
    shown = get("/v1/personas", headers={"Authorization": bearer["other"]}).json()["personas"]
    assert [p["name"] for p in shown] == ["ola"]
    assert get("/ui/api/start", headers={"Authorization": bearer["other"]}).status_code == 403
    assert get("/v1/personas", headers={"Authorization": bearer["admin"]}).status_code == 403


def test_the_page_names_the_personas_that_a_key_is_admin_of(keyed: tuple[Server, dict[str, str]]) -> None:
    """That it opens no other's page is shown in test_whose.py."""
    server, bearer = keyed
    headers = {"Authorization": bearer["own"]}
    people = server.client.get("/ui/api/start", headers=headers).json()["personas"]
    assert [(p["name"], p["paused"]) for p in people] == [("ola", None)]
    pause(open_lake(server.settings), "ola", "Ines", "on leave")
    try:
        (shown,) = server.client.get("/ui/api/start", headers=headers).json()["personas"]
        assert shown["paused"].endswith(" UTC by Ines: on leave")
    finally:
        PAUSED.take(open_lake(server.settings), "ola")
    admin = {"Authorization": bearer["admin"]}
    assert server.client.get("/ui/api/runa/documents", headers=admin).status_code == 200
    assert server.client.get("/ui/api/start", headers=admin).json()["personas"] != []


@pytest.mark.parametrize(
    "header", [None, "Bearer nonsense", "Bearer twk_000000000000_" + "0" * 64, "Basic eDp5"]
)
def test_without_a_good_key_nothing_answers_but_what_probes_ask(
    keyed: tuple[Server, dict[str, str]], header: str | None
) -> None:
    server, _ = keyed
    headers = {"Authorization": header} if header else {}
    answer = server.client.post("/v1/write", json={"persona": "runa", "topic": "tides"}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "LoginNeeded"
    assert server.client.get("/ui/api/start", headers=headers).status_code == 401
    assert server.client.get("/health", headers=headers).status_code == 200
    assert server.client.get("/", headers=headers).status_code == 200


def test_a_revoked_key_ends_and_the_service_stays_closed(tmp_path: Path) -> None:
    with twin(tmp_path) as (server, _):
        assert server.write().status_code == 200  # open on this machine
        keys = Keys(server.answers.lake)
        token, key = keys.create("one", ["*"], ["write"])
        sent = {"Authorization": f"Bearer {token}"}
        fresh = {"topic": "tides", "persona": "runa"}
        until(lambda: server.write().status_code == 401)
        assert server.client.post("/v1/write", json=fresh, headers=sent).status_code == 200
        keys.revoke(key.id)
        until(lambda: server.client.post("/v1/write", json=fresh, headers=sent).status_code == 401)
        assert server.write().status_code == 401


@pytest.mark.parametrize("left", [b"", b'{"id":"ab', b"\xff\xfe"])
def test_a_damaged_key_object_is_in_the_way_of_no_other_key(tmp_path: Path, left: bytes) -> None:
    lake = LocalLake(tmp_path)
    keys = Keys(lake)
    (good, _), (stolen, key), (lost, damaged) = (keys.create(name, ["*"], ["write"]) for name in "abc")
    lake.write(f"access/keys/{damaged.id}.json", left)
    keys.revoke(key.id)
    fresh = Keys(lake)
    assert fresh.find(good) is not None
    assert fresh.find(stolen) is None
    assert fresh.find(lost) is None
    assert fresh.damaged() == [damaged.id]
    fresh.revoke(damaged.id)
    assert Keys(lake).damaged() == []
    assert Keys(lake).find(lost) is None


def test_a_service_whose_only_key_is_damaged_stays_closed(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    _, key = Keys(lake).create("one", ["*"], ["write"])
    lake.write(f"access/keys/{key.id}.json", b"{")
    assert Keys(lake).any


def test_the_pages_session_and_password_work_beside_keys(keyed: tuple[Server, dict[str, str]]) -> None:
    server, _ = keyed
    body = {"persona": "runa", "topic": "tides"}
    password = {"Authorization": "Bearer open sesame"}
    assert server.client.post("/v1/write", json=body, headers=password).status_code == 200
    with httpx.Client(base_url=server.url) as browser:
        page = {"X-Twin-UI": "1"}
        assert browser.post("/ui/login", json={"password": "open sesame"}).status_code == 403
        assert browser.post("/ui/login", json={"password": "open sesame"}, headers=page).status_code == 200
        assert browser.post("/v1/write", json=body, headers=page).status_code == 200
        assert browser.get("/ui/session").json() == {"needed": True, "open": True}


def test_keys_that_end_and_strangers_keep_nobody_out_who_knows_the_password(tmp_path: Path) -> None:
    page, right, wrong = {"X-Twin-UI": "1"}, {"password": "open sesame"}, {"password": "guess"}
    with twin(tmp_path, ui_password="open sesame", allow_anonymous=True) as (server, _):
        keys, get, post = Keys(server.answers.lake), server.client.get, server.client.post
        token, key = keys.create("one", ["*"], ["read"])
        keys.revoke(key.id)
        until(lambda: get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 401)
        for _ in range(20):
            assert get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        bearer = {"Authorization": "Bearer open sesame"}
        assert get("/v1/models", headers=bearer).status_code == 200
        with httpx.Client(base_url=server.url, headers=page) as browser:
            assert browser.post("/ui/login", json=right).status_code == 200
            assert browser.post("/ui/logout").status_code == 200
            # A program with a wrong token, and a stranger at the login page, both of the same address.
            said = [get("/v1/models", headers={"Authorization": "Bearer none"}) for _ in range(8)]
            assert [a.status_code for a in said] == [401] * TRIES + [429] * (8 - TRIES)
            assert 0 < int(said[-1].headers["retry-after"]) <= 60
            assert get("/v1/models", headers=bearer).status_code == 429, "the right one is no oracle"
            tried = [post("/ui/login", json=wrong, headers=page).status_code for _ in range(8)]
            assert tried == [401] * TRIES + [429] * (8 - TRIES)
            assert post("/ui/login", json=right, headers=page).status_code == 429, (
                "the right one is no oracle"
            )
            assert browser.get("/v1/models").status_code == 401
            assert browser.post("/ui/login", json=right).status_code == 200, (
                "this browser has logged in before"
            )
            assert browser.get("/v1/models").status_code == 200
            # Its own tries are limited too, and a mark that we didn't sign is none.
            tried = [browser.post("/ui/login", json=wrong).status_code for _ in range(8)]
            assert tried == [401] * TRIES + [429] * (8 - TRIES)
        forged = page | {"Cookie": f"twin_device={'0' * 32}.{'0' * 64}"}
        assert post("/ui/login", json=right, headers=forged).status_code == 429


def test_guesses_at_once_are_counted_each(tmp_path: Path) -> None:
    with twin(tmp_path, ui_password="open sesame") as (server, _), ThreadPoolExecutor(20) as pool:
        sent = {"json": {"password": "guess"}, "headers": {"X-Twin-UI": "1"}}
        told = list(pool.map(lambda _: httpx.post(f"{server.url}/ui/login", **sent).status_code, range(20)))  # type: ignore[arg-type]
    assert told.count(401) == TRIES


def test_an_ipv6_network_is_one_address_to_the_limits() -> None:
    assert (
        network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::") != network_of("2001:db8:1:3::")
    )
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("a socket") == "a socket"


def test_rates_end_in_429_with_the_time_to_wait(keyed: tuple[Server, dict[str, str]], tmp_path: Path) -> None:
    server, bearer = keyed
    answers = [server.client.get("/v1/models", headers={"Authorization": bearer["slow"]}) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert answers[2].json()["error"]["type"] == "RateLimited"
    settings = install(tmp_path, "http://127.0.0.1:1/v1", rate_per_minute_address=3)
    with serving(settings) as limited:
        statuses = [limited.client.get("/v1/models").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert limited.client.get("/health").status_code == 200


def test_a_bucket_refills_evenly_and_memory_is_bounded() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(60)] == [0.0] * 60
    assert limit.wait("a") == pytest.approx(1.0)
    assert limit.wait("b") == 0.0
    now[0] = 2.0
    assert [limit.wait("a") == 0.0 for _ in range(3)] == [True, True, False]
    assert RateLimit(0).wait("a") == 0.0
    from serving.access.limits import MAX_BUCKETS

    for n in range(MAX_BUCKETS + 10):
        limit.wait(str(n))
    assert len(limit._buckets) == MAX_BUCKETS


def test_what_is_too_large_is_refused_announced_or_not(tmp_path: Path) -> None:
    settings = install(tmp_path, "http://127.0.0.1:1/v1", max_request_bytes=5_000)
    with serving(settings) as server:
        big = json.dumps({"persona": "runa", "draft": "x" * 6_000})
        announced = server.client.post("/v1/write", content=big, headers={"Content-Type": "application/json"})
        assert announced.status_code == 413
        pieces = (big[at : at + 1_000].encode() for at in range(0, len(big), 1_000))
        streamed = server.client.post(
            "/v1/write", content=pieces, headers={"Content-Type": "application/json"}
        )
        assert streamed.status_code == 413
        assert "error" in streamed.json()


@pytest.mark.parametrize("given", ["two words", "x" * 81, "a\tb", "ü", ""])
def test_a_request_id_that_is_not_well_formed_is_replaced(
    keyed: tuple[Server, dict[str, str]], given: str
) -> None:
    server, _ = keyed
    answer = server.client.get("/health", headers={"X-Request-ID": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_the_access_log_is_json_without_texts_and_keys(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    access_log.addHandler(handler)
    try:
        body = {"persona": "runa", "topic": "a most secret topic"}
        sent = {"Authorization": bearer["writer"], "X-Request-ID": "id-7"}
        answer = server.client.post("/v1/write?token=leak", json=body, headers=sent)
        assert answer.status_code == 200
        until(lambda: "id-7" in written.getvalue())
    finally:
        access_log.removeHandler(handler)
    line = next(json.loads(x) for x in written.getvalue().splitlines() if "id-7" in x)
    assert (line["status"], line["route"], line["persona"], line["outcome"]) == (
        200,
        "/v1/write",
        "runa",
        "answered",
    )
    assert line["caller"].startswith("key ")
    for secret in ("secret topic", "leak", bearer["writer"].removeprefix("Bearer "), answer.json()["text"]):
        assert secret not in written.getvalue()


def test_http_is_counted_by_routes_and_methods_that_there_are(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    headers = {"Authorization": bearer["admin"]}

    def counted() -> set[tuple[str, str]]:
        families = (f for f in REGISTRY.collect() if f.name.startswith("twin_http"))
        return {(s.labels["route"], s.labels.get("method", "")) for f in families for s in f.samples}

    for number in range(20):
        server.client.get(f"/odd/{number}", headers=headers)
        server.client.get(f"/ui/api/odd-{number}/documents", headers=headers)
        server.client.request("PROPFIND", f"/odd/{number}", headers=headers)
        server.client.get(f"/odd/{number}")
    until(lambda: {("/ui/api/{persona}/documents", "GET"), ("none", "GET"), ("none", "other")} <= counted())
    assert not [labels for labels in counted() if "odd" in str(labels).lower()]


def test_no_answer_is_stored_or_taken_for_another_type(keyed: tuple[Server, dict[str, str]]) -> None:
    """Of every route: test_whose.py. Here refusals, streams, and what no route has."""
    server, bearer = keyed
    sent = {
        "headers": {"Authorization": bearer["writer"]},
        "json": {"persona": "runa", "topic": "tides", "stream": True},
    }
    answers = [
        server.client.get("/v1/models"), server.client.get("/nowhere", headers={"Authorization": bearer["admin"]}),
        server.client.post("/v1/write", **sent), server.client.post("/ui/login", json={}), server.client.get("/docs.json"),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert answer.headers["cache-control"] == "no-store", answer.url
    assert server.client.get("/ui/static/app.js").headers["x-content-type-options"] == "nosniff"


def test_what_requests_leave_behind_is_for_the_owner_of_the_service(tmp_path: Path) -> None:
    home, before = tmp_path / "home", os.umask(0o022)
    home.mkdir(mode=0o755)
    try:
        with twin(home, ui_password="open sesame") as (server, _):
            server.client.headers["Authorization"] = "Bearer open sesame"
            assert server.write().status_code == 200
            assert httpx.post(
                f"{server.url}/ui/login", json={"password": "open sesame"}, headers={"X-Twin-UI": "1"}
            ).is_success
            Keys(server.answers.lake).create("one", ["*"], ["read"])
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o077 == 0
    lake = home / "lake"
    made = [lake, *lake.rglob("*"), home / "ui_secret"]
    assert {"requests", "access", "ledger"} <= {p.name for p in made}
    assert [p for p in made if p.stat().st_mode & 0o077] == []


def test_another_site_can_not_use_a_service_without_keys(tmp_path: Path) -> None:
    settings = install(tmp_path, "http://127.0.0.1:1/v1", cors_origins=["https://friend.example"])
    with serving(settings) as server:
        get = server.client.get
        assert get("/v1/models").status_code == 200
        assert get("/v1/models", headers={"Host": "rebound.example"}).status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        assert get("/v1/models", headers=cross).status_code == 403
        # A page on another port of this machine is another site, though browsers call it the same.
        neighbour = {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8888"}
        assert get("/v1/models", headers=neighbour).status_code == 403
        assert get("/v1/models", headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
        followed = {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
        }
        assert get("/v1/models", headers=followed).status_code == 200
        friend = cross | {"Origin": "https://friend.example"}
        allowed = get("/v1/models", headers=friend)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert server.client.options("/v1/write", headers=friend | asked).status_code == 200
        used = {m.upper() for path in get("/docs.json").json()["paths"].values() for m in path}
        for method in used:
            preflight = friend | asked | {"Access-Control-Request-Method": method}
            assert server.client.options("/v1/drafts/one", headers=preflight).status_code == 200, method
        refused = server.client.options("/v1/write", headers={"Origin": "https://evil.example"} | asked)
        assert "access-control-allow-origin" not in refused.headers


def test_without_keys_only_this_machine_is_answered(tmp_path: Path) -> None:
    assert all(map(is_loopback, ("127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8")))
    assert not any(map(is_loopback, ("10.0.0.1", "::ffff:10.0.0.1", "192.168.1.2", "fe80::1", "", "unix")))
    assert all(map(names_this_machine, ("localhost:3000", "127.0.0.1", "[::1]:3000", "a.localhost")))
    assert not any(
        map(names_this_machine, ("evil.example", "localhost.evil.example:3000", "10.0.0.1:3000", ""))
    )
    # A proxy on this machine comes from a loopback address, and may well ask by a loopback name.
    with serving(install(tmp_path, "http://127.0.0.1:1/v1")) as server:
        assert server.client.get("/v1/models").status_code == 200
        for proxy in (
            "X-Forwarded-For",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "X-Forwarded-Host",
            "CF-Connecting-IP",
        ):
            refused = server.client.get("/v1/models", headers={proxy: "127.0.0.1"})
            assert (refused.status_code, refused.json()["error"]["type"]) == (403, "NotOpen"), proxy


def test_the_queue_is_bounded_in_length_and_time() -> None:
    async def scene() -> None:
        queue = Admission(running=1, waiting=1, seconds=0.05)
        await queue.enter("a")
        second = asyncio.create_task(queue.enter("a"))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):  # one runs, one waits
            await queue.enter("a")
        with pytest.raises(QueueFull):  # and that one not for ever
            await second
        queue.leave("a")
        await queue.enter("a")
        assert queue.in_hand == {"running": 1, "waiting": 0}

    asyncio.run(scene())


async def settle() -> None:
    """Let all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_places_are_shared_among_callers() -> None:
    async def scene() -> None:
        queue = Admission(running=4, waiting=6, seconds=PATIENCE)
        began: list[str] = []

        async def ask(caller: str) -> None:
            await queue.enter(caller)
            began.append(caller)

        def asks(caller: str, times: int) -> list[asyncio.Task[None]]:
            return [asyncio.create_task(ask(caller)) for _ in range(times)]

        greedy = asks("greedy", 9)
        await settle()
        assert (began, queue.in_hand) == (["greedy"] * 3, {"running": 3, "waiting": 6})
        await ask("modest")
        assert began[-1] == "modest", "a place is left for others"
        others = [*asks("modest", 2), *asks("third", 1)]
        await settle()
        refused = [task for task in greedy if task.done() and task.exception()]
        assert [type(task.exception()) for task in refused] == [QueueFull] * 3, "the line is shared too"
        assert queue.in_hand == {"running": 4, "waiting": 6}
        queue.leave("greedy")
        await settle()
        assert began[-1] == "third", "next is who has fewest"
        cancelled = others[0]
        cancelled.cancel()
        await settle()
        for caller in ("greedy", "greedy", "modest", "third"):
            queue.leave(caller)
        await settle()
        assert Counter(began[-4:]) == {"modest": 1, "greedy": 3}
        for caller in began[-4:]:
            queue.leave(caller)
        assert queue.in_hand == {"running": 0, "waiting": 0}
        await asyncio.gather(*greedy, *others, return_exceptions=True)

    asyncio.run(scene())


def test_whoever_gives_up_in_line_takes_no_place_along() -> None:
    async def scene() -> None:
        queue = Admission(running=1, waiting=3, seconds=PATIENCE)
        await queue.enter("a")
        waiting = asyncio.create_task(queue.enter("b"))
        await asyncio.sleep(0)
        queue.leave("a")  # the place is b's, who gives up before having heard of it
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert queue.in_hand == {"running": 0, "waiting": 0}

    asyncio.run(scene())


def half_sent(server: Server, path: str, *headers: str) -> socket.socket:
    """A connection that has announced a body and sent the beginning of it."""
    connection = socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=PATIENCE)
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Content-Length: 500",
        *headers,
    ]
    connection.sendall(("\r\n".join(lines) + '\r\n\r\n{"persona"').encode())
    return connection


def test_bodies_that_do_not_come_take_no_place_and_are_given_up(tmp_path: Path) -> None:
    with twin(tmp_path, max_running=2, max_waiting=1, max_wait_seconds=1.0, max_body_seconds=4.0) as (
        server,
        _,
    ):
        stalled = [half_sent(server, path) for path in ("/v1/write", "/v1/chat/completions") * 4]
        try:
            answer = server.write()
            assert answer.status_code == 200, answer.text
            for connection in stalled:
                told = connection.recv(10_000)
                assert told.startswith(b"HTTP/1.1 408")
                assert b"TooSlow" in told
        finally:
            for connection in stalled:
                connection.close()
        assert server.write().status_code == 200


def test_one_caller_leaves_a_place_for_others(tmp_path: Path) -> None:
    with twin(tmp_path, max_running=2, max_waiting=4, max_wait_seconds=PATIENCE) as (server, engine):
        keys = Keys(server.answers.lake)
        one, other = (
            {"Authorization": f"Bearer {keys.create(n, ['*'], ['write'])[0]}"} for n in ("one", "other")
        )
        body = {"persona": "runa", "topic": "tides"}
        until(lambda: server.client.post("/v1/write", json=body).status_code == 401)
        engine.hold.clear()
        with ThreadPoolExecutor(4) as pool:
            before = len(engine.asked)
            held = [
                pool.submit(httpx.post, f"{server.url}/v1/write", json=body, headers=one, timeout=PATIENCE)
                for _ in range(3)
            ]
            until(lambda: len(engine.asked) == before + 1)
            told = pool.submit(
                httpx.post, f"{server.url}/v1/write", json=body, headers=other, timeout=PATIENCE
            )
            until(lambda: len(engine.asked) == before + 2)  # while two of the first caller's wait
            engine.hold.set()
            assert [f.result().status_code for f in (*held, told)] == [200] * 4


def test_a_login_is_no_place_to_send_much(keyed: tuple[Server, dict[str, str]]) -> None:
    server, _ = keyed
    answer = server.client.post("/ui/login", json={"password": "x" * 20_000}, headers={"X-Twin-UI": "1"})
    assert answer.status_code == 413


def test_the_ledger_says_who_was_authenticated(tmp_path: Path) -> None:
    settings = install(tmp_path, "http://127.0.0.1:1/v1", ui_password="open sesame")
    ledger, keys = Ledger(open_lake(settings), "runa"), Keys(open_lake(settings))

    def decided(settings: Settings, **headers: str) -> Event:
        """The event of a rejection by whoever sends these headers, and says that they are Ines."""
        ledger.append("twin-runa-dpo:two", "proposed", "pipeline", "new")
        waits = ledger.append("twin-runa-dpo:two", "evaluated", "pipeline", "passed", passed=True)
        body = {
            "decision": "reject",
            "about": waits.number,
            "model": waits.model,
            "reviewer": "Ines",
            "reason": "no",
        }
        with serving(settings) as server:
            answer = server.client.post(
                "/ui/api/runa/decisions", json=body, headers={"X-Twin-UI": "1"} | headers
            )
        assert answer.status_code == 200, answer.text
        return ledger.events()[-1]

    nobody = decided(settings.model_copy(update={"ui_password": None}))
    assert (nobody.actor, nobody.claimed) == ("not authenticated", "Ines")
    assert decided(settings, Authorization="Bearer open sesame").who == "Ines (page login)"
    token, key = keys.create("Ines of the ferries", ["runa"], ["admin"])
    assert decided(settings, Authorization=f"Bearer {token}").actor == f"key {key.id} (Ines of the ferries)"


def test_a_session_ends_with_its_time_and_its_password_and_is_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie, device = sign_session(tmp_path, "one"), sign_device(tmp_path, "one")
    assert session_is_good(tmp_path, "one", cookie)
    assert known_device(tmp_path, "one", device) == device.partition(".")[0]
    assert not session_is_good(tmp_path, "two", cookie)
    assert known_device(tmp_path, "two", device) is None
    assert not session_is_good(tmp_path / "other", "one", cookie)
    changed = str(int(cookie.partition(".")[0]) + 1)
    for forged in (
        device,
        cookie[:-1],
        cookie.replace(cookie.partition(".")[0], changed),
        "",
        ".",
        "²",
        "9" * 5000,
    ):
        assert not session_is_good(tmp_path, "one", forged)
    for forged in (cookie, device[:-1], f"0{device}", "", "é."):
        assert known_device(tmp_path, "one", forged) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_SECONDS + 1)
    assert not session_is_good(tmp_path, "one", cookie)
