"""Dagster's webserver behind its front, as it runs: what other sites try with a person's browser, and what the person can
do there. The red button, its ledger, the queue and the daemon are the real ones; only the other assets are left out."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from serving.access.session import COOKIE, sign_session
from serving.page import dagster as ui_dagster
from tests.support.machine import PATIENCE, free_port, until
from tests.support.releases import Office
from twin_assets.core.persona.definition import save_persona
from twin_assets.core.release.history import Event
from twin_assets.core.storage.dagster_home import ensure_dagster_home
from twin_assets.settings import ROOT, Settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PASSWORD = "open sesame"
EVIL = "http://evil.example"
LOCATION = """
import dagster as dg
from twin_assets.defs.shared.resources import build_resources
from twin_assets.defs.release.jobs import approve_release, roll_back_release

defs = dg.Definitions(jobs=[approve_release, roll_back_release], resources=build_resources({}))
"""
LAUNCH = """mutation Launch($executionParams: ExecutionParams!) { launchRun(executionParams: $executionParams) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
LOGS = """subscription Logs($runId: ID!) { pipelineRunLogs(runId: $runId) { __typename
  ... on PipelineRunLogsSubscriptionSuccess { messages { __typename } hasMorePastEvents } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"


@dataclass
class Webserver:
    """A running one, on the home of an office whose candidate waits."""

    office: Office
    waits: Event
    environment: dict[str, str]
    location: Path
    port: int
    session: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """Of a browser that is logged in."""
        return {"Cookie": f"{COOKIE}={self.session}"} if self.session else {}

    def decision(self, **metadata: Any) -> dict[str, Any]:
        """The variables with which Dagster's launchpad approves."""
        config = {"persona": "runa", "evaluation": self.waits.number, "reviewer": "Ines", "reason": "good"}
        return {"executionParams": {
            "selector": {"repositoryLocationName": "location.py", "repositoryName": "__repository__", "jobName": "approve_release"},
            "mode": "default", "runConfigData": {"ops": {"decide_approval": {"config": config}}}, "executionMetadata": metadata,
        }}  # fmt: skip

    def ask(self, query: str, variables: Any = None, **headers: str) -> httpx.Response:
        """As Dagster's own page asks: JSON, the page's origin, the session."""
        page = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        body = {"query": query, "variables": variables or {}}
        return httpx.post(f"{self.url}/graphql", json=body, headers=self.headers | page | headers, timeout=60)

    def runs(self) -> list[dict[str, Any]]:
        return list(self.ask(RUNS).raise_for_status().json()["data"]["runsOrError"]["results"])

    def socket(
        self, origin: str | None, host: str = "", headers: dict[str, str] | None = None
    ) -> ClientConnection:
        return connect(
            f"ws://{host or '127.0.0.1'}:{self.port}/graphql", sock=socket.create_connection(("127.0.0.1", self.port)),
            origin=origin, subprotocols=[Subprotocol("graphql-ws")],  # type: ignore[arg-type]
            additional_headers=self.headers if headers is None else headers, proxy=None,
        )  # fmt: skip


def start(home: Path, name: str, environment: dict[str, str], *command: str) -> "subprocess.Popen[bytes]":
    with (home / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


@contextmanager
def webserver(home: Path, **changes: str) -> Iterator[Webserver]:
    office = Office(home)
    (home / "personas").mkdir()
    save_persona(home / "personas", {
        "name": "runa", "full_name": "Runa Hollis", "license": "CC-BY-4.0", "about": "Runa runs ferries.",
        "web": {"pages": ["https://runa.example/ferries"]},
    })  # fmt: skip
    ensure_dagster_home(office.settings)
    location = home / "location.py"
    location.write_text(LOCATION)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TWIN_")} | {
        "TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas"), "PYTHONPATH": str(ROOT),
        "DAGSTER_HOME": str(office.settings.dagster_home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    } | changes  # fmt: skip
    password = changes.get("TWIN_UI_PASSWORD")
    server = Webserver(
        office, office.candidate(), environment, location, free_port(), sign_session(home, password) if password else ""
    )  # fmt: skip
    process = start(
        home, "webserver", environment, sys.executable, "-m", "serving.dagster_web", "-h", "127.0.0.1",
        "-p", str(server.port), "-f", str(location),
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or answers(f"{server.url}/server_info"), "the webserver")
        assert process.poll() is None, (home / "webserver.log").read_text()[-3000:]
        yield server
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    with webserver(tmp_path_factory.mktemp("home"), TWIN_UI_PASSWORD=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    with webserver(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(params=["closed", "keyless"])
def server(request: pytest.FixtureRequest) -> Webserver:
    found: Webserver = request.getfixturevalue(request.param)
    return found


def attacks(server: Webserver) -> dict[str, httpx.Request]:
    """What a site can make a browser send that is logged in here: the session goes along wherever it would."""
    body = {"query": LAUNCH, "variables": server.decision()}
    query = {"query": LAUNCH, "variables": json.dumps(server.decision())}
    foreign = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}

    def request(method: str = "POST", path: str = "/graphql", **given: Any) -> httpx.Request:
        given["headers"] = server.headers | given.get("headers", {})
        return httpx.Request(method, server.url + path, **given)

    def typed(kind: str) -> dict[str, Any]:
        return {"content": json.dumps(body), "headers": {"Content-Type": kind}}

    return {
        "an image": request("GET", params=query),
        "an image, said by the browser": request("GET", params=query, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}),
        "an image with a line break in its path": request("GET", "/graphql%0A", params=query),
        "a link": request("GET", params=query, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
        "a link, opened as a page": request("GET", params=query, headers={"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
        "a preload": request("HEAD", params=query),
        "a form": request(params=query, headers={"Content-Type": "application/x-www-form-urlencoded"}),
        "a form without a type": request(params=query),
        "a form of text": request(**typed("text/plain")),
        "a type that only names JSON": request(**typed("text/plain; charset=application/json")),
        "bare GraphQL": request(params=query, content=LAUNCH, headers={"Content-Type": "application/graphql"}),
        "JSON of another site": request(json=body, headers=foreign),
        "JSON of a site that hides its name": request(json=body, headers={"Origin": "null"}),
        "JSON of another port": request(json=body, headers={"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}),
        "JSON, with only Sec-Fetch-Site": request(json=body, headers={"Sec-Fetch-Site": "cross-site"}),
        "a name made to lead here": request(json=body, headers={"Host": f"evil.example:{server.port}", "Origin": f"{EVIL}:{server.port}", "Sec-Fetch-Site": "same-origin"}),
        "an image by a name made to lead here": request("GET", params=query, headers={"Host": "evil.example"}),
        "an event of an asset": request(path="/report_asset_materialization/release", params={"data_version": "x"}),
        "an origin that is no address": request(json=body, headers={"Origin": "http://["}),
    }  # fmt: skip


def test_no_other_site_launches_anything(server: Webserver) -> None:
    before = [run["runId"] for run in server.runs()]
    with httpx.Client(timeout=60) as browser:
        for name, request in attacks(server).items():
            answer = browser.send(request)
            shows_a_page = name == "a link, opened as a page" and "GraphiQL" in answer.text
            refused = answer.status_code in (403, 405, 415)
            assert refused or shows_a_page, (name, answer.status_code, answer.text[:200])
    assert [run["runId"] for run in server.runs()] == before
    assert server.office.ledger.state(server.waits.model) == "evaluated"


def test_who_is_not_logged_in_gets_a_login_and_nothing_else(closed: Webserver) -> None:
    for path in ("/", "/graphql", "/runs/x", "/logs/a/b", "/download_debug/x", "/server_info%0A"):
        opened = httpx.get(closed.url + path, headers={"Accept": "text/html"})
        assert (opened.status_code, "Password of the web page" in opened.text) == (401, True), path
        assert httpx.get(closed.url + path).status_code == 401, path
    body = {"query": LAUNCH, "variables": closed.decision()}
    for cookie in ({}, {"Cookie": f"{COOKIE}=9999999999.{'0' * 64}"}):
        assert httpx.post(f"{closed.url}/graphql", json=body, headers=cookie).status_code == 401
    assert httpx.get(f"{closed.url}/server_info").status_code == 200  # probes have no session
    forwarded = closed.ask("{ version }", **{"X-Forwarded-For": "203.0.113.9"})
    assert forwarded.status_code == 200, "who is logged in may come through a proxy"


def test_the_login_gives_the_session_of_the_page_and_leads_on(closed: Webserver) -> None:
    def log_in(password: str, wanted: str, **headers: str) -> httpx.Response:
        form = {"password": password, "next": wanted}
        return httpx.post(f"{closed.url}/twin_login", data=form, headers=headers)

    assert log_in(PASSWORD, "/", Origin=EVIL).status_code == 403
    wrong = log_in("guess", '/runs?a="><script>alert(1)</script>')
    assert (wrong.status_code, "<script" in wrong.text) == (401, False)
    assert log_in("x" * 10_000, "/").status_code == 401
    for wanted, led in (("/runs/1?tab=2", "/runs/1?tab=2"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("http://evil.example", "/"), ("/a\r\nSet-Cookie: a=b", "/")):  # fmt: skip
        good = log_in(PASSWORD, wanted)
        assert (good.status_code, good.headers["location"]) == (303, led)
    assert {"httponly", "samesite=strict"} <= {
        p.strip().lower() for p in good.headers["set-cookie"].split(";")
    }
    mine = {"Cookie": good.headers["set-cookie"].split(";")[0]}
    assert httpx.get(f"{closed.url}/runs", headers=mine).status_code == 200
    assert [log_in(f"guess {n}", "/").status_code for n in range(4)] == [401, 401, 401, 429]
    assert log_in(PASSWORD, "/").status_code == 429


def test_without_a_password_only_this_machine_is_answered(keyless: Webserver) -> None:
    assert keyless.ask("{ version }").json()["data"]["version"]
    for proxy in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 a"},
        {"X-Real-IP": "::1"},
    ):
        refused = keyless.ask("{ version }", **proxy)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "NotOpen"), proxy
    with socket.create_connection(("127.0.0.1", keyless.port)) as nginx:
        nginx.sendall(f"GET /runs HTTP/1.0\r\nHost: 127.0.0.1:{keyless.port}\r\n\r\n".encode())
        assert nginx.makefile("rb").readline().split()[1] == b"403"


def test_the_twin_s_page_asks_with_a_session_of_its_own_and_says_when_that_is_not_known(
    closed: Webserver,
) -> None:
    settings = Settings(home=closed.office.home, dagster_url=closed.url, ui_password=PASSWORD)  # type: ignore[arg-type]
    assert ui_dagster.collect_runs(settings, "runa") == []
    for other in ({"ui_password": None}, {"ui_password": SecretStr("another")}):
        with pytest.raises(ui_dagster.DagsterDown, match="turns the page away: Dagster needs the login"):
            ui_dagster.collect_runs(settings.model_copy(update=other), "runa")


def test_a_page_of_ours_can_not_be_framed(keyless: Webserver) -> None:
    assert httpx.get(f"{keyless.url}/runs").headers["x-frame-options"] == "SAMEORIGIN"
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert httpx.get(f"{keyless.url}/runs", headers=framed).status_code == 403
    linked = framed | {"Sec-Fetch-Dest": "document"}
    assert httpx.get(f"{keyless.url}/runs", headers=linked).status_code == 200


def test_no_other_site_gets_a_websocket(server: Webserver) -> None:
    for origin, host in (
        (EVIL, ""),
        ("null", ""),
        ("http://127.0.0.1:1", ""),
        (f"{EVIL}:{server.port}", "evil.example"),
    ):
        with pytest.raises(InvalidStatus, match="403"):
            server.socket(origin, host)


def test_a_websocket_needs_the_session_and_runs_no_mutation(closed: Webserver) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        closed.socket(closed.url, headers={})
    before = len(closed.runs())
    with closed.socket(closed.url) as wire:
        wire.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(wire.recv(60)) == {"type": "connection_ack"}
        mutation = {"query": LAUNCH, "variables": closed.decision()}
        wire.send(json.dumps({"id": "1", "type": "start", "payload": mutation}))
        assert json.loads(wire.recv(60))["type"] == "error"
    assert len(closed.runs()) == before


def test_a_decision_on_dagster_s_page_says_who_was_logged_in(tmp_path: Path) -> None:
    with webserver(tmp_path, TWIN_UI_PASSWORD=PASSWORD) as server:
        daemon = start(
            tmp_path, "daemon", server.environment, str(Path(sys.executable).with_name("dagster-daemon")), "run",
            "-f", str(server.location),
        )  # fmt: skip
        try:
            tags = [{"key": "twin/caller", "value": "system user root"}]  # believed of nobody who sends it
            launched = server.ask(LAUNCH, server.decision(tags=tags)).json()["data"]["launchRun"]
            assert launched["__typename"] == "LaunchRunSuccess", launched
            with server.socket(server.url) as wire:
                wire.send(json.dumps({"type": "connection_init", "payload": {}}))
                run = {"query": LOGS, "variables": {"runId": launched["run"]["runId"]}}
                wire.send(json.dumps({"id": "1", "type": "start", "payload": run}))
                seen: set[str] = set()
                while "RunSuccessEvent" not in seen:
                    told = json.loads(wire.recv(300))
                    found = told.get("payload", {}).get("data", {}).get("pipelineRunLogs", {})
                    seen |= {message["__typename"] for message in found.get("messages", [])}
                    assert "RunFailureEvent" not in seen
        finally:
            daemon.terminate()
            daemon.wait(60)
        event = server.office.ledger.events()[-1]
        assert (event.kind, event.actor, event.claimed) == ("approved", "page login", "Ines")


EVIL_PAGE = """<!doctype html><title>wait</title><img id="image" src="{url}/graphql?{query}">
<iframe name="frame"></iframe><iframe src="{url}/runs"></iframe>
<form method="post" enctype="text/plain" target="frame" action="{url}/graphql"><input name='{body}' value=""></form>
<script>
const body = {body}, tries = ["text/plain", "application/json"].map(kind => fetch("{url}/graphql", {{
  method: "POST", mode: kind === "text/plain" ? "no-cors" : "cors", credentials: "include", body: JSON.stringify(body),
  headers: {{"Content-Type": kind}}}}));
tries.push(fetch("{url}/graphql?{query}", {{mode: "no-cors", credentials: "include"}}));
tries.push(new Promise(done => {{
  const wire = new WebSocket("{url}/graphql".replace("http", "ws"), "graphql-ws");
  wire.onopen = () => {{ document.body.dataset.wire = "open"; done(); }};
  wire.onerror = done;
}}));
tries.push(new Promise(done => {{ document.querySelector("[name=frame]").onload = done; document.forms[0].submit(); }}));
tries.push(new Promise(done => {{ const image = document.getElementById("image"); image.complete ? done() : image.onload = image.onerror = done; }}));
Promise.allSettled(tries).then(() => document.title = "tried");
</script>"""


@contextmanager
def evil_site(server: Webserver) -> Iterator[int]:
    """A site that tries everything when it is looked at; its port."""
    body = {"query": LAUNCH, "variables": server.decision()}
    query = urlencode({"query": LAUNCH, "variables": json.dumps(server.decision())})
    page = EVIL_PAGE.format(url=server.url, query=query, body=json.dumps(body)).encode()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_address[1]
        site.shutdown()


@pytest.mark.browser
def test_in_a_browser_the_person_launches_and_other_pages_do_not(closed: Webserver) -> None:
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("BROWSER TEST DID NOT RUN: there is no chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    with evil_site(closed) as evil, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=arguments)
        page = browser.new_context().new_page()
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        heard: list[str] = []
        page.on("websocket", lambda wire: wire.on("framereceived", lambda frame: heard.append(str(frame))))
        page.goto(f"{closed.url}/locations/location.py/jobs/approve_release/playground")
        page.get_by_label("Password of the web page").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        config = {"persona": "runa", "evaluation": closed.waits.number, "reviewer": "Ines", "reason": "good"}
        page.locator(".CodeMirror").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(json.dumps({"ops": {"decide_approval": {"config": config}}}))
        before = {run["runId"] for run in closed.runs()}
        page.get_by_role("button", name="Launch Run").click()
        page.wait_for_url("**/runs/*")
        [launched] = [run for run in closed.runs() if run["runId"] not in before]
        assert launched["status"] == "QUEUED"
        assert {"key": "twin/caller", "value": "page login"} in launched["tags"]
        until(lambda: page.wait_for_timeout(100) or heard, "the run's log on its websocket")

        before = {run["runId"] for run in closed.runs()}
        for address in (f"http://127.0.0.1:{evil}", f"{EVIL}:{evil}"):
            other = page.context.new_page()
            other.goto(address)
            expect(other).to_have_title("tried")
            assert other.evaluate("document.body.dataset.wire") is None
            rebound = other.goto(f"{EVIL}:{closed.port}/runs")
            assert rebound is not None
            assert rebound.status == 403
        assert {run["runId"] for run in closed.runs()} == before
        browser.close()
