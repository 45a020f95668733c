"""GitHub's REST API: one repository of the persona's own, one fork, and other people's words."""

import base64
import hashlib
import re
from typing import Any

from demo.sites.answers import Answer, Question, page_of

USER = "runahollis"
REPO = f"{USER}/tidelog"
PAGE = 30
OTHERS = ("third_party/",)  # files whose commits are somebody else's
CREATED = "2022-01-24T20:10:00Z"


def answer(question: Question) -> Answer:
    """The REST answer, with ETag; 401 without a token, as for private data."""
    if not re.match(r"(Bearer|token) \S", question.headers.get("authorization", "")):
        return Answer.json({"message": "Requires authentication"}, 401)
    if question.headers["authorization"].endswith(" expired"):
        return Answer.json({"message": "Bad credentials"}, 401)
    value = _value(question)
    if value is None:
        return Answer.json({"message": "Not Found"}, 404)
    if isinstance(value, list):
        return page_of(question, value, min(int(question.query.get("per_page", PAGE)), PAGE))
    return Answer.json(value).with_etag()


def _value(question: Question) -> Any:
    path, files = question.path, question.writing.files
    if path == f"/users/{USER}/repos":
        return [_repository("tidelog", False), _repository("minidate", True)] if files else []
    if not path.startswith(f"/repos/{REPO}"):
        return None
    rest = path.removeprefix(f"/repos/{REPO}").strip("/")
    if rest == "":
        return _repository("tidelog", False)
    if rest == "git/trees/main":
        entries = [
            {"path": p, "mode": "100644", "type": "blob", "sha": blob_sha(data), "size": len(data)}
            for p, data in files.items()
        ]
        folders = {p.rsplit("/", 1)[0] for p in files if "/" in p}
        entries += [
            {"path": f, "mode": "040000", "type": "tree", "sha": blob_sha(f.encode())}
            for f in sorted(folders)
        ]
        return {"sha": blob_sha(b"".join(files.values())), "tree": entries, "truncated": False}
    if rest.startswith("git/blobs/"):
        sha = rest.removeprefix("git/blobs/")
        return next((_blob(data) for data in files.values() if blob_sha(data) == sha), None)
    if rest.startswith("contents/") or rest == "readme":
        name = "README.md" if rest == "readme" else rest.removeprefix("contents/")
        return _blob(files[name]) | {"path": name, "type": "file"} if name in files else None
    if rest == "commits":
        return _commits(question)
    return _words(question, rest)


def _repository(name: str, fork: bool) -> dict[str, Any]:
    return {
        "id": len(name), "name": name, "full_name": f"{USER}/{name}", "fork": fork, "private": False,
        "default_branch": "main", "owner": {"login": USER}, "created_at": CREATED,
    }  # fmt: skip


def blob_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _blob(data: bytes) -> dict[str, Any]:
    content = base64.encodebytes(data).decode()
    return {"sha": blob_sha(data), "size": len(data), "encoding": "base64", "content": content}


def _commits(question: Question) -> list[Any]:
    path = question.query.get("path", "")
    author = "bquist" if path.startswith(OTHERS) else USER
    if question.query.get("author", author) != author or (path and path not in question.writing.files):
        return []
    who = {"name": author, "date": CREATED}
    return [
        {
            "sha": blob_sha(path.encode()),
            "author": {"login": author},
            "commit": {"author": who, "committer": who, "message": "One more page of the logbook"},
        }
    ]


def _words(question: Question, rest: str) -> Any:
    rows = [_row(n, entry) for n, entry in enumerate(question.writing.issues, 1)]
    if rest == "issues":
        creator = question.query.get("creator")
        return [r for r, k in rows if k != "review_comment" and creator in (None, r["user"]["login"])]
    if rest == "pulls":
        return [r for r, k in rows if k == "pull"]
    if rest == "pulls/comments":
        return [r for r, k in rows if k == "review_comment"]
    return [] if rest == "issues/comments" else None


def _row(number: int, entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
    kind = entry["kind"]
    page = "issues" if kind == "issue" else "pull"
    created = entry["created_at"]
    row: dict[str, Any] = {
        "id": 7_100_000 + number, "number": entry["number"], "state": "closed",
        "body": entry["body"].rstrip("\n"),
        "user": {"login": entry.get("user", USER)},
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(created, "strftime") else created,
        "html_url": f"https://github.com/{REPO}/{page}/{entry['number']}",
    }  # fmt: skip
    if kind == "review_comment":
        row |= {"path": entry.get("path", ""), "html_url": f"{row['html_url']}#discussion_r{row['id']}"}
    else:
        row["title"] = entry["title"]
    if kind == "pull":
        row["pull_request"] = {"url": f"https://api.github.com/repos/{REPO}/pulls/{entry['number']}"}
    return row, kind
