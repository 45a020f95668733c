"""Paths that tell by themselves that a file is somebody else's words or code, and paths that don't."""

import pytest

from twin_assets.feature.crawl.formats.not_own import not_own_reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("node_modules/left-pad/index.js", "vendored"),
        ("site/js/jquery-1.8.3.js", "vendored"),
        ("static/jquery.fancybox.js", "vendored"),
        ("assets/d3.v7.2.min.js", "vendored"),
        ("src/third_party/zlib/inflate.c", "vendored"),
        ("gradlew", "vendored"),
        ("api/tide_pb2.py", "generated"),
        ("CODE_OF_CONDUCT.md", "code of conduct"),
        ("docs/code-of-conduct.de.md", "code of conduct"),
        ("LICENSE", "licence text"),
        ("LICENSE.md", "licence text"),
        ("LICENCE-MIT.txt", "licence text"),
        ("LICENSE.APACHE", "licence text"),
        ("COPYING.LESSER", "licence text"),
        ("LICENSES/CC-BY-4.0.txt", "licence text"),
        (".github/ISSUE_TEMPLATE/bug_report.md", "form of a forge"),
        ("pull_request_template.md", "form of a forge"),
        ("SECURITY.md", "form of a forge"),
        ("CHANGELOG.md", "changelog"),
        ("HISTORY.rst", "changelog"),
        ("AUTHORS", "list of people"),
        ("AGENTS.md", "instructions to a tool"),
    ],
)
def test_what_every_project_carries_is_not_its_owners(path: str, reason: str) -> None:
    assert not_own_reason(path) == reason


@pytest.mark.parametrize(
    "path",
    [
        "README.md", "src/tide.py", "notes/history.md", "posts/licence-to-sail.md", "posts/licensing.md",
        "posts/2020-01-02-security.markdown-is-hard.md", "src/issue.py", "src/notice.py", "posts/issue.md",
        "src/react.py", "posts/react.md", "posts/jquery-is-old.md", "notes/changes.md", "posts/security.md", "notes/notice.md", "copyright.md", "posts/news.md", "src/security.py",
        "src/vendor.py", "posts/pr.md", "src/license_check.py", "CONTRIBUTING.md", "src/chart.ts",
    ],
)  # fmt: skip
def test_own_writing_with_a_like_name_is_kept(path: str) -> None:
    assert not_own_reason(path) is None
