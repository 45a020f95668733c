"""Templates: what goes into a page can't become markup, a missing name is an error, and none is left out of the package."""

import re
import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import twin_assets
from twin_assets.core.templates import render
from twin_assets.settings import ROOT

PACKAGE = Path(twin_assets.__file__).parent
NAMED = re.compile(r"""(?:render\(\s*|extends |from |import )"([\w/]+\.(?:html|md))\"""")


def test_what_goes_into_a_page_is_escaped() -> None:
    page = render("evaluation/report/page.html", title="<b>", about="a & 'b'")
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "a &amp; &#39;b&#39;" in page


def test_a_name_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'about' is undefined"):
        render("evaluation/report/page.html", title="t")


def test_every_template_that_is_named_is_there_and_packaged() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packaged = {path for pattern in told["twin_assets"] for path in PACKAGE.glob(pattern)}
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.md")]
    named = {PACKAGE / name for path in sources for name in NAMED.findall(path.read_text())}
    assert len(named) >= 6
    assert named <= packaged
