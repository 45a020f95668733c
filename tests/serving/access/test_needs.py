"""What each route declares is what its callers meet, on a real server; a route that declares nothing is found here."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from serving.access.keys import ACTIONS, Keys
from serving.access.needs import ANYONE, UNDECLARED, Declared, Needs, NeedsOf, declared, needs
from serving.app import create_app
from serving.llm.service import app as llm_service
from tests.serving.twin_server import Server, twin
from twin_assets.settings import Settings


def application() -> FastAPI:
    return create_app(Settings())


def test_every_route_of_both_services_declares_who_may_call_it() -> None:
    for app, least in ((application(), 40), (llm_service, 6)):
        routes = list(declared(app))
        assert len(routes) >= least
        assert [route.path for route in routes if route.needs is None] == []


def test_a_route_that_declares_nothing_is_found_and_is_for_admins() -> None:
    app = application()

    @app.get("/v1/forgotten/{name}")
    def forgotten(name: str) -> str:
        return name

    assert [route.path for route in declared(app) if route.needs is None] == ["/v1/forgotten/{name}"]
    assert NeedsOf(app)("GET", "/v1/forgotten/a") == UNDECLARED == Needs("admin")


def test_the_route_that_answers_is_the_one_that_is_asked() -> None:
    """Of several that fit, in the order in which FastAPI tries them."""
    app = FastAPI(openapi_url=None)

    @app.get("/{name}")
    @needs("read")
    def first(name: str) -> str:
        return name

    @app.get("/open")
    @needs(ANYONE, queued=True)
    def never_reached() -> str:
        return ""

    @app.post("/open")
    @needs("write", queued=True)
    def change() -> str:
        return ""

    asked = NeedsOf(app)
    assert asked("GET", "/open").action == "read"
    assert asked("POST", "/open") == Needs("write", queued=True)
    assert asked("DELETE", "/open") == Needs("read")  # no route of it: 405, and never a turn in the queue
    assert asked("GET", "/a/b") == UNDECLARED


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server, and for each action a key that is good for it alone."""
    with twin(tmp_path_factory.mktemp("home"), rate_per_minute=0, rate_per_minute_address=0) as (server, _):
        keys = Keys(server.answers.lake)
        yield server, {a: f"Bearer {keys.create(a, ['*'], [a])[0]}" for a in ACTIONS}


def filled(path: str) -> str:
    """A path with words in place of its names: persons and documents that there are not, a file that there is."""
    return re.sub(r"{\w+}", "none", path.replace("{path:path}", "app.js"))


def calls() -> list[tuple[str, Declared]]:
    return [(m, route) for route in declared(application()) for m in sorted(route.methods or ["GET"])]


@pytest.mark.parametrize(("method", "route"), calls(), ids=lambda v: v if isinstance(v, str) else v.path)
def test_what_it_declares_is_what_callers_meet(
    keyed: tuple[Server, dict[str, str]], method: str, route: Declared
) -> None:
    server, bearer = keyed
    assert route.needs is not None
    path, action = filled(route.path), route.needs.action
    headers = {"X-Twin-UI": "1"}
    open_to_all = server.client.request(method, path, headers=headers).status_code != 401
    assert open_to_all == (action == ANYONE)
    for name, token in bearer.items():
        answer = server.client.request(method, path, headers=headers | {"Authorization": token}, json={})
        refused = f"This key is not good for {action!r}." in answer.text or (
            method == "HEAD" and answer.status_code == 403
        )
        assert refused == (action not in (ANYONE, name)), (name, answer.text)


def test_a_path_that_no_route_has_is_for_admins(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    for path in ("/v1/none", "/v1/models/", "/ui/static", "/metrics", "/ui/api/none"):
        assert server.client.get(path).status_code == 401
        refused = server.client.get(path, headers={"Authorization": bearer["chat"]})
        assert refused.json()["error"]["message"].startswith("This key is not good for 'admin'."), path
        assert server.client.get(path, headers={"Authorization": bearer["admin"]}).status_code in (307, 404)


def test_a_method_that_a_path_does_not_have_is_no_way_around(keyed: tuple[Server, dict[str, str]]) -> None:
    server, bearer = keyed
    for method in ("GET", "PUT", "DELETE"):
        path = "/v1/chat/completions"
        assert server.client.request(method, path).status_code == 401
        assert (
            server.client.request(method, path, headers={"Authorization": bearer["read"]}).status_code == 403
        )
        assert (
            server.client.request(method, path, headers={"Authorization": bearer["chat"]}).status_code == 405
        )


def test_the_limit_of_a_body_is_that_of_its_route() -> None:
    asked, settings = NeedsOf(application()), Settings()
    assert asked("POST", "/ui/login").limit(settings) == 10_000
    assert asked("POST", "/ui/api/runa/uploads").limit(settings) == settings.upload_max_mb * 1_000_000
    assert asked("PUT", "/ui/api/runa/uploads").limit(settings) == settings.max_request_bytes
    assert asked("POST", "/v1/write").limit(settings) == settings.max_request_bytes
