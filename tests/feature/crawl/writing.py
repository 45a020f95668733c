"""Factories: small writing folders for the demo sites, personas that point at them, and one crawl."""

import io
import multiprocessing
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from demo.sites import DemoSites
from twin_assets.core.persona.definition import GitHub, LinkedIn, Medium, Persona, Substack, Web
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.items import CrawlReport
from twin_assets.feature.crawl.run import run_crawl
from twin_assets.settings import Settings


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_post(folder: Path, number: int, text: str = "A plain post, no tricks.") -> Path:
    front = f'id: "70000000{number:02}"\ndate: 2024-01-{number:02}T08:00:00Z\nvisibility: public'
    return write(folder / f"linkedin/{number:02}.md", f"---\n{front}\n---\n{text}\n")


def write_article(folder: Path, site: str, number: int, text: str = "It's *mine*.", more: str = "") -> Path:
    front = (
        f"id: {9000 + number}\nslug: piece-{number}\ntitle: Piece {number}\n"
        f"date: 2024-02-{number:02}T08:00:00Z\n{more}"
    )
    return write(folder / f"{site}/{number:02}.md", f"---\n{front}\n---\n\n{text}\n")


def write_repository(folder: Path) -> None:
    write(folder / "github/tidelog/README.md", "# tidelog\n\nIt reads tides.\n")
    write(folder / "github/tidelog/src/tide.py", "def tide() -> int:\n    return 3\n")
    write(folder / "github/tidelog/LICENSE", "MIT\n")
    write(folder / "github/vendored/third_party/minidate.py", "x = 1\n")
    issues = (
        "- {number: 1, kind: issue, title: Mine, created_at: 2024-03-01T08:00:00Z, body: It broke.}\n"
        "- {number: 2, kind: issue, title: Its, user: someone, created_at: 2024-03-02T08:00:00Z, body: Hi!}\n"
        "- {number: 3, kind: review_comment, user: someone, created_at: 2024-03-02T08:00:00Z, body: No.}\n"
        "- {number: 3, kind: review_comment, created_at: 2024-03-03T08:00:00Z, body: Call it gap.}\n"
    )
    write(folder / "github/issues.yaml", issues)


_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(body: str) -> bytes:
    """A DOCX of these paragraphs (WordprocessingML), with the styles "heading 1" and "Source Code"."""
    kinds = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    )
    links = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
        "</Relationships>"
    )
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name.replace(" ", "")}"><w:name w:val="{name}"/></w:style>'
        for name in ("heading 1", "Source Code")
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", kinds)
        archive.writestr("_rels/.rels", links)
        archive.writestr("word/styles.xml", f"<w:styles {_W}>{styles}</w:styles>")
        archive.writestr("word/document.xml", f"<w:document {_W}><w:body>{body}</w:body></w:document>")
    return packed.getvalue()


def persona(sites: DemoSites, **changes: Any) -> Persona:
    return Persona(
        name="runa", full_name="Runa Hollis", about="Ferries.", license="CC-BY-4.0",
        linkedin=LinkedIn(profile="https://www.linkedin.com/in/r", api=sites.url("/linkedin")),
        medium=Medium(feed=sites.url("/medium/feed/@runahollis")),
        substack=Substack(url=sites.url("/substack")),
        github=GitHub(user="runahollis", api=sites.url("/github")),
    ).model_copy(update=changes)  # fmt: skip


def web_persona(web: Web) -> Persona:
    return Persona(name="runa", full_name="Runa Hollis", about="Ferries.", license="CC-BY-4.0", web=web)


def settings(home: Path, **changes: Any) -> Settings:
    values = {
        "allow_private_hosts": True,
        "crawl_backoff": 0.05,
        "linkedin_token": "t",
        "github_token": "t",
    } | changes
    return Settings(home=home / "home", **values)


# Every crawl needs a fresh process, as in production; forked from a server that has Scrapy loaded
# already it takes a fraction of the time. test_process.py goes the whole way through `crawl_source`.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["twin_assets.feature.crawl.run"])


def crawl(settings: Settings, persona: Persona, source: str) -> CrawlReport:
    with ProcessPoolExecutor(1, mp_context=_FORKS) as process:
        report = process.submit(run_crawl, settings, persona, source).result()
    assert not report.bugs
    return report


def stored(settings: Settings, source: str) -> list[RawItem]:
    """Every raw item in the lake, oldest object first."""
    files = sorted((settings.lake_dir / "raw" / source / "runa").glob("*.jsonl"))
    lines = [line for file in files for line in file.read_text().split("\n") if line]
    return [RawItem.model_validate_json(line) for line in lines]
