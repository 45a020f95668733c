"""`twin impostors fetch`: open blogs from a real site on this machine into folders with their attribution."""

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import yaml

from demo.sites.answers import Answer
from demo.sites.loopback import Loopback
from tests.cli.terminal import Terminal
from tests.evaluation.evaluation_factories import train
from twin_assets.core.storage.lake import LocalLake
from twin_assets.evaluation.voice.background import gather
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.feature.crawl.writers import TABLE, read_writers

PIECE = (
    "The tide was late again, and I had said it would be. We went down to the pier with the lamp that nobody else wanted, "
    "and we counted the boats twice because the first count had been mine. "
) * 8


class Blog(Loopback):
    """Two blogs' feeds, one of which somebody else writes in too; remembers who asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.broken: set[str] = set()

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        agent = next((value for name, value in headers.items() if name.lower() == "user-agent"), "")
        self.asked.append((target, agent))
        if target in self.broken:
            return Answer(404, {}, b"gone")
        if target == "/robots.txt":
            return Answer(200, {"Content-Type": "text/plain"}, b"User-agent: *\nDisallow: /closed\n")
        if target.endswith("/feed.xml"):
            return Answer(
                200, {"Content-Type": "application/rss+xml"}, self.feed(target.split("/")[1]).encode()
            )
        return Answer(404, {}, b"no such page")

    def feed(self, who: str) -> str:
        items = [("Ann Lee", f"{number}. {PIECE}") for number in range(4)] + [
            ("Bob Roe", f"Bob's. {PIECE}"),
            ("Ann Lee", "Short."),
        ]
        day = format_datetime(datetime(2024, 5, 1, tzinfo=UTC))
        entries = "".join(
            f"<item><title>Piece {n}</title><link>{self.address}/{who}/{n}</link><guid>{who}-{n}</guid><pubDate>{day}</pubDate>"
            f"<dc:creator>{author}</dc:creator><content:encoded><![CDATA[<p>{text}</p>]]></content:encoded></item>"
            for n, (author, text) in enumerate(items)
        )
        return (
            '<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>Ann</title><link>{self.address}</link>{entries}</channel></rss>'
        )  # fmt: skip


def table(folder: Path, address: str, *names: str, **changes: object) -> Path:
    rows = [
        {
            "name": name, "author": "Ann Lee", "licence": "CC-BY-4.0", "licence_url": f"{address}/licence",
            "language": "en", "pages": [f"{address}/{name}/feed.xml"],
        } | changes
        for name in names
    ]  # fmt: skip
    path = folder / "writers.yaml"
    path.write_text(yaml.safe_dump(rows))
    return path


def terminal(tmp_path: Path, **settings: str) -> Terminal:
    return Terminal(tmp_path / "home", allow_private_hosts="true", crawl_backoff="0.01", **settings)


def test_blogs_come_as_folders_with_their_attribution_and_are_read_as_writers(tmp_path: Path) -> None:
    into = tmp_path / "others"
    with Blog() as blog:
        said = terminal(tmp_path, impostors_dir=str(into)).said(
            "impostors", "fetch", "--table", str(table(tmp_path, blog.address, "ann"))
        )
    assert "✓ ann (CC-BY-4.0): 4 pieces" in said
    attribution = (into / "ann" / "ATTRIBUTION.txt").read_text()
    assert attribution.startswith("Author: Ann Lee\nLicence: CC-BY-4.0, see http")
    assert f"{blog.address}/ann/0" in attribution
    texts = read_impostors([into / "ann"])["ann"]
    assert len(texts) == 4  # neither Bob's nor the short one
    assert all("The tide was late again" in text and "Bob's" not in text for text in texts)
    assert blog.asked[0][0] == "/robots.txt"
    assert all("llm-twin-crawler" in agent for _, agent in blog.asked)
    own = [d.voice_text for d in train()]
    assert list(gather(["Cy Poe"], own, {}, into, packages=False).people) == ["ann"]
    assert gather(["Ann Lee"], own, {}, into, packages=False).left_out == {
        "ann": "it bears the persona's name"
    }
    assert gather([], [*own, PIECE], {}, into, packages=False).left_out == {
        "ann": "it holds text of the persona's"
    }


def test_without_a_folder_they_are_kept_in_the_lake_and_an_ill_blog_costs_only_itself(tmp_path: Path) -> None:
    with Blog() as blog:
        person = terminal(tmp_path)
        lake = LocalLake(person.settings.lake_dir)
        listed = str(table(tmp_path, blog.address, "ann", "bea"))
        person.said("impostors", "fetch", "--table", listed)
        assert {key.split("/")[1] for key in lake.keys("impostors")} == {"ann", "bea"}
        before = lake.read("impostors/bea/001.md")
        blog.broken.add("/bea/feed.xml")
        result = person.twin("impostors", "fetch", "--table", listed)
    assert result.exit_code == 3
    assert "✓ ann" in result.stdout
    assert "✗ bea: " in result.stdout
    assert "Fix: " in result.stdout
    assert lake.read("impostors/bea/001.md") == before
    assert not list(lake.keys("raw"))  # nothing of them is taken for a persona's


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"licence": ""}, [], "Entry 1 of"),
        ({"pages": []}, [], "ann in"),
        ({"pages": ["ftp://x/feed"]}, [], "pages.0"),
        ({"home": "/tmp"}, [], "home"),
        ({}, ["nobody"], "has no nobody"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, object], words: list[str], said: str
) -> None:
    path = table(tmp_path, "http://127.0.0.1:9", "ann", **changes)
    result = terminal(tmp_path).twin("impostors", "fetch", *words, "--table", str(path))
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Fix: " in result.stderr


def test_the_packaged_table_names_a_dozen_writers_with_their_licences() -> None:
    writers = read_writers(TABLE)
    assert len([writer for writer in writers if writer.language == "en"]) >= 12
    assert all(writer.licence and writer.licence_url.startswith("https://") for writer in writers)
