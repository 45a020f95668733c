"""Links: read, cleaned, used and kept; and every way in which a link may not lead where it must not."""

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.serving.engine_double import EngineDouble
from tests.serving.site_double import SiteDouble, pdf
from tests.serving.twin_server import Server, install, serving, twin
from tests.support.machine import PATIENCE, growth
from twin_assets.core.text.addresses import address_refusal, url_refusal
from twin_assets.core.text.apart import read_apart
from twin_assets.core.text.html.page import read_page_apart
from twin_assets.core.text.pdf import read_pdf_apart
from twin_assets.inference.links.fetch import Fetched, LinkRefused, LinkUnreachable, fetch_link
from twin_assets.inference.links.read import KEPT_SECONDS, RecentLinks, cleaned


@pytest.fixture(scope="module")
def site() -> Iterator[SiteDouble]:
    with SiteDouble() as site:
        yield site


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, EngineDouble]]:
    with twin(tmp_path_factory.mktemp("home"), link_private_hosts=True) as both:
        yield both


def read(running: tuple[Server, EngineDouble], url: str, **body: object) -> dict:
    answer = running[0].client.post("/v1/links", json={"persona": "runa", "url": url} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_article_is_read_without_what_stands_around_it(
    running: tuple[Server, EngineDouble], site: SiteDouble
) -> None:
    found = read(running, f"{site.address}/article")
    assert (found["title"], found["author"], found["in_library"]) == (
        "Gauges of the north",
        "Ada Pier",
        False,
    )
    assert "moved by eleven metres in 1931" in found["beginning"]
    assert "Subscribe" not in found["beginning"]
    assert "track()" not in found["beginning"]


@pytest.mark.parametrize("path", ["/paper.pdf", "/notes.md", "/redirect"])
def test_papers_markdown_and_redirects_are_read(
    running: tuple[Server, EngineDouble], site: SiteDouble, path: str
) -> None:
    found = read(running, site.address + path)
    assert found["words"] > 20
    if path == "/paper.pdf":
        assert found["mime"] == "application/pdf"
        assert "lifts the float by nine millimetres" in found["beginning"]


def test_a_linked_source_stands_apart_from_the_persona_s_own_notes(
    running: tuple[Server, EngineDouble], site: SiteDouble
) -> None:
    server, engine = running
    answer = server.write(topic="the moved gauge at Kvitnes", links=[f"{site.address}/article"]).json()
    own, rest = engine.prompt.split("Sources that you were given.", 1)
    assert "Kvitnes" not in own
    assert "moved by eleven metres" in rest
    linked = [c for c in answer["citations"] if c["linked"]]
    assert linked[0]["url"] == f"{site.address}/article"
    assert f"[{linked[0]['number']}] " in rest
    assert answer["citations"][0]["linked"] is False


def test_a_question_only_the_link_answers_is_answered_from_it(
    running: tuple[Server, EngineDouble], site: SiteDouble
) -> None:
    server, engine = running
    question = "In which year was the gauge at Kvitnes moved?"
    without = server.ask(question).json()
    assert without["outcome"] == "refused"
    answer = server.ask(question, links=[f"{site.address}/article"]).json()
    assert answer["outcome"] == "answered"
    assert "1931" in engine.prompt
    assert [c["linked"] for c in answer["citations"]] == [True]


def test_a_kept_link_lies_raw_in_the_lake_as_a_source_of_its_own(
    running: tuple[Server, EngineDouble], site: SiteDouble
) -> None:
    lake = running[0].answers.lake
    assert read(running, f"{site.address}/article", add_to_library=True)["in_library"]
    (key,) = lake.keys("raw/library/runa")
    item = json.loads(lake.read(key))
    assert (item["source"], item["item_id"], item["author"]) == (
        "library",
        f"{site.address}/article",
        "Ada Pier",
    )
    assert "moved by eleven metres" in item["body"]
    read(running, f"{site.address}/article", add_to_library=True)
    assert len(list(lake.keys("raw/library/runa"))) == 2


def test_a_conversation_about_a_page_fetches_it_once_and_a_while_later_anew(
    running: tuple[Server, EngineDouble], site: SiteDouble
) -> None:
    url = f"{site.address}/article?of=conversation"
    for topic in ("the moved gauge", "the tables before that year"):
        assert running[0].write(topic=topic, links=[url]).json()["citations"][-1]["linked"]
    assert site.asked.count("/article?of=conversation") == 1
    later = f"{site.address}/article?of=later"
    links = RecentLinks(allow_private=True)
    for seconds in (0.0, KEPT_SECONDS - 1.0, KEPT_SECONDS, KEPT_SECONDS + 1.0):
        assert "Kvitnes" in links.read(later, now=seconds).text
    assert site.asked.count("/article?of=later") == 2


def test_what_was_read_where_private_addresses_are_open_is_refused_where_they_are_not(
    site: SiteDouble,
) -> None:
    url = f"{site.address}/article?of=private"
    assert RecentLinks(allow_private=True).read(url).title == "Gauges of the north"
    links = RecentLinks()
    for _ in range(2):
        with pytest.raises(LinkRefused):
            links.read(url)


def test_a_page_that_fails_is_tried_again(site: SiteDouble) -> None:
    links = RecentLinks(allow_private=True)
    for _ in range(2):
        with pytest.raises(LinkUnreachable):
            links.read(f"{site.address}/nowhere?of=failing")
    assert site.asked.count("/nowhere?of=failing") == 2


def test_what_is_in_the_library_is_listed_until_it_is_removed(site: SiteDouble, tmp_path: Path) -> None:
    with twin(tmp_path, link_private_hosts=True) as both:
        client, at = both[0].client, {"persona": "runa"}
        for path in ("/article", "/article", "/paper.pdf"):
            read(both, site.address + path, add_to_library=True)
        paper, article = client.get("/v1/library", params=at).json()
        assert (article["url"], article["title"]) == (f"{site.address}/article", "Gauges of the north")
        assert paper["words"] > 20
        gone = client.delete("/v1/library", params=at | {"doc_id": article["doc_id"]})
        assert (gone.status_code, gone.json()) == (200, article)
        assert client.get("/v1/library", params=at).json() == [paper]
        again = client.delete("/v1/library", params=at | {"doc_id": article["doc_id"]})
        assert (again.status_code, again.json()["error"]["type"]) == (404, "Unknown")
        assert len(list(both[0].answers.lake.keys("raw/library/runa"))) == 4  # nothing raw is ever changed
        read(both, f"{site.address}/article", add_to_library=True)
        assert [e["doc_id"] for e in client.get("/v1/library", params=at).json()] == [
            article["doc_id"],
            paper["doc_id"],
        ]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/image", 400, "image/png"), ("/circle", 400, "redirects more than"), ("/large", 400, "10 MB"),
        ("/packed", 400, "compressed"), ("/blocked", 400, "block page"), ("/empty", 400, "hardly any text"),
        ("/broken.pdf", 400, "PDF"), ("/nowhere", 422, "answered 404"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_named(
    running: tuple[Server, EngineDouble], site: SiteDouble, path: str, status: int, says: str
) -> None:
    answer = running[0].client.post(
        "/v1/links", json={"persona": "runa", "url": f"{site.address}{path}?key=secret"}
    )
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://LOCALHOST./", "http://2130706433/", "http://0x7f.0.0.1/",
        "http://127.1/", "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/", "http://[::7f00:1]/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
        "http://192.168.0.1/", "http://172.16.0.1/", "http://100.64.0.1/", "http://224.0.0.1/", "http://[fe80::1]/",
        "http://[fd00::1]/", "http://metadata.google.internal/", "http://printer.local/", "http://0.0.0.0/",
        "http://user:pass@127.0.0.1/", "http://127.0.0.1:6379/", "file:///etc/passwd", "gopher://example.com/",
        "http://", "http://[::1", "ftp://example.com/a", "http://example.com:99999/",
    ],
)  # fmt: skip
def test_no_link_leads_inside(url: str) -> None:
    with pytest.raises(LinkRefused):
        fetch_link(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/a", "http://93.184.216.34/", "https://[2606:4700::1111]/"]
)
def test_public_addresses_pass_the_rules(url: str) -> None:
    assert url_refusal(url, allow_private=False) is None


def test_a_name_that_leads_inside_is_refused_by_what_it_resolves_to() -> None:
    # /etc/hosts gives this machine's own name a private or loopback address.
    name = socket.gethostname()
    assert address_refusal(socket.gethostbyname(name)) is not None
    with pytest.raises(LinkRefused, match="private"):
        fetch_link(f"http://{name}/")


def test_each_hop_of_a_redirect_is_judged(site: SiteDouble, tmp_path: Path) -> None:
    for to in ("file:///etc/passwd", "gopher://example.com/", "http://user:pass@example.com/"):
        site.to = to
        try:
            with pytest.raises(LinkRefused):
                fetch_link(f"{site.address}/redirect", allow_private=True)
        finally:
            site.to = "/article"


def test_the_setting_for_crawling_own_sites_opens_nothing_to_callers(
    site: SiteDouble, tmp_path: Path
) -> None:
    with serving(install(tmp_path, "http://127.0.0.1:1/v1", allow_private_hosts=True)) as server:
        answer = server.client.post("/v1/links", json={"persona": "runa", "url": f"{site.address}/article"})
        assert answer.status_code == 400
        assert "private address" in answer.json()["error"]["message"]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
TRICKLES = {
    "says nothing": (b"", b""), "says nothing where TLS should begin": (b"", b""),
    "in what begins TLS": (b"\x16\x03\x03\x0f\xff", b"\x02"), "in its headers": (HEAD, b"X-A: b\r\n"), "in one header": (HEAD + b"X-A: ", b"a"),
    "in its body": (HEAD + b"\r\n", b"a"), "in what it promised": (HEAD + b"Content-Length: 9999\r\n\r\n", b"a"),
    "in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), "in answers before the answer": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
}  # fmt: skip


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where each connection is answered in a thread of its own, by hand."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4_000)
            answer(connection)

    def accept() -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("where", TRICKLES)
def test_a_site_that_trickles_is_given_up_while_it_still_does(where: str) -> None:
    over, gone = threading.Event(), threading.Event()

    def trickle(connection: socket.socket) -> None:
        first, again = TRICKLES[where]
        try:
            connection.sendall(first)
            while not over.wait(0.02):
                connection.sendall(again)
        except OSError:
            gone.set()
            raise

    with answering(trickle) as port:
        try:
            scheme = "https" if "TLS" in where else "http"
            with pytest.raises(LinkUnreachable, match=r"takes longer than 0\.5 s"):
                fetch_link(f"{scheme}://127.0.0.1:{port}/", allow_private=True, seconds=0.5)
            # The site would have gone on: it was left.
            assert where.startswith("says nothing") or gone.wait(PATIENCE)
        finally:
            over.set()


def test_redirects_have_one_deadline_together() -> None:
    hops = []

    def redirect(connection: socket.socket) -> None:
        hops.append(1)
        time.sleep(0.4)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")

    with answering(redirect) as port, pytest.raises(LinkUnreachable, match="takes longer than 1 s"):
        fetch_link(f"http://127.0.0.1:{port}/", allow_private=True, seconds=1)
    assert 2 <= len(hops) <= 3, "each hop alone is quick enough"


@pytest.mark.parametrize("path", ["/köln?q=é x", "/a%20b?c=%zz", "/a b"])
def test_addresses_are_asked_for_as_a_browser_would_ask(site: SiteDouble, path: str) -> None:
    with pytest.raises(LinkUnreachable, match="answered 404"):
        fetch_link(site.address + path, allow_private=True)
    assert site.asked[-1].isascii()
    assert " " not in site.asked[-1]


def paper(lines: int) -> bytes:
    return pdf(*(f"The gauge at Kvitnes was moved by {n} metres." for n in range(lines)))


def test_a_paper_that_takes_too_long_is_ended() -> None:
    assert "moved by 399 metres" in read_pdf_apart(paper(400), seconds=60).text, (
        "nothing is wrong with such a file"
    )
    with pytest.raises(ValueError, match="a PDF that takes longer than 1 s to read"):
        read_pdf_apart(paper(400_000), seconds=1)


def test_a_paper_that_takes_too_much_memory_is_ended() -> None:
    reader = "twin_assets.core.text.pdf"
    assert read_apart(reader, "a PDF", paper(20_000), 60)
    with pytest.raises(ValueError, match="a PDF that can't be read within the limits"):
        read_apart(reader, "a PDF", paper(20_000), 60, memory=150_000_000)


def test_a_page_is_cleaned_by_another_process_and_ended_when_it_takes_too_long() -> None:
    def page(paragraphs: int) -> bytes:
        told = (
            "<p>The tide at Stenna was late again, and nobody wrote it down until Tuesday.</p>" * paragraphs
        )
        return f"<html><body><article>{told}</article></body></html>".encode()

    def cpu(of: int) -> float:
        used = resource.getrusage(of)
        return used.ru_utime + used.ru_stime

    before = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN)
    assert read_page_apart(page(3_000), seconds=60).text.count("Stenna") == 3_000
    own, apart = cpu(resource.RUSAGE_SELF) - before[0], cpu(resource.RUSAGE_CHILDREN) - before[1]
    assert own < apart / 4
    with pytest.raises(ValueError, match="a page that takes longer than 1 s to read"):
        read_page_apart(page(100_000), seconds=1)


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "zip", "no-such", "utf-16"])
def test_a_charset_that_a_page_only_claims_is_not_believed(charset: str) -> None:
    text = "The tide at Stenna was late again, and nobody wrote it down until Tuesday. " * 4
    read = cleaned(Fetched(url="https://x.example/", mime="text/plain", charset=charset, data=text.encode()))
    assert charset == "utf-16" or read.text == text


def test_a_long_text_is_cut_before_anything_is_counted_in_it() -> None:
    def clean(size: int) -> None:
        data = b"The tide was late. " * (size // 19)
        assert (
            len(cleaned(Fetched(url="https://x.example/", mime="text/plain", charset=None, data=data)).text)
            == 400_000
        )

    assert growth(clean, 1_000_000, 8) < 4
