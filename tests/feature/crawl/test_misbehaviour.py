"""Sites that misbehave on the wire, crawls that are killed, archives that could harm."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.sites import DemoSites
from demo.sites.answers import Answer
from tests.feature.crawl.writing import (
    crawl,
    persona,
    settings,
    stored,
    web_persona,
    write_article,
    write_repository,
)
from tests.support.machine import PATIENCE
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import LinkedIn, Web
from twin_assets.core.storage.lake import open_lake
from twin_assets.feature.crawl.crawl import _environment
from twin_assets.feature.crawl.formats.archives import archive_members
from twin_assets.feature.crawl.polite.politeness import LONGEST_WAIT, backoff, wait_asked
from twin_assets.feature.crawl.store import CrawlStore
from twin_assets.settings import ROOT, Settings

PAGE = b"<html><title>Ropes</title><body><article><p>Coil them.</p></article></body></html>"
ONE = "/ropes"


def one_page(sites: DemoSites) -> Persona:
    sites.pages[ONE] = ("text/html; charset=utf-8", PAGE)
    return web_persona(Web(pages=[sites.url(ONE)]))


@pytest.mark.parametrize(
    "fault",
    [
        Answer(429, {"Retry-After": "1"}), Answer(503, {"Retry-After": "0"}), Answer(429), 500, "cut short",
    ],
    ids=["429 with Retry-After", "503 with Retry-After", "429", "500", "cut short"],
)  # fmt: skip
def test_a_passing_fault_is_waited_out(tmp_path: Path, fault: int | str | Answer) -> None:
    with DemoSites(tmp_path) as sites:
        who = one_page(sites)
        sites.once[ONE] = fault
        began = time.monotonic()
        report = crawl(settings(tmp_path), who, "web")
        took = time.monotonic() - began
    assert (report.error, report.new, sites.asked.count(ONE)) == (None, 1, 2)
    assert (
        took >= 1 or "Retry-After" not in getattr(fault, "headers", {}) or fault.headers["Retry-After"] == "0"
    )  # type: ignore[union-attr]
    assert stored(settings(tmp_path), "web")[0].body == PAGE.decode()


def test_a_site_that_asks_for_a_long_wait_is_left_for_the_next_crawl(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        who = one_page(sites)
        sites.fail[ONE] = Answer(429, {"Retry-After": "86400"})
        report = crawl(settings(tmp_path), who, "web")
    assert sites.asked.count(ONE) == 1
    assert "too many requests" in (report.error or "")
    assert report.troubles[0].startswith("too many requests (HTTP 429): http")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("bomb", "larger than 20 MB"),
        ("cut short", "unreachable"),
        ("challenge", "blocked"),
        ("empty", "got nothing"),
    ],
)
def test_what_stays_broken_is_named_and_stores_nothing(tmp_path: Path, fault: str, said: str) -> None:
    with DemoSites(tmp_path) as sites:
        who = one_page(sites)
        sites.fail[ONE] = fault
        report = crawl(settings(tmp_path), who, "web")
    assert said in (report.error or "")
    assert stored(settings(tmp_path), "web") == []


def test_robots_txt_speaks_of_pages_and_not_of_apis(tmp_path: Path) -> None:
    write_article(tmp_path / "w", "medium", 1)
    write_repository(tmp_path / "w")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        sites.robots = "User-agent: *\nDisallow: /\n"
        feed, api = crawl(here, persona(sites), "medium"), crawl(here, persona(sites), "github")
    assert "robots.txt" in (feed.error or "")
    assert (api.error, api.new) == (None, 4)


def test_a_circle_of_redirects_ends(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        sites.redirects = {"/a": "/b", "/b": "/a"}
        report = crawl(settings(tmp_path), web_persona(Web(pages=[sites.url("/a")])), "web")
    assert "redirected without end" in (report.error or "")


def test_a_redirect_is_followed_and_the_items_address_stays_the_one_declared(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        one_page(sites)
        sites.redirects = {"/old": ONE}
        who = web_persona(Web(pages=[sites.url("/old")]))
        first, second = crawl(settings(tmp_path), who, "web"), crawl(settings(tmp_path), who, "web")
    assert (first.new, second.new, second.unchanged, second.deleted) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", "<p>Caf\u00e9 \u2013 na\u00efve</p>".encode("cp1252")),
        ("text/html; charset=iso-8859-1", "<p>Caf\u00e9 \u2013 na\u00efve</p>".encode("cp1252")),
        ("text/html", '<meta charset="utf-8"><p>Caf\u00e9 \u2013 na\u00efve</p>'.encode()),
    ],
    ids=["declared utf-8", "declared latin-1", "declared in the page"],
)
def test_a_wrong_charset_is_read_as_a_browser_would(tmp_path: Path, kind: str, body: bytes) -> None:
    with DemoSites(tmp_path) as sites:
        sites.pages[ONE] = (kind, body)
        crawl(settings(tmp_path), web_persona(Web(pages=[sites.url(ONE)])), "web")
    text = stored(settings(tmp_path), "web")[0].body
    assert "Caf\u00e9 \u2013 na\u00efve" in text or kind.endswith("utf-8")
    assert "Caf" in text


def test_a_name_that_leads_to_a_private_address_is_refused(tmp_path: Path) -> None:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = ""
    if not address.startswith(("127.", "10.", "172.", "192.168.")) or name == "localhost":
        pytest.skip(f"DNS TEST DID NOT RUN: {name} does not resolve to a private address here")
    with DemoSites(tmp_path) as sites:
        port = sites.url().rsplit(":", 1)[1]
        who = web_persona(Web(pages=[f"http://{name}:{port}{ONE}"]))
        report = crawl(settings(tmp_path, allow_private_hosts=False), who, "web")
        assert sites.asked == []
    assert "refused" in (report.error or "")


def test_two_crawls_of_a_source_do_not_run_at_a_time(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(tmp_path) as sites:
        who = one_page(sites)
        running = CrawlStore(open_lake(here), here.cache_dir, "runa", "web")
        meanwhile = crawl(here, who, "web")
        running.close()
        after = crawl(here, who, "web")
    assert "Another crawl of runa's web is running" in (meanwhile.error or "")
    assert (after.error, after.new) == (None, 1)


def begin(here: Settings, who: Persona) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "twin_assets.feature.crawl.run",
        "--persona",
        "-",
        "--source",
        "substack",
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env=_environment(here), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(who.model_dump_json())
    process.stdin.close()
    return process


def test_a_crawl_killed_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    for number in range(1, 29):
        write_article(tmp_path / "w", "substack", number, f"Words of {number}.")
    here, rng = settings(tmp_path), random.Random(4)
    with DemoSites(tmp_path / "w") as sites:
        who = persona(sites)
        for _ in range(4):
            asked = sum("/posts/" in path for path in sites.asked)
            process = begin(here, who)
            goal, deadline = asked + rng.randint(1, 8), time.monotonic() + PATIENCE
            while sum("/posts/" in path for path in sites.asked) < goal and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(rng.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
        report = crawl(here, who, "substack")
        again = crawl(here, who, "substack")
    assert report.error is None
    assert report.not_modified > 0  # what the killed crawls had stored was not sent again
    bodies = [item.body for item in stored(here, "substack")]
    assert sorted(bodies) == sorted({*bodies})
    assert {n for n in range(1, 29) if any(f"Words of {n}." in body for body in bodies)} == set(range(1, 29))
    assert (again.new, again.changed, again.deleted) == (0, 0, 0)
    assert not [p for p in (here.cache_dir / "crawl/runa/substack").iterdir() if p.suffix == ".jsonl"]
    for path in (here.lake_dir / "raw").rglob("*.jsonl"):
        assert all(json.loads(line)["source"] == "substack" for line in path.read_text().splitlines())


def test_a_second_crawl_says_what_it_saved(tmp_path: Path) -> None:
    with DemoSites(tmp_path) as sites:
        who = one_page(sites)
        crawl(settings(tmp_path), who, "web")
        report = crawl(settings(tmp_path), who, "web")
    assert (report.not_modified, report.saved_bytes) == (1, len(PAGE))


@pytest.mark.parametrize("harm", ["bomb", "way out", "link", "lie", "no zip", "encrypted"])
def test_an_export_that_could_harm_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if harm == "bomb":
            archive.writestr("Articles/a.html", b"a" * 20_000_000)
        elif harm == "link":
            info = zipfile.ZipInfo("Articles/a.html")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
        else:
            archive.writestr(
                "../Articles/a.html" if harm == "way out" else "Articles/a.html", "<p>Hello</p>" * 9
            )
    if harm == "no zip":
        path.write_bytes(b"PK but no zip")
    if harm in ("lie", "encrypted"):
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02")  # the central directory: flags at 8, unpacked size at 24
        if harm == "lie":
            data[at + 24 : at + 28] = (5).to_bytes(4, "little")
        else:
            data[at + 8] |= 1
        path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"bomb|leads out|symbolic link|larger|damaged|encrypted|not a zip"):
        list(archive_members(path, r"\.html$"))
    who = web_persona(Web()).model_copy(
        update={"linkedin": LinkedIn(profile="https://www.linkedin.com/in/r", export=path)}
    )
    report = crawl(settings(tmp_path), who, "linkedin")
    assert "unreadable export" in (report.error or "")
    assert stored(settings(tmp_path), "linkedin") == []


def test_the_wait_that_a_site_asks_for_is_read_in_both_forms() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert wait_asked(b"30", now) == 30
    assert wait_asked(b"Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert wait_asked(b"Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert wait_asked(b"soon", now) is None
    assert wait_asked(None, now) is None


@given(st.floats(0, 100), st.integers(0, 60), st.floats(0, 1))
def test_backoff_grows_and_never_passes_the_longest_wait(base: float, tried: int, share: float) -> None:
    assert 0 <= backoff(base, tried, share) <= LONGEST_WAIT
    assert backoff(base, tried, share) <= backoff(base, tried + 1, share)
