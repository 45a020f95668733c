"""Papers and notes that are given to the library as files, over HTTP: what is read, what is told of each, and by whom."""

import json
from collections.abc import Iterator

import httpx
import pytest

from serving.access.keys import Keys
from tests.serving.page.test_uploads import installed
from tests.serving.site_double import pdf
from tests.serving.twin_server import Server
from tests.support.machine import until
from twin_assets.core.persona.definition import load_persona, save_persona
from twin_assets.inference.links.fetch import MAX_BYTES

NOTES = (
    "# Gauges of the north\n\n"
    + "The gauge at Kvitnes was moved by eleven metres in 1931, and nobody wrote it down. " * 4
)
PAGE = "<html><head><title>On floats</title></head><body><article><h1>On floats</h1>" + (
    "<p>A float of cork lifts by nine millimetres when the water is salt, as the harbour's own book has it.</p>" * 6
) + "</article></body></html>"  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with installed(tmp_path_factory.mktemp("home")) as server:
        yield server


def give(server: Server, name: str, data: bytes | str, **asked: str) -> httpx.Response:
    body = data.encode() if isinstance(data, str) else data
    return server.client.post("/ui/api/runa/library", params={"name": name} | asked, content=body)


def held(server: Server) -> dict[str, dict]:
    found = server.client.get("/v1/library", params={"persona": "runa"}).json()
    return {one["url"]: one for one in found}


def test_a_paper_a_page_and_notes_are_kept_and_cited_by_their_names(server: Server) -> None:
    paper = pdf(
        "A study of floats", ["The salt water lifts the float by nine millimetres in every harbour. " * 6]
    )
    for name, data, title, url in (
        ("Floats & tides.pdf", paper, "Floats & tides", "file:Floats%20%26%20tides.pdf"),
        ("page.html", PAGE, "On floats", "file:page.html"),
        ("notes/gauges.md", NOTES, "Gauges of the north", "file:gauges.md"),
        (
            "obsidian.md",
            f"---\ntitle: On gauges\ntags: [tide]\n---\n{NOTES}",
            "On gauges",
            "file:obsidian.md",
        ),
        ("README", NOTES.split("\n\n")[1], "README", "file:README"),
    ):
        answer = give(server, name, data)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["title"], told["replaced"], told["visibility"]) == (title, False, "public")
        assert told["words"] == held(server)[url]["words"] > 20
        assert held(server)[url]["doc_id"] == told["doc_id"]
    lake = server.answers.lake
    bodies = [json.loads(lake.read(key)) for key in lake.keys("raw/library/runa")]
    assert {one["source"] for one in bodies} == {"library"}, "never the persona's own writing"
    assert any("moved by eleven metres in 1931" in one["body"] for one in bodies)
    assert not any("tags:" in one["body"] for one in bodies)


def test_a_file_of_the_same_name_is_a_newer_version(server: Server) -> None:
    first = give(server, "log.md", NOTES).json()
    again = give(server, "C:\\papers\\log.md", NOTES + "And in 1932 it was moved back.").json()
    assert (again["doc_id"], again["replaced"], again["words"] > first["words"]) == (
        first["doc_id"],
        True,
        True,
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_notes_of_other_programs_are_read_in_their_encoding(server: Server, encoding: str) -> None:
    text = "Der Pegel in Lübeck wurde „gestern“ um elf Meter verschoben, und niemand schrieb es auf. " * 3
    assert give(server, f"{encoding}.txt", text.encode(encoding)).status_code == 200
    [key] = [
        k
        for k in server.answers.lake.keys("raw/library/runa")
        if encoding in server.answers.lake.read(k).decode()
    ]
    assert json.loads(server.answers.lake.read(key))["body"].startswith("Der Pegel in Lübeck wurde „gestern“")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.md", b"", "empty.md is empty"),
        ("short.txt", b"Too short.", "short.txt holds hardly any text"),
        ("talk.pptx", b"PK\x03\x04 slides", "talk.pptx is of a form"),
        ("photo", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "photo is of a form"),
        ("broken.pdf", b"%PDF-1.7 and no more", "broken.pdf can't be read: broken PDF"),
        ("binary.txt", b"words \0 words " * 50, "binary.txt is of a form"),
    ],
)
def test_what_can_not_be_read_is_an_error_that_names_the_file(
    server: Server, name: str, data: bytes, says: str
) -> None:
    before = held(server)
    answer = give(server, name, data)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"].startswith(says), error
    assert error["fix"]
    assert held(server) == before


def test_a_file_that_is_too_large_is_refused_without_being_taken_in(server: Server) -> None:
    try:
        answer = give(server, "huge.txt", b"a " * (MAX_BYTES // 2 + 1))
    except httpx.WriteError:  # the connection is closed while the rest comes
        return
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "TooLarge")


def test_only_an_admin_of_the_persona_adds_a_file_and_it_is_no_more_open_than_was_said(
    server: Server,
) -> None:
    keys = Keys(server.answers.lake)
    for personas, scopes in ((["ola"], ["admin"]), (["runa"], ["chat", "library"])):
        token, _ = keys.create("-".join([*personas, *scopes]), personas, scopes)
        headers = {"Authorization": f"Bearer {token}", "X-Twin-UI": "1"}

        def asked(headers: dict[str, str] = headers) -> int:
            url = f"{server.url}/ui/api/runa/library?name=a.md"
            return httpx.post(url, content=NOTES, headers=headers).status_code

        assert until(lambda asked=asked: (code := asked()) != 401 and code) == 403, "once the key is known"
    private = give(server, "mine.md", NOTES, visibility="private")
    assert private.json()["visibility"] == "private"
    assert give(server, "other.md", NOTES, visibility="everybody").status_code == 422
    people = server.settings.personas_dir
    declared = load_persona(people, "runa").model_dump(mode="json", exclude_unset=True)
    save_persona(people, declared | {"visibility": "connections"})
    assert give(server, "closed.md", NOTES).json()["visibility"] == "connections"
    save_persona(people, declared)
