"""GitHub and GitLab as they are: empty and closed repositories, odd entries, other names, forms, vendored files."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.sites.answers import Answer
from tests.feature.crawl.spiders.forges.forge_sites import DATE, OTHER, GitHubSite, GitLabSite, Repo
from tests.feature.crawl.writing import crawl, settings, stored
from twin_assets.core.persona.definition import GitHub, GitLab, Persona

CODE = b"def tide() -> int:\n    return 3\n"
README = b"# tidelog\n\nIt reads tides.\n"


def casey(site: GitHubSite | GitLabSite, **more: Any) -> Persona:
    given: dict[str, Any] = {"full_name": "Casey Example", "also_known_as": ["c.e@clock.example"]} | more
    part: dict[str, Any] = (
        {"github": GitHub(user=site.user, api=site.url, **given.pop("source", {}))}
        if isinstance(site, GitHubSite)
        else {"gitlab": GitLab(user=site.user, api=site.url, **given.pop("source", {}))}
    )
    return Persona(name="runa", about="Clocks.", license="CC0", **part, **given)


def issue(number: int, body: str | None, user: str = "casey", **more: Any) -> dict[str, Any]:
    row = {"id": 70 + number, "number": number, "title": f"Issue {number}", "body": body, "created_at": DATE}
    return row | {"user": {"login": user}, "html_url": f"https://github.com/casey/x/issues/{number}"} | more


def names(here: Any, source: str) -> set[str]:
    return {item.item_id for item in stored(here, source) if item.kind == "item"}


# One odd part or item of a source never fails it.


def test_an_empty_repository_and_issues_switched_off_are_counted_and_deletions_are_seen(
    tmp_path: Path,
) -> None:
    here = settings(tmp_path)
    repos = {
        "clock": Repo({"a.py": CODE, "b.py": CODE + b"\n"}),
        "empty": Repo(),
        "quiet": Repo({"c.py": b"x = 1\n"}),
    }
    with GitHubSite("casey", repos) as site:
        site.answers["/repos/casey/quiet/issues"] = Answer.json({"message": "Issues are disabled"}, 410)
        first = crawl(here, casey(site), "github")
        del repos["clock"].files["b.py"]
        second = crawl(here, casey(site), "github")
    assert (first.error, first.new, first.deleted) == (None, 3, 0)
    assert (first.skipped["empty repository"], first.skipped["issues are switched off"]) == (1, 1)
    assert "/repos/casey/empty/git/trees/main" in first.left_out["empty repository"][0]
    assert (second.error, second.deleted, second.items) == (None, 1, 2)
    assert second.not_modified > 0


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/repos/casey/odd/git/trees/*", Answer.json({"message": "Repository access blocked"}, 451)),
        ("/repos/casey/odd/git/trees/*", Answer.json({"message": "Not Found"}, 404)),
        ("/repos/casey/odd/git/trees/*", Answer.json({"message": "Server Error"}, 500)),
        ("/repos/casey/odd/git/trees/*", Answer.json(["no tree"])),
        ("/repos/casey/odd/issues*", Answer.json({"message": "Resource not accessible by token"}, 403)),
    ],
    ids=["451", "404", "500", "no tree", "403"],
)
def test_a_part_that_cannot_be_read_keeps_its_items_and_the_rest_is_complete(
    tmp_path: Path, path: str, answer: Answer
) -> None:
    here = settings(tmp_path)
    repos = {
        "clock": Repo({"a.py": CODE, "b.py": b"y = 2\n"}),
        "odd": Repo({"c.py": b"x = 1\n"}, issues=[issue(1, "Late.")]),
    }
    with GitHubSite("casey", repos) as site:
        first = crawl(here, casey(site), "github")
        del repos["clock"].files["b.py"]
        site.answers[path] = answer
        second = crawl(here, casey(site), "github")
        site.answers.clear()
        repos["odd"].files["c.py"] = b"x = 2\n"
        third = crawl(here, casey(site), "github")
    assert (first.error, first.new) == (None, 4)
    assert (second.error, second.deleted, second.items) == (None, 1, 3)
    assert sum(second.skipped.values()) >= 1
    assert (third.error, third.changed, third.deleted) == (None, 1, 0)  # no old answer vouches for it


def test_a_repository_without_a_branch_is_empty_and_one_with_a_lost_branch_is_read_at_its_head(
    tmp_path: Path,
) -> None:
    here = settings(tmp_path)
    repos = {
        "new": Repo(more={"default_branch": None}),
        "moved": Repo({"a.py": CODE}, more={"default_branch": "gone"}),
        "odd name.js": Repo({"a b#c.py": b"z = 1\n"}, more={"archived": True}),
    }
    with GitHubSite("casey", repos) as site:
        site.answers["/repos/casey/moved/git/trees/gone"] = Answer.json({"message": "Not Found"}, 404)
        report = crawl(here, casey(site), "github")
    assert (report.error, report.skipped["empty repository"]) == (None, 1)
    assert names(here, "github") == {"casey/moved/blob/a.py", "casey/odd name.js/blob/a b#c.py"}


def test_a_tree_that_github_cuts_short_is_walked_by_folders_and_vendored_ones_are_not(tmp_path: Path) -> None:
    here = settings(tmp_path)
    files = {"a.py": CODE, "src/b.py": b"b = 1\n", "src/in/c.py": b"c = 1\n", "node_modules/d.js": b"d = 1\n"}
    with GitHubSite("casey", {"big": Repo(files, truncated=True)}) as site:
        first, second = crawl(here, casey(site), "github"), crawl(here, casey(site), "github")
        assert not any("node_modules" in path for path in site.asked)
        del files["src/b.py"]
        third = crawl(here, casey(site), "github")
    assert names(here, "github") == {f"casey/big/blob/{p}" for p in ("a.py", "src/b.py", "src/in/c.py")}
    assert (first.error, second.new, second.deleted) == (None, 0, 0)
    assert (third.error, third.deleted) == (None, 1)


def test_links_submodules_pointers_and_binaries_are_counted_by_kind(tmp_path: Path) -> None:
    here = settings(tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    files = {
        "a.py": CODE,
        "link.py": b"a.py",
        "sub.py": b"-",
        "big.sql": pointer,
        "odd.py": b"\0\1\2",
        "no.py": b" \n",
    }
    modes = {"link.py": "120000", "sub.py": "160000"}
    with GitHubSite("casey", {"clock": Repo(files, modes=modes)}) as site:
        report = crawl(here, casey(site), "github")
    kinds = ["symbolic link", "submodule", "Git LFS pointer", "binary file", "empty file"]
    assert [report.skipped[kind] for kind in kinds] == [1] * 5
    assert (report.error, names(here, "github")) == (None, {"casey/clock/blob/a.py"})


def test_files_in_old_encodings_are_decoded(tmp_path: Path) -> None:
    here = settings(tmp_path)
    texts = {
        "fr.md": ("Le café est fermé, hélas.", "latin-1"),
        "ru.md": ("Часы отстают на четыре минуты.", "cp1251"),
    }
    files = {path: text.encode(encoding) for path, (text, encoding) in texts.items()}
    with GitHubSite("casey", {"clock": Repo(files)}) as site:
        report = crawl(here, casey(site), "github")
    assert report.error is None
    assert {i.body for i in stored(here, "github")} == {text for text, _ in texts.values()}


def test_an_odd_row_of_a_list_is_counted_and_its_neighbours_are_read(tmp_path: Path) -> None:
    here = settings(tmp_path)
    rows = [
        issue(1, "First."),
        None,
        {"user": {"login": "casey"}, "id": 9, "body": "No number."},
        issue(2, "Second."),
    ]
    with GitHubSite("casey", {"clock": Repo({"a.py": CODE}, issues=rows)}) as site:
        report = crawl(here, casey(site), "github")
    assert (report.error, report.new, report.skipped["unreadable row"]) == (None, 3, 2)
    assert "row 9" in report.left_out["unreadable row"][1]


def test_a_repository_whose_row_is_odd_keeps_its_items_and_deletions_in_others_are_seen(
    tmp_path: Path,
) -> None:
    here = settings(tmp_path)
    repos = {
        "clock": Repo({"a.py": CODE, "b.py": b"y = 2\n"}),
        "odd": Repo({"c.py": b"x = 1\n"}),
        "pier": Repo({"d.py": b"d\n"}),
    }
    with GitHubSite("casey", repos) as site:
        crawl(here, casey(site), "github")
        del repos["clock"].files["b.py"]
        rows = [site._repo("clock"), {"name": "odd"}, site._repo("pier")]
        site.answers["/users/casey/repos"] = Answer.json(rows)
        report = crawl(here, casey(site), "github")
    assert (report.error, report.deleted, report.skipped["unreadable row"]) == (None, 1, 1)
    assert report.items == 3


def test_a_repository_that_is_out_of_reach_for_now_is_not_taken_for_empty(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with GitHubSite("casey", {"clock": Repo({"a.py": CODE}), "odd": Repo({"c.py": b"x = 1\n"})}) as site:
        crawl(here, casey(site), "github")
        site.answers["/repos/casey/odd/git/trees/main"] = Answer.json(
            {"message": "Git Repository is unavailable"}, 409
        )
        report = crawl(here, casey(site), "github")
    assert (report.error, report.deleted, report.skipped["HTTP 409"]) == (None, 0, 1)


def test_more_than_half_of_the_files_failing_is_an_error_and_half_of_them_is_not(tmp_path: Path) -> None:
    files = {f"{n}.py": f"x = {n}\n".encode() for n in range(4)}
    for failing, fine in ((2, True), (3, False)):
        here = settings(tmp_path / str(failing))
        repo = Repo(dict(files))
        with GitHubSite("casey", {"clock": repo}) as site:
            odd = [site._tree(repo, "main", True)["tree"][n]["sha"] for n in range(failing)]
            for sha in odd:
                site.answers[f"/repos/casey/clock/git/blobs/{sha}"] = Answer.json({"message": "odd"}, 500)
            report = crawl(here, casey(site), "github")
        assert (report.error is None) is fine
        assert (report.new, report.skipped["HTTP 500"]) == (4 - failing, failing)
        assert fine or "3 of 4 items could not be read, more than half" in (report.error or "")


def test_a_limit_that_names_its_end_is_waited_out_and_one_that_stays_is_an_error(tmp_path: Path) -> None:
    here = settings(tmp_path)
    slow = Answer(
        403, {"Retry-After": "1", "Content-Type": "application/json"}, b'{"message": "secondary rate limit"}'
    )
    with GitHubSite("casey", {"clock": Repo({"a.py": CODE, "b.py": b"y = 1\n"})}) as site:
        good = crawl(here, casey(site), "github")
        site.answers["/repos/casey/clock/git/trees/main"] = slow
        report = crawl(here, casey(site), "github")
        assert sum("git/trees" in path for path in site.asked) >= 3
    assert good.error is None
    assert "asks to slow down" in (report.error or "")
    assert report.deleted == 0


# Whose words they are.


@pytest.mark.parametrize(
    "signed",
    [
        (None, "Casey Example", "nobody@else.example"),
        (None, "cex", "c.e@clock.example"),
        (None, "cex", "123+casey@users.noreply.github.com"),
        ("casey", "cex", "cex@home"),
    ],
    ids=["name", "address", "hidden address", "account"],
)
def test_a_commit_is_the_personas_by_account_name_or_address(
    tmp_path: Path, signed: tuple[str | None, str, str]
) -> None:
    here = settings(tmp_path)
    repo = Repo({"a.py": CODE, "b.py": b"y = 1\n"}, signed={"a.py": signed, "b.py": OTHER})
    with GitHubSite("casey", {"clock": repo}) as site:
        report = crawl(here, casey(site), "github")
    assert (report.error, report.skipped["no commit by the persona"]) == (None, 1)
    assert names(here, "github") == {"casey/clock/blob/a.py"}
    assert stored(here, "github")[0].published_at == datetime(2024, 3, 1, 8, tzinfo=UTC)


def test_gitlab_commits_are_matched_by_full_name_and_address_although_the_account_is_called_otherwise(
    tmp_path: Path,
) -> None:
    here = settings(tmp_path)
    signed = {
        "a.py": (None, "Casey Example", "old@home.example"), "b.py": (None, "cex", "c.e@clock.example"),
        "c.py": OTHER,
    }  # fmt: skip
    files = {"a.py": CODE, "b.py": b"y = 1\n", "c.py": b"z = 1\n"}
    with GitLabSite("harbourmaster", {"clock": Repo(files, signed=signed)}) as site:
        report = crawl(here, casey(site), "gitlab")
    assert (report.error, report.skipped["no commit by the persona"]) == (None, 1)
    assert names(here, "gitlab") == {"harbourmaster/clock/blob/a.py", "harbourmaster/clock/blob/b.py"}


def test_gitlab_projects_that_are_empty_closed_or_of_a_group_are_told_apart(tmp_path: Path) -> None:
    here = settings(tmp_path)
    mine = {
        "title": "Late",
        "description": "The clock is late.",
        "author": {"username": "casey"},
        "created_at": DATE,
    }
    repos = {
        "clock": Repo({"a.py": CODE}, issues=[mine | {"iid": 1, "web_url": "https://gitlab.com/i/1", "confidential": True}]),
        "empty": Repo(), "closed": Repo({"b.py": b"b\n"}), "new": Repo(more={"default_branch": None}),
        "harbour/pier": Repo({"c.py": b"c = 1\n"}), "harbour/other": Repo({"d.py": b"d = 1\n"}),
    }  # fmt: skip
    wanted = ["clock", "empty", "closed", "new", "harbour/pier"]
    with GitLabSite("casey", repos) as site:
        site.answers["/projects/2/repository/tree"] = Answer.json({"message": "403 Forbidden"}, 403)
        first = crawl(here, casey(site, source={"projects": wanted}), "gitlab")
        repos["clock"].issues.clear()
        second = crawl(here, casey(site, source={"projects": wanted}), "gitlab")
    assert first.error is None
    assert (first.skipped["empty repository"], first.skipped["repository is switched off"]) == (2, 1)
    items = {item.item_id: item for item in stored(here, "gitlab")}
    assert items.keys() == {"casey/clock/blob/a.py", "casey/clock/issues/1", "harbour/pier/blob/c.py"}
    assert (second.error, second.deleted) == (None, 1)
    assert next(i for i in stored(here, "gitlab") if i.category == "post").visibility == "private"


def test_a_gitlab_name_that_the_server_does_not_take_as_an_address_is_looked_up(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with GitLabSite("casey.e", {"clock": Repo({"a.py": CODE})}) as site:
        site.answers["/users/casey.e/projects"] = Answer.json({"error": "404 Not Found"}, 404)
        site.answers["/users"] = Answer.json([{"id": 7, "username": "casey.e"}])
        site.answers["/users/7/projects"] = Answer.json([site._project(0, "clock")])
        report = crawl(here, casey(site), "gitlab")
        site.answers["/users"] = Answer.json([])
        nobody = crawl(here, casey(site), "gitlab")
    assert (report.error, report.new) == (None, 1)
    assert "gitlab.user" in (nobody.error or "")


def test_a_list_that_names_itself_as_its_next_page_is_read_once(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with GitHubSite("casey", {"clock": Repo({"a.py": CODE})}) as site:
        url = f"{site.url}/repos/casey/clock/issues?state=all&creator=casey&per_page=100"
        looping = Answer.json([issue(1, "Once.")])
        looping.headers["Link"] = f'<{url}>; rel="next"'
        site.answers["/repos/casey/clock/issues"] = looping
        report = crawl(here, casey(site), "github")
        assert sum("/clock/issues?" in path for path in site.asked) == 1
    assert (report.error, report.new) == (None, 2)


def test_what_a_private_repository_holds_is_private(tmp_path: Path) -> None:
    here = settings(tmp_path)
    repos = {
        "open": Repo({"a.py": CODE}),
        "shut": Repo({"b.py": b"b = 1\n"}, issues=[issue(1, "Psst.")], more={"private": True}),
    }
    with GitHubSite("casey", repos) as site:
        crawl(here, casey(site), "github")
        declared = settings(tmp_path / "declared")
        crawl(declared, casey(site, source={"visibility": "public"}), "github")
    assert {i.item_id: i.visibility for i in stored(here, "github")} == {
        "casey/open/blob/a.py": "public", "casey/shut/blob/b.py": "private", "casey/shut/issues/1": "private",
    }  # fmt: skip
    assert {i.visibility for i in stored(declared, "github")} == {"public"}


def test_an_issue_is_kept_without_its_form_and_the_mail_that_it_answers(tmp_path: Path) -> None:
    here = settings(tmp_path)
    form = (
        "<!-- Please read this first -->\n### Describe the bug\nThe clock stops at noon.\n\n### Additional context\n"
        "_No response_\n\n- [x] I have read the contributing guide\n"
    )
    mail = "I think so too.\n\nOn Mon, 2 Mar 2020, Kim wrote:\n> The clock is late.\n> Always.\n"
    quoting = "> The clock is late.\n\nNo, it is early."
    rows = [issue(1, form), issue(2, mail), issue(3, quoting), issue(4, "- [ ] I have read it\n"), issue(5, None),
            issue(6, "Bump clock", "dependabot[bot]")]  # fmt: skip
    rows[5]["user"]["type"] = "Bot"
    with GitHubSite("casey", {"clock": Repo({"a.py": CODE}, issues=rows)}) as site:
        report = crawl(here, casey(site), "github")
    bodies = {i.item_id.rsplit("/", 1)[1]: i.body for i in stored(here, "github") if i.category == "post"}
    assert bodies == {"1": "The clock stops at noon.", "2": "I think so too.", "3": quoting}
    assert (report.error, report.skipped["no text"], report.skipped["by a bot"]) == (None, 2, 1)


def test_files_of_others_in_an_own_repository_are_left_out_and_named(tmp_path: Path) -> None:
    here = settings(tmp_path)
    conduct = (
        b"# Be kind\n\n## Our Pledge\n\nWe pledge...\n\nAdapted from the Contributor Covenant, version 2.1.\n"
    )
    files = {
        "README.md": README, "src/tide.py": CODE, "CODE_OF_CONDUCT.md": conduct, "docs/CONDUCT.md": conduct,
        "node_modules/left/index.js": b"x", "js/jquery-1.8.3.js": b"x", "js/own.js": b"let a = 1;\n",
        "js/slider.js": b"/*! Slider v2.1.0 | (c) Somebody */\nvar a = 1;\n",
        "js/app.js": b"var a=function(b){return b+1};" * 60, "api/client.go": b"// Code generated by gen. DO NOT EDIT.\npackage api\n",
        "LICENSE.md": b"MIT License\n", ".github/ISSUE_TEMPLATE/bug.md": b"**Describe the bug**\n",
    }  # fmt: skip
    with GitHubSite("casey", {"clock": Repo(files)}) as site:
        report = crawl(here, casey(site), "github")
        again = crawl(here, casey(site), "github")
    own = ("README.md", "src/tide.py", "js/own.js")
    assert names(here, "github") == {f"casey/clock/blob/{path}" for path in own}
    assert (again.skipped, again.not_modified) == (report.skipped, 5)  # unchanged lists say it again
    assert {reason: sorted(places) for reason, places in again.left_out.items()} == {
        reason: sorted(places) for reason, places in report.left_out.items()
    }
    assert (report.error, report.skipped["code of conduct"], report.skipped["vendored"]) == (None, 2, 3)
    assert (report.skipped["packed"], report.skipped["generated"]) == (1, 1)
    assert any("jquery-1.8.3.js" in path for path in report.left_out["vendored"])
