"""An export is uploaded, previewed and only then collected: over real HTTP, by whom it concerns, within limits."""

import json
import os
import resource
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.keys import ACTIONS, Keys
from tests.serving.twin_server import Server, install, serving
from tests.support.machine import PATIENCE
from twin_assets.core.persona.definition import SOURCES, load_persona
from twin_assets.core.uploads.staging import drop_replaced, staged_uploads, sweep_staged

NO_ENGINE = "http://127.0.0.1:1/v1"
PASSWORD = "open sesame"
OWNER = {"Authorization": f"Bearer {PASSWORD}", "X-Twin-UI": "1"}
TEXT = "The ferry was late, since the tide had turned before the crew came aboard, and nobody had told the harbour. "
HOST = "127.0.0.1"


@contextmanager
def installed(home: Path, **changes: Any) -> Iterator[Server]:
    settings = install(
        home, NO_ENGINE, **{"ui_password": PASSWORD, "dagster_url": "http://127.0.0.1:1"} | changes
    )
    with serving(settings) as server:
        server.client.headers.update(OWNER)
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with installed(tmp_path) as server:
        yield server


class Dagster(BaseHTTPRequestHandler):
    """What the page asks of Dagster, answered as Dagster does."""

    launched: list[Any] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "launchRun" in body["query"]:
            self.launched.append(body["variables"])
            data = {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}}}
        elif "runsOrError" in body["query"]:
            data = {"runsOrError": {"__typename": "Runs", "results": []}}
        elif "assetOrError" in body["query"]:
            data = {}
        else:
            data = {"addDynamicPartition": {"__typename": "AddDynamicPartitionSuccess"}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def dagster() -> Iterator[str]:
    double = ThreadingHTTPServer((HOST, 0), Dagster)
    threading.Thread(target=double.serve_forever, daemon=True).start()
    Dagster.launched.clear()
    yield f"http://{HOST}:{double.server_port}"
    double.shutdown()
    double.server_close()


def zipped(path: Path, files: dict[str, str]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path.read_bytes()


def blog(tmp_path: Path, *texts: str) -> bytes:
    return zipped(tmp_path / "b.zip", {f"blog/{n}.md": f"# Piece {n}\n\n{text * 6}" for n, text in enumerate(texts)})  # fmt: skip


def chat(*names: str) -> bytes:
    return "".join(f"02/03/2020, 10:{n} - {who}: {n} {TEXT}\n" for n, who in enumerate(names, 10)).encode()


def upload(
    server: Server, data: bytes, name: str = "export.zip", persona: str = "runa", **more: Any
) -> httpx.Response:
    return server.client.post(f"/ui/api/{persona}/uploads", params={"name": name}, content=data, **more)


def settled(server: Server, upload_id: str, persona: str = "runa", **more: Any) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = server.client.get(f"/ui/api/{persona}/uploads/{upload_id}", **more).json()
        if found.get("state") != "reading":
            return found
        time.sleep(0.1)
    pytest.fail("the preview did not end")


def left_of(server: Server) -> list[str]:
    staging = server.settings.home / "staging"
    return sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file())


def collect(server: Server, upload_id: str, **body: Any) -> httpx.Response:
    return server.client.post(f"/ui/api/runa/uploads/{upload_id}/collect", json=body)


def test_an_export_is_staged_previewed_and_collected(tmp_path: Path) -> None:
    with dagster() as url, installed(tmp_path, dagster_url=url) as server:
        staged = upload(server, blog(tmp_path, TEXT), "../../My <b>blog</b>.zip").json()
        found = settled(server, staged["id"])
        assert (found["state"], found["upload"]["name"]) == ("ready", "../../My <b>blog</b>.zip")
        report = found["report"]
        assert (report["source"], report["pieces"], report["categories"]) == ("web", 1, {"article": 1})
        assert TEXT.strip() in report["samples"][0]["text"]
        home = server.settings.home
        assert not (home / "lake/raw").exists()
        assert "web" not in load_persona(server.settings.personas_dir, "runa").sources()
        assert oct((home / "staging").stat().st_mode)[-3:] == "700"
        answer = collect(server, staged["id"]).json()
        assert (answer["run"], answer["down"], answer["source"]) == ("r1", None, "web")
        assert "runa" in json.dumps(Dagster.launched)
        web = load_persona(server.settings.personas_dir, "runa").web
        assert web
        [folder] = web.folders
        assert folder.parent == (home / "uploads/runa/web" / staged["id"]).resolve()
        assert [p.name for p in folder.iterdir()] == ["0.md"]
        assert oct((home / "uploads").stat().st_mode)[-3:] == "700"
        assert left_of(server) == []


def test_without_dagster_it_is_declared_and_the_answer_says_so(server: Server, tmp_path: Path) -> None:
    staged = upload(server, blog(tmp_path, TEXT)).json()
    settled(server, staged["id"])
    answer = collect(server, staged["id"]).json()
    assert (answer["run"], "twin up" in answer["down"]["fix"]) == (None, True)
    assert load_persona(server.settings.personas_dir, "runa").web


def test_a_source_that_needs_more_is_asked_for_it_before_anything_is_moved(
    server: Server, tmp_path: Path
) -> None:
    shares = f'Date,ShareLink,ShareCommentary\n2024-05-01 07:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7100000000000000001,"{TEXT}"\n'
    staged = upload(server, zipped(tmp_path / "l.zip", {"Shares.csv": shares})).json()
    assert settled(server, staged["id"])["report"]["needs"] == ["profile"]
    refused = collect(server, staged["id"])
    assert (refused.status_code, "linkedin.profile" in refused.text) == (400, True)
    assert collect(server, staged["id"], fields={"profile": "no address", "api": "http://evil.example"}).status_code == 400  # fmt: skip
    wanted = {
        "profile": "https://www.linkedin.com/in/runa",
        "api": "http://evil.example",
        "export": "/etc/passwd",
    }
    assert collect(server, staged["id"], fields=wanted).status_code == 200
    declared = load_persona(server.settings.personas_dir, "runa").linkedin
    assert declared
    assert (declared.profile, declared.api, declared.export and declared.export.name) == (
        wanted["profile"], None, "export.zip",
    )  # fmt: skip


def test_a_newer_upload_replaces_an_older_one_that_stays_until_a_crawl_has_ended_well(server: Server, tmp_path: Path) -> None:  # fmt: skip
    uploads = []
    for names in (("Runa", "Kim", "Runa"), ("Runa", "Kim", "Runa", "Kim", "Runa")):
        staged = upload(server, chat(*names), "WhatsApp Chat - Kim.txt").json()
        found = settled(server, staged["id"])
        uploads.append(staged["id"])
        older = uploads[0] if len(uploads) > 1 else None
        assert [one["id"] for one in found["kept"]] == ([older] if older else [])
        assert collect(server, staged["id"], **({"replaces": older} if older else {})).status_code == 200
    persona = load_persona(server.settings.personas_dir, "runa")
    assert persona.chats
    [path] = persona.chats.files
    assert (path.parent.name, path.name) == (uploads[1], "WhatsApp-Chat-Kim.txt")
    folder = server.settings.home / "uploads/runa/chats"
    assert sorted(p.name for p in folder.iterdir()) == sorted(uploads)
    assert drop_replaced(server.settings.home, "chats", [persona], before=0) == 0
    assert drop_replaced(server.settings.home, "chats", [persona, persona], time.time() + 1) == 1
    assert [p.name for p in folder.iterdir()] == [uploads[1]]


def test_the_page_is_told_the_titles_of_sources_what_is_read_and_what_may_stand_beside_an_upload(
    server: Server,
) -> None:
    titles = server.client.get("/ui/api/start").json()["sources"]
    assert tuple(titles) == SOURCES
    assert (titles["linkedin"], titles["x"], titles["wordpress"]) == ("LinkedIn", "X", "WordPress")
    kinds = server.client.get("/ui/api/runa/uploads").json()["kinds"]
    assert all(titles[source] in kinds for source in ("linkedin", "medium", "ghost", "bluesky"))
    shares = f'Date,ShareLink,ShareCommentary\n2024-05-01 07:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A7100000000000000001,"{TEXT}"\n'
    for data, name, several in ((shares.encode(), "Shares.csv", False), (chat("Runa", "Kim"), "c.txt", True)):
        found = settled(server, upload(server, data, name).json()["id"])
        assert (found["state"], found["several"]) == ("ready", several)


def test_a_second_chat_stands_beside_the_first(server: Server) -> None:
    for other in ("Kim", "Bo"):
        staged = upload(server, chat("Runa", other, "Runa"), f"Chat with {other}.txt").json()
        settled(server, staged["id"])
        assert collect(server, staged["id"]).status_code == 200
    chats = load_persona(server.settings.personas_dir, "runa").chats
    assert chats
    assert [path.stem for path in chats.files] == ["Chat-with-Kim", "Chat-with-Bo"]


def test_a_name_that_is_missing_is_told_and_after_it_was_added_the_same_file_is_previewed_again(server: Server) -> None:  # fmt: skip
    staged = upload(server, chat("Skipper", "Kim", "Skipper"), "c.txt").json()
    report = settled(server, staged["id"])["report"]
    assert report["pieces"] == 0
    assert "also_known_as" in report["warnings"][0]
    assert "Nothing of it would be kept" in collect(server, staged["id"]).text
    known = server.client.get("/ui/api/runa/sources").json()
    general = known["general"] | {"also_known_as": ["Skipper"]}
    server.client.put("/ui/api/runa/sources", json={"general": general, "sources": known["sources"]})
    server.client.post(f"/ui/api/runa/uploads/{staged['id']}/preview")
    assert settled(server, staged["id"])["report"]["pieces"] == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 broken", "cut off on its way"),
        (b'{"fruit": [1, 2]}', "of no kind that is read. Inside: JSON (fruit)"),
    ],
)
def test_a_broken_or_unknown_file_says_what_is_wrong_and_what_is_read(
    server: Server, data: bytes, said: str
) -> None:
    found = settled(server, upload(server, data, "x.zip").json()["id"])
    assert found["state"] == "failed"
    assert said in found["error"]["message"]
    assert "Substack" in found["error"]["fix"]


def test_a_path_that_leads_out_is_refused_and_nothing_is_unpacked(server: Server, tmp_path: Path) -> None:
    data = zipped(tmp_path / "e.zip", {"a.md": TEXT, "../../../../evil.md": TEXT})
    staged = upload(server, data).json()
    assert "leads out of the archive" in settled(server, staged["id"])["error"]["message"]
    assert not list(tmp_path.rglob("evil.md"))


def test_a_cancelled_upload_leaves_nothing(server: Server, tmp_path: Path) -> None:
    staged = upload(server, blog(tmp_path, *[TEXT] * 50)).json()
    assert server.client.delete(f"/ui/api/runa/uploads/{staged['id']}").status_code == 200
    assert server.client.get(f"/ui/api/runa/uploads/{staged['id']}").status_code == 404
    time.sleep(0.5)
    assert left_of(server) == []
    assert server.client.delete("/ui/api/runa/uploads/..").status_code in (404, 405)
    assert server.client.delete("/ui/api/runa/uploads/..%2F..%2Fpersonas").status_code == 404


def test_two_at_once_do_not_mix(server: Server, tmp_path: Path) -> None:
    files = [blog(tmp_path, f"{n} {TEXT}") for n in range(4)]
    answers: list[dict[str, Any]] = [{}] * 4

    def send(n: int) -> None:
        answers[n] = httpx.post(f"{server.url}/ui/api/runa/uploads?name={n}.zip", content=pieces(files[n]), headers=OWNER).json()  # fmt: skip

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, answer in enumerate(answers):
        assert settled(server, answer["id"])["report"]["samples"][0]["text"].startswith(f"{n} ")


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 50):
        time.sleep(0.002)
        yield data[start : start + 50]


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection((HOST, port)) as connection:
        head = f"POST /ui/api/runa/uploads?name=a.zip HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5000000\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in OWNER.items())
        connection.sendall(head.encode() + b"\r\n" + b"x" * 2_000_000)
        until = time.monotonic() + PATIENCE
        while not left_of(server) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(left_of(server)) == 1
    while left_of(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert left_of(server) == []
    assert staged_uploads(server.settings.home, "runa") == []


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_the_limit_is_refused_and_leaves_nothing(tmp_path: Path, announced: bool) -> None:
    with installed(tmp_path, upload_max_mb=1) as server:
        big = os.urandom(1_500_000)
        answer = upload(server, big if announced else iter([big[:700_000], big[700_000:]]))  # type: ignore[arg-type]
        assert answer.status_code == 413
        assert "1,000,000 bytes" in answer.text
        assert left_of(server) == []
        assert upload(server, b"a" * 999_999).status_code == 200
        assert (
            server.client.post("/ui/api/runa/uploads/x/collect", content=b"a" * 1_200_000).status_code == 413
        )


def test_a_disk_that_takes_no_more_is_an_error_and_leaves_nothing(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        answer = upload(server, os.urandom(5_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status_code, answer.json()["error"]["type"]) == (507, "NoRoom")
    assert "TWIN_HOME" in answer.json()["error"]["fix"]
    assert left_of(server) == []


def test_an_empty_file_is_refused(server: Server) -> None:
    assert upload(server, b"").status_code == 400
    assert left_of(server) == []


def test_what_nobody_collected_is_gone_after_a_day(server: Server, tmp_path: Path) -> None:
    staged = upload(server, blog(tmp_path, TEXT)).json()
    settled(server, staged["id"])
    folder = server.settings.home / "staging/runa" / staged["id"]
    assert sweep_staged(server.settings.home) == 0
    os.utime(folder, (0, 0))
    upload(server, chat("Runa"), "c.txt")
    assert not folder.exists()


def bearer(server: Server, name: str, **more: Any) -> dict[str, str]:
    token, _ = Keys(server.answers.lake).create(name, **more)
    return {"Authorization": f"Bearer {token}", "X-Twin-UI": "1"}


def test_another_personas_key_a_key_without_admin_and_another_site_are_refused(server: Server, tmp_path: Path) -> None:  # fmt: skip
    data = blog(tmp_path, TEXT)
    staged = upload(server, data).json()
    settled(server, staged["id"])
    others = bearer(server, "ola's", personas=["ola"], actions=list(ACTIONS), audience="private")
    reader = bearer(server, "reader", personas=["runa"], actions=["read", "chat"], audience="private")
    foreign = OWNER | {"Sec-Fetch-Site": "cross-site"}
    bare = {"Authorization": OWNER["Authorization"]}
    path = f"/ui/api/runa/uploads/{staged['id']}"
    time.sleep(2.1)  # keys are read again after two seconds
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for headers in (others, reader):
            asked = [
                client.get("/ui/api/runa/uploads", headers=headers), client.get(path, headers=headers),
                client.post("/ui/api/runa/uploads", content=data, headers=headers), client.delete(path, headers=headers),
                client.post(f"{path}/collect", json={}, headers=headers), client.post(f"{path}/preview", headers=headers),
            ]  # fmt: skip
            assert [a.status_code for a in asked] == [403] * 6
            assert TEXT[:20] not in "".join(a.text for a in asked)
        for headers in (foreign, bare):
            asked = [client.post("/ui/api/runa/uploads", content=data, headers=headers), client.delete(path, headers=headers)]  # fmt: skip
            assert [a.status_code for a in asked] == [403, 403]
        assert client.get(f"/ui/api/ola/uploads/{staged['id']}", headers=others).status_code == 404
        assert client.get(path).status_code == 401


def test_texts_that_are_not_public_are_shown_to_the_owner_only(server: Server) -> None:
    staged = upload(server, chat("Runa", "Kim", "Runa"), "c.txt").json()
    shown = settled(server, staged["id"])
    assert (shown["hidden"], TEXT[:20] in json.dumps(shown)) == (0, True)
    public = bearer(server, "public", personas=["runa"], actions=list(ACTIONS))
    time.sleep(2.1)
    found = httpx.get(f"{server.url}/ui/api/runa/uploads/{staged['id']}", headers=public).json()
    assert (found["hidden"], found["report"]["pieces"]) == (1, 1)
    assert TEXT[:20] not in json.dumps(found)
