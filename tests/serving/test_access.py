"""Who may ask what, how often and how much; request ids; what other sites can and can't do."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from serving import ui
from serving.keys import Keys, main
from serving.limits import Admission, QueueFull, RateLimit
from serving.telemetry import JsonLines
from serving.telemetry import access as access_log
from serving.this_machine import is_loopback, names_this_machine
from tests.machine import until
from tests.serving.twin_server import QUESTION, Server, install, serving, twin
from twin_assets.core.history import Event
from twin_assets.core.lake import open_lake
from twin_assets.core.ledger import Ledger
from twin_assets.settings import Settings


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with a password and keys of different scopes."""
    with twin(tmp_path_factory.mktemp("home"), ui_password="open sesame", rate_per_minute=1000) as (
        server,
        _,
    ):
        keys = Keys(server.desk.lake)
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
    stored = "".join(server.desk.lake.read(key).decode() for key in server.desk.lake.keys("access"))
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


def test_a_key_that_is_admin_of_one_persona_opens_no_others_page(
    keyed: tuple[Server, dict[str, str]],
) -> None:
    server, bearer = keyed
    headers = {"Authorization": bearer["own"]}
    routes = [
        r for part in vars(ui).values() for r in getattr(getattr(part, "router", None), "routes", [])
        if isinstance(r, APIRoute) and r.path.startswith("/ui/api/{persona}/")
    ]  # fmt: skip
    assert len(routes) > 12
    for route in routes:
        path = re.sub(r"{\w+}", "x", route.path.replace("{persona}", "runa"))
        for method in route.methods:
            refused = server.client.request(method, path, json={}, headers=headers)
            assert (refused.status_code, method, path) == (403, method, path)
    people = server.client.get("/ui/api/start", headers=headers).json()["personas"]
    assert [p["name"] for p in people] == ["ola"]
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
        keys = Keys(server.desk.lake)
        token, key = keys.create("one", ["*"], ["write"])
        sent = {"Authorization": f"Bearer {token}"}
        fresh = {"topic": "tides", "persona": "runa"}
        until(lambda: server.write().status_code == 401)
        assert server.client.post("/v1/write", json=fresh, headers=sent).status_code == 200
        keys.revoke(key.id)
        until(lambda: server.client.post("/v1/write", json=fresh, headers=sent).status_code == 401)
        assert server.write().status_code == 401


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


def test_keys_are_made_listed_and_revoked_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = install(tmp_path, "http://127.0.0.1:1/v1")
    monkeypatch.setenv("TWIN_HOME", str(settings.home))
    monkeypatch.setenv("TWIN_PERSONAS_DIR", str(settings.personas_dir))
    assert main(["create", "bot", "--persona", "runa", "--action", "write", "--per-minute", "5"]) == 0
    token = capsys.readouterr().out.splitlines()[0]
    key = Keys(open_lake(settings)).find(token)
    assert key is not None
    assert (key.personas, key.actions, key.per_minute) == (["runa"], ["write"], 5)
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "good  bot  runa  write  public" in listed
    assert token.rsplit("_", 1)[1] not in listed
    assert main(["create", "bot", "--persona", "nobody"]) == 1
    assert main(["create", "circle", "--audience", "connections"]) == 0
    assert "audience connections" in capsys.readouterr().out
    assert main(["revoke", key.id]) == 0
    assert Keys(open_lake(settings)).find(token) is None
    assert main(["revoke", "feedbeef"]) == 1


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
    from serving.limits import MAX_BUCKETS

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


def test_another_site_can_not_use_a_service_without_keys(tmp_path: Path) -> None:
    settings = install(tmp_path, "http://127.0.0.1:1/v1", cors_origins=["https://friend.example"])
    with serving(settings) as server:
        get = server.client.get
        assert get("/v1/models").status_code == 200
        assert get("/v1/models", headers={"Host": "rebound.example"}).status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        assert get("/v1/models", headers=cross).status_code == 403
        friend = cross | {"Origin": "https://friend.example"}
        allowed = get("/v1/models", headers=friend)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert server.client.options("/v1/write", headers=friend | asked).status_code == 200
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
        await queue.enter()
        second = asyncio.create_task(queue.enter())
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):  # one runs, one waits
            await queue.enter()
        with pytest.raises(QueueFull):  # and that one not for ever
            await second
        queue.leave()
        await queue.enter()
        assert queue.in_hand == {"running": 1, "waiting": 0}

    asyncio.run(scene())


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
