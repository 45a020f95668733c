"""GitLab's REST API v4: the same repository as a project of the persona's own, and a fork."""

import base64
from typing import Any
from urllib.parse import unquote

from demo.sites.answers import Answer, Question, page_of
from demo.sites.github import CREATED, OTHERS, USER, blob_sha

PROJECT, PAGE = 41, 2


def answer(question: Question) -> Answer:
    """The answer of /api/v4; lists come in small pages that the Link header joins."""
    if question.headers.get("authorization") == "Bearer expired":
        return Answer.json({"error": "invalid_token"}, 401)
    value = _value(question)
    if value is None:
        return Answer.json({"message": "404 Not Found"}, 404)
    if not isinstance(value, list):
        return Answer.json(value).with_etag()
    return page_of(question, value, PAGE)


def _value(question: Question) -> Any:
    files = question.writing.files
    if question.path == f"/users/{USER}/projects":
        return [_project(PROJECT, "tidelog"), _project(42, "minidate") | {"forked_from_project": {"id": 1}}]
    rest = question.path.removeprefix(f"/projects/{PROJECT}/repository")
    if rest == question.path:
        return None
    if rest == "/tree":
        return [
            {"id": blob_sha(data), "name": path.rsplit("/", 1)[-1], "type": "blob", "path": path}
            for path, data in files.items()
        ]
    if rest == "/commits":
        path = unquote(question.query.get("path", ""))
        author = "bquist" if path.startswith(OTHERS) else USER
        wanted = question.query.get("author", author) == author
        return [{"id": "c1", "author_name": author, "created_at": CREATED}] if wanted else []
    sha = rest.removeprefix("/blobs/")
    found = next((data for data in files.values() if blob_sha(data) == sha), None)
    if found is None:
        return None
    content = base64.b64encode(found).decode()
    return {"size": len(found), "encoding": "base64", "content": content, "sha": sha}


def _project(number: int, name: str) -> dict[str, Any]:
    return {
        "id": number, "path": name, "path_with_namespace": f"{USER}/{name}", "default_branch": "main",
        "web_url": f"https://gitlab.com/{USER}/{name}",
    }  # fmt: skip
