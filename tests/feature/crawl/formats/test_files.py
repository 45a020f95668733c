"""Single files of every kind: their text, in whatever encoding, and what they say about themselves."""

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest

from tests.feature.crawl.writing import docx
from twin_assets.feature.corpus.cleaning.markdown import markdown_blocks
from twin_assets.feature.crawl.formats.text.encodings import decode_text
from twin_assets.feature.crawl.formats.text.files import read_file, unread_reason

GERMAN = "Die Fähre fährt heute später, weil das Wasser über der Brücke steht. Jörg hört zu und lächelt müde."
SPANISH = (
    "El año pasado la marea subió más que nunca; el señor Núñez esperó ahí, mañana y tarde, en el muelle."
)
RUSSIAN = "Приливы сегодня опаздывают, и никто не передвинул лодки. Мы стояли и смотрели, как они уплывают."
POLISH = "Zażółć gęślą jaźń. Przypływ był wyższy niż zwykle i łódki odpłynęły, a nikt nie wiedział dokąd."
JAPANESE = "今日は潮が満ちるのが遅く、誰も船を動かしていなかった。私たちは立って見ていた。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "latin-1"), (GERMAN, "cp1252"), (GERMAN, "utf-8-sig"), (GERMAN, "utf-16"), (SPANISH, "latin-1"), (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"), (POLISH, "cp1250"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp"), (JAPANESE, "iso2022_jp"), (JAPANESE, "utf-8"),
    ],
)  # fmt: skip
def test_an_undeclared_encoding_is_told(text: str, encoding: str) -> None:
    assert decode_text(f"---\ntitle: x\n---\n\n{text}\n".encode(encoding)).endswith(f"\n{text}\n")


@pytest.mark.parametrize(
    "declared",
    [
        '<meta charset="iso-8859-2">',
        "<?xml version='1.0' encoding='ISO-8859-2'?>",
        ".. -*- coding: iso-8859-2 -*-",
    ],
)
def test_a_declared_encoding_is_believed(declared: str) -> None:
    assert decode_text(f"{declared}\n{POLISH}".encode("iso-8859-2")) == f"{declared}\n{POLISH}"


def test_utf_8_is_utf_8_under_an_old_declaration_and_bytes_are_no_text() -> None:
    page = f'<meta charset="iso-8859-1"><p>{GERMAN}'
    assert decode_text(page.encode()) == page
    for data in (bytes(range(256)) * 20, b"\xff\xfe\x00\xd8\x00", b"\x00\x01\x02" * 99):
        with pytest.raises(ValueError, match=r"encoding|UTF"):
            decode_text(data)


RST = """Low water
=========

:date: 2010-10-03
:author: Ada Example

Some *text* with ``code``, :ref:`the tide
<tide>` and :func:`os.path` [1]_.

.. toctree::
   :maxdepth: 2

   other

.. note:: Mind the tide.

.. code-block:: python

   x = 1

.. [1] A note.
"""
ORG = """#+TITLE: Low water
#+AUTHOR: Ada Example
#+DATE: <2010-10-03 Sun>

* TODO Ropes :boats:
:PROPERTIES:
:ID: 7
:END:
Some /text/ with ~code~ and [[https://x.example][the tide]].
# a comment
#+begin_src python
x = 1
#+end_src
** Later :noexport:
no
"""
ADOC = """= Low water
Ada Example <ada@x.example>
v1.0, 2010-10-03
:toc:

Some _text_ with `code` and https://x.example[the tide].footnote:[A note.]

[source,python]
----
x = 1
----

// a comment
include::other.adoc[]

== Ropes

* one
** two
"""
MDX = """---
title: Low water
author: Ada Example
date: 2010-10-03
---
import Chart from '../chart'
export const year = 2010

Some *text* with `{code}` and <Tip text="x">the tide</Tip> in {year}{/* ask Tam */}.

<Chart
  data={[1, 2]}
/>

```python
x = 1
```
"""
NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "metadata": {"language_info": {"name": "python"}},
        "cells": [
            {"cell_type": "raw", "source": ["---\n", "title: Low water\n", "author: Ada Example\n", "date: 2010-10-03\n", "---"]},
            {"cell_type": "markdown", "source": ["Some *text* with `code` and [the tide](t.md)."]},
            {"cell_type": "code", "source": "x = 1", "outputs": [{"text": ["secret output"]}], "metadata": {}},
            {"cell_type": "code", "source": "#| echo: false\ny = 2", "outputs": [], "metadata": {}},
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "source"),
    [("a.rst", RST), ("a.org", ORG), ("a.adoc", ADOC), ("a.mdx", MDX), ("a.ipynb", NOTEBOOK)],
)
def test_other_markup_is_read_as_it_is_shown(name: str, source: str) -> None:
    found = read_file(name, source.encode())
    assert (found.title, found.authors[0], found.mime) == ("Low water", "Ada Example", "text/markdown")
    assert found.published_at == datetime(2010, 10, 3, tzinfo=UTC)
    blocks = markdown_blocks(found.body)
    assert any(block.startswith("Some *text* with `") and "the tide" in block for block in blocks)
    assert "```python\nx = 1\n```" in blocks
    text = "\n".join(blocks)
    for hidden in (
        "toctree",
        "other",
        "comment",
        "noexport",
        "Later",
        "PROPERTIES",
        "TODO",
        "boats",
        "import",
        "export",
        "Chart",
    ):
        assert hidden not in text
    for hidden in ("ask Tam", "secret output", "y = 2", "<", "x.example", "]("):
        assert hidden not in text


def test_what_is_no_notebook_is_an_error() -> None:
    for source in ("[]", "{}", '{"cells": [1]}', '{"cells": 1}', "x"):
        with pytest.raises(ValueError, match="not a Jupyter notebook"):
            read_file("a.ipynb", source.encode())


def test_a_word_file_is_read_as_word_shows_it() -> None:
    found = read_file(
        "2010-10-03 Low water.docx",
        docx(
            '<w:p><w:pPr><w:pStyle w:val="heading1"/></w:pPr><w:r><w:t>Ropes</w:t></w:r></w:p>'
            '<w:p><w:r><w:t xml:space="preserve">Coil </w:t></w:r><w:ins w:id="1" w:author="Ada"><w:r><w:t>them dry</w:t></w:r></w:ins>'
            '<w:del w:id="2" w:author="Kim"><w:r><w:delText>wet</w:delText></w:r></w:del><w:r><w:t>.</w:t></w:r></w:p>'
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>k</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>v</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        ),
    )
    assert (found.title, found.published_at) == ("Ropes", datetime(2010, 10, 3, tzinfo=UTC))
    assert markdown_blocks(found.body) == ["## Ropes", "Coil them dry.", "k | v"]
    with pytest.raises(ValueError, match="broken file"):
        read_file("a.docx", b"PK no zip")


@pytest.mark.parametrize("suffix", [".epub", ".odt", ".rtf"])
def test_books_and_office_files_are_read(suffix: str) -> None:
    from twin_assets.feature.crawl.formats.text.pandoc import _pandoc

    made = _pandoc(
        b"# Ropes\n\nCoil *them*.[^1]\n\n[^1]: Dry.",
        "--from",
        "markdown",
        "--to",
        suffix[1:],
        "--standalone",
        "--output=-",
    )
    blocks = markdown_blocks(read_file(f"a{suffix}", made).body)
    noted = [] if suffix == ".rtf" else ["Dry."]  # pandoc reads no notes of RTF
    assert blocks[-2 - len(noted) :] == ["## Ropes", "Coil *them*.", *noted]


def test_a_page_of_a_jekyll_site_has_fields_and_loses_its_tags() -> None:
    page = (
        "---\nlayout: post\ntitle: Low water\nauthor: Ada Example\n---\n<p>A {{ page.x }}b.</p>\n"
        "{% include ad.html %}\n{% highlight python %}\nx < 1\n{% endhighlight %}\n{% for p in site.posts %}<li>{{ p }}</li>{% endfor %}"
    )
    found = read_file("2021-9-1-late.html", page.encode())
    assert (found.title, found.authors, found.mime) == ("Low water", ["Ada Example"], "text/html")
    assert found.published_at == datetime(2021, 9, 1, tzinfo=UTC)
    assert found.body.split("\n", 1)[0] == "<p>A b.</p>"
    assert "<pre><code>x &lt; 1</code></pre>" in found.body
    assert "{" not in found.body
    assert "layout" not in found.body


@pytest.mark.parametrize(
    ("name", "title", "day"),
    [
        ("2021-9-1-late.md", "late", (2021, 9, 1)), ("posts/2021-09-01-low-water/index.md", "low water", (2021, 9, 1)),
        ("2021/09/low-water.md", "low water", (2021, 9, 1)), ("2021/9/17/low_water.md", "low water", (2021, 9, 17)),
        ("posts/2021/09-01-low-water.md", "09-01-low-water", (2021, 9, 1)), ("20210901 Low-water mark.md", "Low-water mark", (2021, 9, 1)), ("journal/2021-09-01.md", "2021-09-01", (2021, 9, 1)),
        ("2021-99-99-odd.md", "odd", None), ("boats-2021.md", "boats 2021", None),
    ],
)  # fmt: skip
def test_names_and_folders_tell_title_and_day(
    name: str, title: str, day: tuple[int, int, int] | None
) -> None:
    found = read_file(name, b"Text.\n")
    assert found.title == title
    assert found.published_at == (datetime(*day, tzinfo=UTC) if day else None)


@pytest.mark.parametrize(
    "body",
    [
        "# The *tide* [is](x.md) late\n\nA",
        "The *tide* is late\n====\n\nA",
        "![x](y.png)\n\n# The *tide* is late\n",
    ],
)
def test_the_first_heading_is_the_title(body: str) -> None:
    assert read_file("a.md", body.encode()).title == "The *tide* is late"


def test_kinds_without_a_reader_are_told_from_pictures_and_programs() -> None:
    prose = b"So it went on, and nobody had moved the boats before the tide came in over the flats. " * 9
    assert unread_reason(PurePosixPath("a.tape"), prose) == "cannot read .tape files"
    assert unread_reason(PurePosixPath("a.pages"), b"PK\x03") == "cannot read .pages files"
    assert unread_reason(PurePosixPath("notes"), prose) == "cannot read files without a suffix"
    for name, head in (
        ("a.png", prose),
        ("a.zzz", b"\x00\x01" * 99),
        ("Makefile", b"all:\n\tcc -o x x.c\n" * 9),
    ):
        assert unread_reason(PurePosixPath(name), head).startswith("no text")


def test_a_text_past_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than 5 MB"):
        read_file("a.md", b"x" * 5_000_001)


@pytest.mark.parametrize("name", ["tide-2020-01-02.md", "2020年1月2日.md", "2020-01-02 tide.md"])
def test_a_day_is_found_at_both_ends_of_a_name(name: str) -> None:
    assert read_file(name, b"A\n").published_at == datetime(2020, 1, 2, tzinfo=UTC)
