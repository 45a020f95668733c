"""What a request leaves behind: who asked, what it cost, on the page and in the metrics; and how it is erased."""

import time
from collections.abc import Iterator

import httpx
import pytest

from serving.access.keys import Keys
from tests.serving.twin_server import QUESTION, Server, twin
from tests.support.machine import PATIENCE
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.lake import LocalLake
from twin_assets.inference.twin.request_log import RequestRecord, read_requests, user_hash
from twin_assets.monitoring.scores.live_scores import LiveScorer, score_new
from twin_assets.monitoring.scores.toxicity import by_words


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with keys and a price, after four requests of two callers."""
    with twin(tmp_path_factory.mktemp("home"), ui_password="open sesame", hardware_usd_per_hour=3600.0) as (
        server,
        _,
    ):
        keys = Keys(server.answers.lake)
        made = {name: keys.create(name, ["*"], actions) for name, actions in (
            ("app", ["chat", "write", "feedback"]), ("admin", ["admin"]), ("elsewhere", ["admin"]),
        )}  # fmt: skip
        server.client.headers["Authorization"] = f"Bearer {made['app'][0]}"
        for user in ("ann", "bob"):
            messages = [{"role": "user", "content": QUESTION}]
            body = {"model": "runa", "messages": messages, "user": user}
            assert server.client.post("/v1/chat/completions", json=body).status_code == 200
        assert server.write().status_code == 200
        assert server.write(stream=True).status_code == 200
        _rows(server, 4)
        yield (
            server,
            {name: f"Bearer {token}" for name, (token, _) in made.items()} | {"id": made["app"][1].id},
        )


def _rows(server: Server, wanted: int) -> list[RequestRecord]:
    """The rows of the log, once there are so many."""
    deadline = time.monotonic() + PATIENCE
    while len(rows := read_requests(server.answers.lake, "runa")) < wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(rows) == wanted
    return rows


def test_rows_name_who_asked_without_their_key_or_name(asked: tuple[Server, dict[str, str]]) -> None:
    server, given = asked
    rows = read_requests(server.answers.lake, "runa")
    assert {row.key for row in rows} == {given["id"]}
    assert {row.user for row in rows} == {user_hash(given["id"], "ann"), user_hash(given["id"], "bob"), None}
    stored = b"".join(server.answers.lake.read(key) for key in server.answers.lake.keys("requests"))
    assert given["app"].rsplit("_", 1)[1].encode() not in stored
    assert not any(row.canary for row in rows)


def test_money_is_counted_in_rows_metrics_and_on_the_page(asked: tuple[Server, dict[str, str]]) -> None:
    server, given = asked
    rows = read_requests(server.answers.lake, "runa")
    for row in rows:
        assert row.cost == pytest.approx(row.steps_ms["generate"] / 1000)  # a dollar a second
    headers = {"Authorization": "Bearer open sesame"}
    score_new(server.answers.lake, LiveScorer(
        load_persona(server.settings.personas_dir, "runa"), {}, lambda claims, _: (_ for _ in ()).throw(AssertionError(claims)),
        None, by_words, 10, 17,
    ))  # fmt: skip
    shown = server.client.get("/ui/api/runa/monitoring", headers=headers).json()
    assert shown["total"]["cost"] == pytest.approx(sum(row.cost or 0 for row in rows))
    assert [(one["group"], one["requests"]) for one in shown["keys"]] == [(given["id"], 4)]
    assert {one["group"] for one in shown["kinds"]} == {"answer", "write_post"}
    assert "generate" in shown["total"]["steps_p95"]
    (quality,) = shown["quality"]["versions"]
    assert (quality["requests"], quality["texts"], quality["leaks"]) == (4, 4, 0)
    assert shown["training"] == {"runs": 0, "hours": 0.0, "cost": None}

    from prometheus_client import REGISTRY

    labels = {"persona": "runa", "version": rows[0].model, "kind": "answer", "key": given["id"]}
    counted = REGISTRY.get_sample_value("twin_cost_usd_total", labels)
    assert counted == pytest.approx(sum(row.cost or 0 for row in rows if row.prompt_kind == "answer"))


def test_requests_are_erased_by_their_user_with_an_admin_key_only(
    asked: tuple[Server, dict[str, str]],
) -> None:
    server, given = asked

    def erase(who: str, **query: str) -> httpx.Response:
        headers = {"Authorization": given[who]}
        return server.client.request(
            "DELETE", "/v1/requests", params={"persona": "runa"} | query, headers=headers
        )

    assert erase("app", key=given["id"], user="ann").status_code == 403
    assert erase("admin").status_code == 400
    assert erase("admin", user="ann").status_code == 400
    assert erase("admin", persona="nobody", request_id="x").status_code == 404
    assert len(read_requests(server.answers.lake, "runa")) == 4
    gone = erase("admin", key=given["id"], user="ann")
    assert (gone.status_code, gone.json()["requests"]) == (200, 1)
    left = read_requests(LocalLake(server.settings.lake_dir), "runa")
    assert user_hash(given["id"], "ann") not in {row.user for row in left}
    assert len(left) == 3
    assert erase("admin", request_id=left[0].request_id).json()["requests"] == 1
