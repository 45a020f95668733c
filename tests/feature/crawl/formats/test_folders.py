"""A folder of writing: what is the persona's and published is kept, the rest is counted with its path."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.feature.crawl.writing import crawl, settings, stored, web_persona, write
from twin_assets.core.persona.definition import Web
from twin_assets.feature.crawl.formats.text.folders import files_of, path_reason

A = "The tide came in over the flats, and nobody had moved the boats.\n"


def test_drafts_private_notes_trash_and_hidden_folders_are_left_out_and_counted(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    kept = write(blog / "kept.md", f"---\npublish: true\n---\n{A}")
    left = {
        "_drafts/x.md": "draft", "drafts/y.md": "draft", ".trash/x.md": "trash", ".obsidian/themes/x/README.md": "hidden file or folder",
        "Private/x.md": "private", "Templates/daily.md": "template", "archetypes/default.md": "template", "public/post/index.html": "made by a program",
        "_site/a.html": "made by a program", "robots.txt": "made by a program", "CODE_OF_CONDUCT.md": "code of conduct",
        "LICENSE.md": "licence text", "node_modules/x/README.md": "vendored", "CHANGELOG.md": "changelog",
    }  # fmt: skip
    marked = {"status: draft": "draft", "draft: true": "draft", "publish: false": "not published", "published: false": "not published", "private: true": "private", "status: hidden": "hidden", "date: 2999-01-01": "dated in the future"}  # fmt: skip
    for path in left:
        write(blog / path, A)
    write(blog / "hugo.toml", "baseURL = 'https://x.example'\n")
    for number, line in enumerate(marked):
        write(blog / f"marked{number}.md", f"---\n{line}\n---\n{A}")
    write(blog / "json.md", '{"title": "X", "draft": true}\n\n' + A)
    here = settings(tmp_path)
    report = crawl(here, web_persona(Web(folders=[blog])), "web")
    assert report.error is None
    assert [item.item_id for item in stored(here, "web")] == [kept.name]
    reasons = [*left.values(), *marked.values(), "draft", "no text (pictures, data, programs)"]
    assert report.skipped == {reason: reasons.count(reason) for reason in set(reasons)}
    assert ".trash/x.md" in report.left_out["trash"]
    assert "marked4.md" in report.left_out["private"]


def test_a_text_that_somebody_else_signed_is_left_out(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    for name, author in (("own", "author: Runa Hollis"), ("both", "authors: [Kim Other, Runa Hollis]"), ("none", "title: x"), ("handle", "author: rh"),
                         ("kim", "author: Kim Other"), ("kims", "authors:\n  - name: Kim Other")):  # fmt: skip
        write(blog / f"{name}.md", f"---\n{author}\n---\n{A}")
    write(
        blog / "page.html",
        f'<html><head><meta name="author" content="Kim Other"></head><body><p>{A}</p></body></html>',
    )
    here = settings(tmp_path)
    who = web_persona(Web(folders=[blog])).model_copy(update={"also_known_as": ["rh"]})
    report = crawl(here, who, "web")
    assert {item.item_id for item in stored(here, "web")} == {"own.md", "both.md", "none.md", "handle.md"}
    assert report.skipped == {"by another author": 3}
    by_kim = [f"{name} (by Kim Other)" for name in ("kim.md", "kims.md", "page.html")]
    assert report.left_out["by another author"] == by_kim


def test_a_folder_that_is_all_signed_by_an_unknown_name_says_which_and_what_to_do(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    write(blog / "a.md", f"---\nauthor: R. Hollis-Vane\n---\n{A}")
    report = crawl(settings(tmp_path), web_persona(Web(folders=[blog])), "web")
    assert "also_known_as" in (report.error or "")
    assert "R. Hollis-Vane" in (report.error or "")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("0017.txt", None),
        ("2f9c1e7ab04d.txt", None),
        ("6b1f0c9e-52a4-4c1e-9d0b-77aa01c3f2de.md", None),
        ("2021-03-04.md", "2021-03-04"),
        ("defaced.md", "defaced"),
        ("10-things-on-mud.md", "10-things-on-mud"),
        ("潮の話.txt", "潮の話"),
    ],
)
def test_a_name_that_a_machine_gave_is_no_title(tmp_path: Path, name: str, title: str | None) -> None:
    blog = tmp_path / "blog"
    write(blog / name, A)
    here = settings(tmp_path)
    crawl(here, web_persona(Web(folders=[blog])), "web")
    assert [item.title for item in stored(here, "web")] == [title]


def test_files_in_old_encodings_are_read_and_one_in_none_is_counted(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    blog.mkdir()
    german = "Die Fähre fährt später, weil das Wasser über der Brücke steht, und Jörg hört zu.\n"
    russian = "Приливы сегодня опаздывают, и никто не передвинул лодки, а мы стояли и смотрели.\n"
    (blog / "latin.md").write_bytes(f"---\ntitle: Fähre\n---\n{german}".encode("latin-1"))
    (blog / "cyrillic.txt").write_bytes(russian.encode("cp1251"))
    (blog / "noise.md").write_bytes(bytes(range(256)) * 30)
    here = settings(tmp_path)
    report = crawl(here, web_persona(Web(folders=[blog])), "web")
    items = {item.item_id: item for item in stored(here, "web")}
    assert report.error is None
    assert (items["latin.md"].title, items["latin.md"].body) == ("Fähre", german)
    assert items["cyrillic.txt"].body == russian
    assert report.skipped == {"unreadable file: in no encoding that can be told": 1}
    (where,) = report.left_out["unreadable file: in no encoding that can be told"]
    assert where.startswith("noise.md: ")


def test_an_unreadable_file_is_no_error_and_no_deletion(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    for name in ("a", "b", "c"):
        write(blog / f"{name}.md", f"---\ntitle: {name}\n---\n{A}")
    here, who = settings(tmp_path), web_persona(Web(folders=[blog]))
    crawl(here, who, "web")
    (blog / "a.md").unlink()
    write(blog / "b.md", f"---\ntitle: [\n---\n{A}")
    write(blog / "c.md", f"---\ntitle: Clocks: a history\n---\n{A}")
    report = crawl(here, who, "web")
    assert (report.error, report.deleted, report.skipped) == (
        None,
        1,
        {"unreadable file: broken front matter": 1},
    )
    assert {i.item_id: i.title for i in stored(here, "web")}["c.md"] == "Clocks: a history"
    assert [i.item_id for i in stored(here, "web") if i.kind == "deleted"] == ["a.md"]


def test_kinds_that_cannot_be_read_are_counted_by_kind(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    for name in ("a.rst", "b.org", "c.adoc", "d.mdx"):
        write(blog / name, A)
    write(blog / "e.ipynb", '{"cells": [{"cell_type": "markdown", "source": "It rose."}]}')
    write(blog / "f.tape", A * 9)
    write(blog / "g.tape", A * 9)
    write(blog / "h.pages", "")
    write(blog / "i.png", "")
    here = settings(tmp_path)
    report = crawl(here, web_persona(Web(folders=[blog])), "web")
    assert len(stored(here, "web")) == 5
    assert report.skipped == {
        "cannot read .tape files": 2,
        "cannot read .pages files": 1,
        "no text (pictures, data, programs)": 1,
    }
    assert report.left_out["cannot read .tape files"] == ["f.tape", "g.tape"]


def test_a_file_says_who_may_read_it_and_when_it_was_written(tmp_path: Path) -> None:
    blog = tmp_path / "blog"
    write(blog / "2021-9-1-late.md", f"---\nvisibility: friends\nlang: de\n---\n{A}")
    write(blog / "open.md", f"---\nvisibility: public\n---\n{A}")
    here = settings(tmp_path)
    crawl(here, web_persona(Web(folders=[blog])), "web")
    items = {item.item_id: item for item in stored(here, "web")}
    late = items["2021-9-1-late.md"]
    assert (late.visibility, late.language, late.published_at) == (
        "connections",
        "de",
        datetime(2021, 9, 1, tzinfo=UTC),
    )
    assert items["open.md"].visibility == "public"
    closed = Web(folders=[blog], visibility="private")
    crawl(here, web_persona(closed), "web")
    write(blog / "open.md", f"---\nvisibility: public\n---\n{A}{A}")
    crawl(here, web_persona(closed), "web")
    assert stored(here, "web")[-1].visibility == "private"


def test_a_folder_named_public_may_hold_the_sources(tmp_path: Path) -> None:
    write(tmp_path / "public/low-water/index.md", A)
    write(tmp_path / "package.json", "{}")
    assert ("public/low-water/index.md", None) in list(files_of(tmp_path))
    write(tmp_path / "hugo.toml", "")
    assert ("public/low-water/index.md", "made by a program") in list(files_of(tmp_path))


def test_links_out_and_links_to_nothing_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "outside.md", A)
    write(tmp_path / "blog/in.md", A)
    (tmp_path / "blog/out.md").symlink_to(tmp_path / "outside.md")
    (tmp_path / "blog/broken.md").symlink_to(tmp_path / "nothing.md")
    (tmp_path / "blog/circle").symlink_to(tmp_path / "blog")
    report = crawl(settings(tmp_path), web_persona(Web(folders=[tmp_path / "blog"])), "web")
    assert (report.new, report.skipped) == (1, {"link out of the folder": 2, "link to a folder": 1})
    assert report.error is None


@pytest.mark.parametrize("path", ["posts/draft-horses.md", "content/posts/templates/index.md", "posts/private-beach.md", "notes/security.md", "a/license-plates.md", "trash-talk.md"])  # fmt: skip
def test_own_writing_with_a_like_path_is_kept(path: str) -> None:
    assert path_reason(path) is None


def test_depth_and_number_of_files_are_bounded(tmp_path: Path) -> None:
    for path in ("1.md", "a/2.md", "a/b/3.md", "a/b/c/4.md", "z/5.md", "z/6.md"):
        write(tmp_path / path, A)
    found = dict(files_of(tmp_path, max_files=3, max_depth=2))
    assert [path for path, reason in found.items() if reason is None] == ["1.md", "a/2.md", "a/b/3.md"]
    assert {path: reason for path, reason in found.items() if reason} == {
        "a/b/c/": "more than 2 folders deep",
        "z/5.md": "beyond the first 3 files",
    }


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("wip/x.md", "draft"),
        ("notes/x.draft.md", "draft"),
        ("99 Templates/x.md", "template"),
        ("Private Notes/x.md", "private"),
        ("03 my private journal/2020/x.md", "private"),
        ("notes-private/x.md", "private"),
        ("private-equity/x.md", None),
        ("05-private/x.md", "private"),
        ("10 walks/draft-horses.md", None),
        ("android/vendor/build-target.md", None),
        ("kubernetes/pods/lifecycle.md", None),
        ("app/vendor/README.md", "vendored"),
        ("app/vendor/clockwork/docs/use.md", "vendored"),
    ],
)
def test_numbered_folders_and_marked_names_say_what_they_hold(path: str, reason: str | None) -> None:
    assert path_reason(path) == reason
