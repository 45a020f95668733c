"""Archives, forges and files: Medium's sitemap and export, GitLab, PDF and DOCX."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.sites import DemoSites
from demo.sites.answers import Answer
from tests.feature.crawl.writing import crawl, docx, settings, stored, web_persona, write, write_repository
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.sources import GitLab, Medium, Web
from twin_assets.feature.crawl.spiders.blogs.medium import story_id


def only(**source: Any) -> Persona:
    return Persona(name="runa", full_name="Runa Hollis", about="Ferries.", license="CC-BY-4.0", **source)


def test_gitlab_takes_own_files_from_every_page_and_only_changed_ones_again(tmp_path: Path) -> None:
    write_repository(tmp_path / "w")
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        who = only(gitlab=GitLab(user="runahollis", api=sites.url("/gitlab")))
        first, second = crawl(here, who, "gitlab"), crawl(here, who, "gitlab")
        refused = crawl(settings(tmp_path, gitlab_token="expired"), who, "gitlab")
    found = {item.item_id: item.category for item in stored(here, "gitlab")}
    assert found == {
        "runahollis/tidelog/blob/README.md": "article",
        "runahollis/tidelog/blob/src/tide.py": "code",
    }
    assert (first.error, first.skipped["fork"], first.skipped["vendored"]) == (None, 1, 1)
    assert (second.new, second.unchanged, second.saved_requests) == (0, 2, 4)
    assert "TWIN_GITLAB_TOKEN" in (refused.error or "")
    assert "expired" not in (refused.error or "")


STORY = """<html><head><title>{title}</title><script type="application/ld+json">
{{"@type": "NewsArticle", "isAccessibleForFree": {free}}}</script></head>
<body><article><p>{text}</p></article></body></html>"""


def sitemap(addresses: dict[str, str]) -> Answer:
    rows = "".join(f"<url><loc>{a}</loc><lastmod>{day}</lastmod></url>" for a, day in addresses.items())
    namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return Answer(200, {"Content-Type": "text/xml"}, f'<urlset xmlns="{namespace}">{rows}</urlset>'.encode())


def test_mediums_sitemap_has_every_story_and_fetches_only_those_that_are_newer(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        old, paid = sites.url("/@r/tides-0123456789ab"), sites.url("/@r/paid-ba9876543210")
        sites.pages["/@r/tides-0123456789ab"] = (
            "text/html", STORY.format(title="Tides", free="true", text="Wet.").encode(),
        )  # fmt: skip
        sites.pages["/@r/paid-ba9876543210"] = (
            "text/html", STORY.format(title="Paid", free="false", text="A bit.").encode(),
        )  # fmt: skip
        sites.fail["/sitemap.xml"] = sitemap(
            {old: "2024-01-01", paid: "2024-02-02", sites.url("/about"): "2020-01-01"}
        )
        who = only(medium=Medium(sitemap=sites.url("/sitemap.xml")))
        first = crawl(here, who, "medium")
        sites.asked.clear()
        second = crawl(here, who, "medium")
        assert [p for p in sites.asked if p.startswith("/@r")] == []
        sites.fail["/sitemap.xml"] = sitemap({old: "2024-01-01"})
        third = crawl(here, who, "medium")
    assert (first.error, first.new, first.partial) == (None, 2, 1)
    assert (second.unchanged, second.saved_requests) == (2, 2)
    assert (third.deleted, third.error) == (1, None)


def medium_export(path: Path) -> Path:
    page = (
        '<html><head><title>{0}</title></head><body><article class="h-entry"><section data-field="body" '
        'class="e-content"><p>{1}</p></section><footer><a class="p-canonical" href="https://medium.com/p/{2}">c</a>'
        '<time class="dt-published" datetime="2019-01-02T03:04:05.000Z">x</time></footer></article></body></html>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "posts/2019-01-02_Old-0aa123def456.html", page.format("Old", "Long ago.", "0aa123def456")
        )
        archive.writestr("posts/2024-01-02_Piece-2-9002.html", page.format("Piece 2", "All of it.", "9002"))
        archive.writestr(
            "posts/2024-01-02_Whole-2-900200000000.html", page.format("W", "All.", "900200000000")
        )
        archive.writestr(
            "posts/draft_Not-yet-1bb123def456.html", page.format("Not yet", "No.", "1bb123def456")
        )
        archive.writestr("README.html", "<p>Medium</p>")
    return path


def test_mediums_export_has_what_the_feed_has_lost(tmp_path: Path) -> None:
    from tests.feature.crawl.writing import write_article

    write_article(tmp_path / "w", "medium", 1)
    here = settings(tmp_path)
    with DemoSites(tmp_path / "w") as sites:
        feed = sites.url("/medium/feed/@runahollis")
        who = only(medium=Medium(feed=feed, export=medium_export(tmp_path / "m.zip")))
        first, second = crawl(here, who, "medium"), crawl(here, who, "medium")
    items = {item.item_id: item for item in stored(here, "medium")}
    assert set(items) == {"9001", "0aa123def456", "900200000000"}
    assert items["0aa123def456"].title == "Old"
    assert items["0aa123def456"].published_at == datetime(2019, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (first.error, first.skipped) == (None, {"no story": 1, "draft": 1})
    assert (second.new, second.changed, second.deleted) == (0, 0, 0)


def test_a_storys_id_ends_its_address() -> None:
    assert story_id("https://medium.com/@r/on-tides-0123456789ab?source=rss") == "0123456789ab"
    assert story_id("https://r.medium.com/about") is None


def pdf(text: str) -> bytes:
    """A one-page PDF, by hand: the smallest that a reader takes."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{o:010} 00000 n \n" for o in offsets)
    trailer = f"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return (out + f"xref\n0 6\n0000000000 65535 f \n{table}{trailer}").encode()


def test_a_folder_may_hold_html_pdf_and_docx(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    write(folder / "page.html", "<html><title>On ropes</title><article><p>Coil them.</p></article></html>")
    (folder / "paper.pdf").write_bytes(pdf("The clock was wrong."))
    heading = '<w:pPr><w:pStyle w:val="heading1"/></w:pPr><w:r><w:t>The night</w:t></w:r>'
    report = docx(f"<w:p>{heading}</w:p><w:p><w:r><w:t>Nobody slept.</w:t></w:r></w:p>")
    (folder / "report.docx").write_bytes(report)
    write(folder / "notes.txt", "Plain.")
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4\nnothing")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    here = settings(tmp_path)
    found = crawl(here, web_persona(Web(folders=[folder], exclude=["notes*"])), "web")
    items = {item.item_id: item for item in stored(here, "web")}
    assert set(items) == {"page.html", "paper.pdf", "report.docx"}
    assert found.error is None
    assert "The clock was wrong." in items["paper.pdf"].body
    assert items["report.docx"].body == "# The night\n\nNobody slept.\n"
    assert (items["page.html"].title, items["page.html"].mime) == ("On ropes", "text/html")
    assert found.skipped == {
        "left out by the persona's patterns": 1,
        "unreadable file: broken PDF": 1,
        "no text (pictures, data, programs)": 1,
    }


def test_new_patterns_take_out_what_was_stored_under_the_old_ones(tmp_path: Path) -> None:
    folder = tmp_path / "blog"
    for name in ("a", "b"):
        write(folder / f"{name}.md", f"Text {name}.")
    here = settings(tmp_path)
    crawl(here, web_persona(Web(folders=[folder])), "web")
    report = crawl(here, web_persona(Web(folders=[folder], exclude=["b*"])), "web")
    assert (report.deleted, report.unchanged, report.items) == (1, 1, 1)
