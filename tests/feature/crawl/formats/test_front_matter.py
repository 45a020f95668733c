"""Fields above a text in the forms that site builders and note programs use, and what they mean."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.support.machine import growth
from twin_assets.core.text.front_matter import split_front_matter
from twin_assets.feature.crawl.formats.text.fields import describe, more_closed
from twin_assets.feature.crawl.formats.values import as_time

FORMS = {
    "YAML": "---\ntitle: X\ndate: 2020-01-02\n---\n\nA\n",
    "YAML that ends with dots": "---\ntitle: X\ndate: 2020-01-02\n...\nA\n",
    "YAML from Windows": "\ufeff---\r\ntitle: X\r\ndate: 2020-01-02\r\n---\r\n\r\nA\n",
    "TOML": '+++\ntitle = "X"\ndate = 2020-01-02\n+++\n\nA\n',
    "JSON": '{\n  "title": "X",\n  "date": "2020-01-02"\n}\n\nA\n',
    "Pelican's": "Title: X\ndate: 2020-01-02\nTags: sea, boats,\n    ropes\n\nA\n",
    "Pelican's with an empty field": "Title: X\nSummary:\nDate: 2020-01-02\n\nA\n",
    "Nikola's": ".. title: X\n.. date: 2020-01-02\n.. status: \n\nA\n",
    "Nikola's in a comment": "<!--\n.. title: X\n.. date: 2020-01-02\n-->\n\nA\n",
    "YAML with a second colon": "---\ntitle: X: a history\ndate: 2020-01-02\n---\nA\n",
    "YAML with an at": "---\ntitle: X\nby: @ada\ndate: 2020-01-02\n---\nA\n",
    "YAML with a tab": "---\ntitle: X\n\tsub: y\ndate: 2020-01-02\n---\nA\n",
    "YAML with an impossible day": "---\ntitle: X\nmodified: 2020-02-31\ndate: 2020-01-02\n---\nA\n",
    "broken TOML": "+++\ntitle = X\ndate = 2020-01-02\n+++\nA\n",
    "YAML with a bracket that is no list": "---\ntitle: X\nsub: [sic] he said\ndate: 2020-01-02\n---\nA\n",
    "YAML with a star": "---\nsub: *loud* noises\ntitle: X\ndate: 2020-01-02\n---\nA\n",
    "YAML between longer rules": "-----\ntitle: X\ndate: 2020-01-02\n-----\nA\n",
    "YAML with its lower fence alone": "title: X\ndate: 2020-01-02\ntags:\n- sea\n---\nA\n",
    "TOML named behind the fence": '---toml\ntitle = "X"\ndate = 2020-01-02\n---\nA\n',
    "JSON named behind the fence": '---json\n{"title": "X", "date": "2020-01-02"}\n---\nA\n',
    "JSON between semicolons": ';;;\n"title": "X",\n"date": "2020-01-02"\n;;;\nA\n',
    "JSON with a comma too many": '{\n"title": "X",\n"date": "2020-01-02",\n}\n\nA\n',
    "plain fields in a comment": "<!--\ntitle: X\ndate: 2020-01-02\n-->\n\nA\n",
    "YAML in a comment": "<!--\n---\ntitle: X\ndate: 2020-01-02\n---\n-->\n\nA\n",
    "JSON in a comment": '<!-- {"title": "X", "date": "2020-01-02"} -->\n\nA\n',
    "Logseq's": "title:: X\ndate:: 2020-01-02\n\nA\n",
    "pandoc's": "% X\n% Ada Example\n% 2020-01-02\n\nA\n",
    "a date in Japanese": "---\ntitle: X\ndate: 2020年1月2日\n---\nA\n",
    "camel case": "---\ntitle: X\npublishedAt: 2020-01-02\n---\nA\n",
    "hyphens": "---\ntitle: X\ndate-created: 2020-01-02\n---\nA\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_fields_are_read_and_are_no_text(form: str) -> None:
    fields, body = split_front_matter(FORMS[form])
    assert body == "A\n"
    found = describe(fields)
    assert (found.title or "")[:1] == "X"
    assert found.published_at == datetime(2020, 1, 2, tzinfo=UTC)
    assert found.left_out is None


@pytest.mark.parametrize(
    "text",
    [
        "Hello.\n\n---\n\nBye.\n",
        "---\n\nSo it goes: *on*.\n\n---\n\nBye.\n",
        "Note: this stays.\n\nBye.\n",
        "Summary: it went well.\n\nBye.\n",
        '{"a": 1} is JSON.\n',
        '{"a": 1}\n\nis what it sent.\n',
        "<!-- a remark: this is the second try -->\n\nBye.\n",
        "Title: unknown\n---\n\nBye.\n",
        "----\nTide: ten past four\n----\n\nBye.\n",
        "100% of it stays.\n\nBye.\n",
        "{ braces } begin this text.\n",
        "Dear Kim:\nTitle: unknown\n\nBye.\n",
    ],
)
def test_text_that_only_looks_like_fields_stays(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


def test_fields_that_stand_for_billions_of_values_are_refused() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    with pytest.raises(ValueError, match="aliases without end"):
        split_front_matter(f"---\na0: &a0 [x]\n{levels}\n---\nA\n")
    with pytest.raises(ValueError, match="broken front matter"):
        split_front_matter("---\ntitle: [\n---\nA\n")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"draft": True}, "draft"), ({"draft": "true"}, "draft"), ({"Draft": "yes"}, "draft"), ({"hugo_draft": "t"}, "draft"),
        ({"status": "Draft"}, "draft"), ({"status": "hidden"}, "hidden"), ({"jbake-status": "draft"}, "draft"),
        ({"published": False}, "not published"), ({"publish": False}, "not published"), ({"dg-publish": "no"}, "not published"),
        ({"private": True}, "private"), ({"status": ["idea", "draft"]}, "draft"), ({"date": "2999-01-01"}, "dated in the future"),
        ({"publishDate": "2999-01-01"}, "dated in the future"), ({"excalidraw-plugin": "parsed"}, "a drawing"),
        ({"published": "2020-01-02"}, None), ({"status": "evergreen"}, None), ({"publish": True}, None), ({"draft": False}, None),
        ({"draft": ""}, None),
    ],
)  # fmt: skip
def test_what_was_never_published_says_so(fields: dict[str, object], reason: str | None) -> None:
    assert describe(fields).left_out == reason


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"author": "Ada Example"}, {"Ada Example"}),
        ({"authors": ["Ada Example", "Kim Other"]}, {"Ada Example", "Kim Other"}),
        ({"author": [{"name": "Ada Example", "url": "x"}]}, {"Ada Example"}),
        ({"author": {"name": "Ada Example"}}, {"Ada Example"}),
        ({"author": "Kim Other and Ada Example"}, {"Kim Other and Ada Example", "Kim Other", "Ada Example"}),
        ({"authors": "Kim Other, Ada Example"}, {"Kim Other, Ada Example", "Kim Other", "Ada Example"}),
        ({"author": "Example, Ada"}, {"Example, Ada"}),
        ({"author": "[[people/Ada Example|Ada]]"}, {"Ada"}),
        ({"author": "Ada Example (ada@x.example)"}, {"Ada Example"}),
        ({"author": ""}, set()),
    ],
)
def test_bylines_in_every_form(fields: dict[str, object], names: set[str]) -> None:
    assert set(describe(fields).authors) == names


@pytest.mark.parametrize(
    ("said", "visibility"),
    [
        ("public", "public"),
        ("Friends", "connections"),
        ("private", "private"),
        ("team", "private"),
        (None, None),
    ],
)
def test_an_audience_is_read_and_an_unknown_one_is_closed(said: str | None, visibility: str | None) -> None:
    assert describe({"visibility": said}).visibility == visibility


def test_a_file_may_close_itself_and_never_open_what_its_owner_closed() -> None:
    assert more_closed("public", "private") == "private"
    assert more_closed("connections", "public") == "connections"
    assert more_closed("connections", None) == "connections"


@pytest.mark.parametrize(
    "said",
    [
        "2021-9-1",
        "2021-09-01",
        "2021/9/1",
        "1 September 2021",
        "Sep 1, 2021",
        "<2021-09-01 Wed>",
        "2021-09-01 02:00 +0200",
    ],
)
def test_dates_in_every_form(said: str) -> None:
    found = as_time(said)
    assert found
    assert (found.year, found.month, found.day) == (2021, 9, 1)


@pytest.mark.parametrize("said", ["soon", "10", "", None, 7, "2021-13-45", "x" * 999])
def test_what_is_no_date_is_none(said: object) -> None:
    assert as_time(said) is None


@pytest.mark.parametrize(
    ("text", "reason", "authors"),
    [
        (';;;\n"title": "X", "draft": true\n;;;\nA', "draft", []),  # Hexo's JSON
        ("title: X\ndate: 2020-01-02\n---\nA", None, []),  # Hexo's closing fence alone
        ("% X\n% Ada Example\n% 2020-01-02\n\nA", None, ["Ada Example"]),  # pandoc
        ('---json\n{"title": "X", "permalink": false}\n---\nA', "not published", []),  # Eleventy
        ('---toml\ntitle = "X"\ndraft = true\n---\nA', "draft", []),
    ],
)
def test_fields_of_every_builder_say_what_was_published_and_by_whom(
    text: str, reason: str | None, authors: list[str]
) -> None:
    fields, body = split_front_matter(text)
    described = describe(fields)
    assert body == "A"
    assert fields["title"] == "X"
    assert (described.left_out, described.authors) == (reason, authors)


@pytest.mark.parametrize(
    "text", ["- one\n- two\n\n---\n\nMore.", "Note: so I begin a text.\n\nAnd go on.\n\n---\nEnd"]
)
def test_a_text_with_a_rule_is_no_front_matter(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


@pytest.mark.parametrize(
    "line", ["  - x\n", "a: b\n", "a: b\n  c\n", "a: b\n\n", "a:: b\n", "% a\n b\n", ";;;\n", "---\n"]
)
def test_time_grows_no_faster_than_lines_that_never_close(line: str) -> None:
    def read(times: int) -> None:
        with suppress(ValueError):
            split_front_matter(line * times)

    assert growth(read, 1_000, 4) < 12


@pytest.mark.parametrize(
    ("lead", "pump", "end"),
    [("+++", "\t", "!"), ("", "\n", " "), ("%", "\t", "!"), ("% a\n%", "\t", "!"), ("{\n", "\n", "x"), ("---\na: [\nb", " ", "\n---\n")],
)  # fmt: skip
def test_time_grows_no_faster_than_white_space(lead: str, pump: str, end: str) -> None:
    def read(times: int) -> None:
        with suppress(ValueError):
            split_front_matter(lead + pump * times + end)

    assert growth(read, 5_000, 4) < 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\nbuild:\n  render: never\n---\nA\n", "not published"),
        ("+++\n[_build]\nrender = false\n+++\nA\n", "not published"),
        ("---\nheadless: true\n---\nA\n", "not published"),
        ("---\npermalink: false\n---\nA\n", "not published"),
        ("---\nnoPublish: true\n---\nA\n", "not published"),
        ("---\ndg-publish: false\n---\nA\n", "not published"),
        ("public:: false\n\nA\n", "not published"),
        ("---\npassword: gull\n---\nA\n", "behind a password"),
        ("---\nprotected: true\n---\nA\n", "behind a password"),
        ("---\nexpiryDate: 2001-02-03\n---\nA\n", "no longer published"),
        (".. title: X\n.. tags: sea, draft\n\nA\n", "draft"),
        (".. title: X\n.. tags: private\n\nA\n", "private"),
        ("---\nstage: draft\n---\nA\n", "draft"),
        ("---\npassword: ''\nheadless: false\nbuild: {list: never}\npermalink: /x/\n---\nA\n", None),
    ],
)
def test_what_a_builder_would_not_show_was_never_published(text: str, reason: str | None) -> None:
    assert describe(split_front_matter(text)[0]).left_out == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"writer": "Kim Other"},
        {"guest_author": "Kim Other"},
        {"writtenBy": "Kim Other"},
        {"extra": {"author": "Kim Other"}},
        {"params": {"author": {"name": "Kim Other"}}},
        {"taxonomies": {"authors": ["Kim Other"]}},
        {"author": [{"name": {"given": "Kim", "family": "Other"}}]},
    ],
)
def test_a_byline_is_found_wherever_a_builder_has_it(fields: dict[str, object]) -> None:
    assert "Kim Other" in describe(fields).authors
