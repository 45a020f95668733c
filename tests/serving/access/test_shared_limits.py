"""Rates that all replicas count together, in a real PostgreSQL that dies, freezes and comes back."""

import logging
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import dagster_web
from serving.access import shared_limits
from serving.access.session import TRIES
from serving.access.shared_limits import Counter, Limits, SharedRateLimit
from tests.serving.twin_server import install, serving
from tests.support.machine import free_port, until
from tests.support.postgres.server import PASSWORD, Postgres
from twin_assets.core.storage.database import DatabaseAway, ask, connect
from twin_assets.settings import Settings, load_settings


def rows(settings: Settings) -> list[tuple[str]]:
    connection = connect(settings, 60)
    found = ask(connection, 60, "select name from twin_rate_limits")
    connection.close()
    return found  # type: ignore[return-value]


def test_replicas_that_ask_at_once_let_through_what_one_would(settings: Settings) -> None:
    replicas = [Limits(settings).limit("at once", 30) for _ in range(3)]
    with ThreadPoolExecutor(12) as pool:
        waits = list(pool.map(lambda n: replicas[n % 3].wait("ada"), range(60)))
    # One comes back every two seconds: a slow machine may let a few more through.
    assert 30 <= waits.count(0.0) < 60
    assert all(0 < wait <= 2 for wait in waits if wait)
    assert replicas[0].wait("grace") == 0.0


def test_a_token_that_is_given_back_is_there_for_the_other_replica(settings: Settings) -> None:
    one, other = (Limits(settings).limit("tries", 1) for _ in range(2))
    assert one.wait("ada") == 0.0
    assert 0 < other.wait("ada") <= 60
    one.give_back("ada")
    assert Limits(settings).limit("tries", 1).wait("ada") == 0.0
    assert Limits(settings).limit("another kind", 1).wait("ada") == 0.0


def test_no_name_stands_in_the_table_and_full_buckets_leave_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(settings)
    limit = SharedRateLimit(6_000, "address", counter)
    assert limit.wait("203.0.113.7") == 0.0
    assert rows(settings)
    assert not [name for (name,) in rows(settings) if "203" in name]
    monkeypatch.setattr(shared_limits, "SWEEP_SECONDS", 0.0)
    before = set(rows(settings))

    def swept() -> bool:
        limit.wait("203.0.113.8")
        return not before <= set(rows(settings))

    until(swept)


@pytest.mark.parametrize("ill", ["dead", "frozen"])
def test_while_the_database_is_away_each_replica_counts_for_itself(
    settings: Settings,
    server: Postgres,
    ill: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger=shared_limits.__name__)
    monkeypatch.setattr(shared_limits, "REST_SECONDS", 0.2)
    limit = Limits(settings).limit(ill, 4)
    assert limit.wait("ada") == 0.0
    if ill == "dead":
        server.stop()
    else:
        server.signal(signal.SIGSTOP)
    try:
        assert [limit.wait("ada") == 0.0 for _ in range(4)] == [True, True, True, False]
    finally:
        if ill == "dead":
            server.start()
        else:
            server.signal(signal.SIGCONT)
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 1
    assert "each replica counts limits for itself" in said[0]
    assert PASSWORD not in said[0]
    assert "p%40ss" not in said[0]

    others = count()

    def counted_again() -> bool:
        limit.wait(str(next(others)))  # a name that its own process turns away is not asked for
        return any(r.getMessage() == "limits are counted in the database again" for r in caplog.records)

    until(counted_again)


def test_two_services_turn_a_caller_away_together(server: Postgres, tmp_path: Path) -> None:
    answers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mine = install(
            tmp_path / name, "http://127.0.0.1:1/v1", rate_per_minute_address=3, database_url=server.url
        )
        with serving(mine) as replica:
            answers += [replica.client.get("/v1/models") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["error"]["type"] == "RateLimited"
    assert int(answers[3].headers["retry-after"]) >= 1


def test_wrong_passwords_are_counted_together(server: Postgres, tmp_path: Path) -> None:
    statuses = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        mine = install(
            tmp_path / name, "http://127.0.0.1:1/v1", ui_password="open sesame", database_url=server.url
        )
        with serving(mine) as replica:
            for _ in range(3):
                sent = replica.client.post(
                    "/ui/login", json={"password": "a guess"}, headers={"X-Twin-UI": "1"}
                )
                statuses.append(sent.status_code)
    assert statuses == [401] * 5 + [429]


def test_wrong_passwords_at_dagster_count_with_those_on_the_page(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWIN_HOME", str(tmp_path))
    monkeypatch.setenv("TWIN_UI_PASSWORD", "open sesame")
    monkeypatch.setenv("TWIN_DATABASE_URL", server.url)
    application = dagster_web.create_app(None)  # its login asks nothing of Dagster's
    dagster = TestClient(application, "http://127.0.0.1", client=("203.0.113.9", 1))
    statuses = [
        dagster.post(dagster_web.LOGIN, data={"password": "a guess"}).status_code for _ in range(TRIES + 1)
    ]
    assert statuses == [401] * TRIES + [429]
    page = Limits(load_settings()).limit("tries", TRIES)
    assert page.wait("login 203.0.113.9") > 0
    assert page.wait("login 203.0.113.10") == 0


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (":{port}/", ":{closed}/", "see that it runs, and the address in TWIN_DATABASE_URL"),
        ("ss%2F", "sssecret", "see that it runs, and the address in TWIN_DATABASE_URL"),
        ("ss%2F", "ss%secret", "write it as postgresql://user:password@host/database"),
    ],
    ids=["nobody listens", "another password", "no address"],
)
def test_a_database_that_can_t_be_asked_is_named_without_its_login(
    settings: Settings, server: Postgres, right: str, wrong: str, said: str
) -> None:
    ports = {"port": server.port, "closed": free_port()}
    url = server.url.replace(right.format(**ports), wrong.format(**ports))
    with pytest.raises(DatabaseAway, match=f"Fix: {said}") as error:
        connect(Settings(home=settings.home, database_url=url), 60)  # type: ignore[arg-type]
    assert not re.search("p%40ss|p@ss|secret", str(error.value))
