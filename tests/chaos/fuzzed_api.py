"""Requests that schemathesis makes of both services' OpenAPI, fitting and unfitting, and bodies that no schema makes: no
answer may be a 5xx, none may fail to come or be another than the document says, with and without a key. 503 with
Retry-After, which is a refusal, is counted.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as documented

from serving.access.keys import ACTIONS, Keys
from tests.chaos.report import Part
from tests.serving.site_double import SiteDouble
from tests.serving.twin_server import twin
from twin_assets.core.storage.lake import open_lake

FULL, SHORT = 10_000, 240
SECONDS = 60.0  # an answer that takes longer does not come
NAMES = ("runa", "ola", "nobody")
# An answer is as the document says: its status, type, headers and body.
CONFORMS = [
    documented.status_code_conformance,
    documented.content_type_conformance,
    documented.response_headers_conformance,
    documented.response_schema_conformance,
]
# What no schema makes: bodies that are no JSON, or of a kind that a parser may choke on.
BODIES: dict[str, bytes] = {
    "nothing": b"", "cut short": b'{"model": "runa", "mess', "no text": b"\xff\xfe\x00\x80", "zero bytes": b"\x00" * 64,
    "a lone surrogate": b'{"model": "runa", "persona": "runa", "topic": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "a huge number": b'{"model": "runa", "persona": "runa", "topic": "x", "seed": 1e400, "max_tokens": 1e400, "messages": [{"role": "user", "content": "x"}]}',
    "a long number": b'{"model": "runa", "persona": "runa", "topic": "x", "seed": 1' + b"0" * 5000 + b', "messages": [{"role": "user", "content": "x"}]}',
    "no number": b'{"model": "runa", "persona": "runa", "topic": "x", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
    "deep": b"[" * 50_000, "deep objects": b'{"a":' * 20_000, "a list": b"[]", "a word": b'"runa"', "null": b"null",
    "twice the same name": b'{"model": "runa", "model": ["runa"], "persona": "runa", "persona": {}, "messages": [], "messages": 3}',
    "byte order mark": b'\xef\xbb\xbf{"model": "runa"}',
}  # fmt: skip
TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "",
    "a/b; charset=\x7f",
)


def run(part: Part) -> None:
    access = logging.getLogger("twin.access")  # which has a line for every request
    access.addFilter(_quiet)
    try:
        _run(part, FULL if part.full else SHORT)
    finally:
        access.removeFilter(_quiet)


def _run(part: Part, cases: int) -> None:
    with SiteDouble() as site:
        with twin(_folder(part, "open"), **SETTINGS) as (server, _):
            fuzz(part, "twin, open", server.url, f"{server.url}/docs.json", cases // 4, {}, site.address)
        with twin(_folder(part, "keys"), **SETTINGS) as (server, _):
            token, _ = Keys(open_lake(server.settings)).create("chaos", ["*"], list(ACTIONS))
            key = {"Authorization": f"Bearer {token}"}
            _fresh(server.url)
            fuzz(
                part, "twin, with a key", server.url, f"{server.url}/docs.json", cases // 4, key, site.address
            )
            fuzz(
                part,
                "twin, without its key",
                server.url,
                f"{server.url}/docs.json",
                cases // 10,
                {},
                site.address,
                key,
            )
        if part.full:
            with _llm(part) as url:
                # BentoML's own /docs.json is an OpenAPI 3.0 with parts of 3.1; the application's says what it is.
                fuzz(
                    part,
                    "llm",
                    url,
                    f"{url}/openapi.json",
                    cases - cases // 2 - cases // 10,
                    {},
                    site.address,
                )


SETTINGS: dict[str, Any] = {
    "rate_per_minute": 0, "rate_per_minute_address": 0, "link_private_hosts": True, "local_audience": "private",
}  # fmt: skip


def _quiet(record: logging.LogRecord) -> bool:
    return False


def _folder(part: Part, name: str) -> Path:
    folder = part.home / name
    folder.mkdir()
    return folder


def _fresh(url: str) -> None:
    """Until the service knows of its keys."""
    while requests.get(f"{url}/v1/models", timeout=SECONDS).status_code != 401:
        pass


@contextmanager
def _llm(part: Part) -> Iterator[str]:
    """The LLM service as it runs, with a tiny model released."""
    from tests.e2e.released_twin import ReleasedTwin
    from tests.e2e.web_browser import LLM, services

    home = _folder(part, "llm")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWIN_HOME", str(home))
        released = ReleasedTwin(home)
    with services(released, LLM) as url:
        yield url


def fuzz(
    part: Part, name: str, url: str, schema_url: str, cases: int, headers: dict[str, str], site: str,
    schema_key: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """So many cases in equal shares for every operation, half of them fitting; then the bodies that no schema makes."""
    raw = requests.get(schema_url, headers=schema_key or headers, timeout=SECONDS).json()
    operations = [o.ok() for o in schemathesis.openapi.from_dict(raw).get_all_operations()]
    operations = [o for o in operations if o.path.startswith(("/v1", "/health", "/ready"))]
    part.note(f"{name}: {len(operations)} operations")
    statuses: Counter[str] = Counter()
    for number, operation in enumerate(operations):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            share = max(cases // len(operations) // 2, 1)
            strategy = operation.as_strategy(generation_mode=mode)

            @hypothesis.seed(part.seed * 1000 + number)
            @hypothesis.settings(
                max_examples=share, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @hypothesis.given(case=strategy, steer=hypothesis.strategies.randoms(use_true_random=False))
            def ask(case: Any, steer: Any) -> None:
                case.body = _towards(case.body, steer, site)
                _send(part, name, case, url, headers, statuses)

            try:
                ask()
            except hypothesis.errors.Unsatisfiable:
                continue  # an operation without parameters has no unfitting request
    for operation in (o for o in operations if o.method.upper() == "POST"):
        for what, body in BODIES.items():
            for kind in TYPES if part.full else TYPES[:2]:
                _post(part, f"{name}: {operation.path}, {what} as {kind!r}", f"{url}{operation.path}", body, headers | {"Content-Type": kind}, statuses)  # fmt: skip
    alive = requests.get(
        f"{url}/{'readyz' if name == 'llm' else 'health'}", headers=schema_key or headers, timeout=SECONDS
    )
    if alive.status_code != 200:
        part.broken.append(f"{name}: afterwards its health is {alive.status_code}")
    part.note(f"{name}: {dict(sorted(statuses.items()))}")


def _towards(body: Any, steer: Any, site: str) -> Any:
    """The body with a persona that there is, more often than chance would have it, and no address but a local one."""
    if isinstance(body, dict):
        body = {k: _towards(v, steer, site) for k, v in body.items()}
        for field in ("model", "persona"):
            if isinstance(body.get(field), str) and steer.random() < 0.7:
                body[field] = steer.choice(NAMES)
    elif isinstance(body, list):
        body = [_towards(v, steer, site) for v in body]
    elif isinstance(body, str) and ":" in body and "/" in body:
        body = f"{site}/article"
    return body


def _send(
    part: Part, name: str, case: Any, url: str, headers: dict[str, str], statuses: Counter[str]
) -> None:
    where = f"{name}: {case.method} {case.path}"
    try:
        answer = case.call(base_url=url, headers=headers, timeout=SECONDS)
    except (requests.exceptions.InvalidHeader, UnicodeError, ValueError):
        statuses["not sent"] += 1  # what the client itself refuses to send
        return
    except Exception as error:
        _no_answer(part, where, error, case.body)
        return
    _judge(part, where, answer.status_code, dict(answer.headers), answer.content, case.body, statuses)
    try:
        case.validate_response(answer, checks=CONFORMS, headers=headers)
    except FailureGroup as found:
        part.broken += [
            f"{where}: {one.title} ({answer.status_code}): {one.message[:300]}" for one in found.exceptions
        ]


def _post(
    part: Part, where: str, url: str, body: bytes, headers: dict[str, str], statuses: Counter[str]
) -> None:
    try:
        answer = requests.post(url, data=body, headers=headers, timeout=SECONDS)
    except (requests.exceptions.InvalidHeader, UnicodeError):
        return
    except Exception as error:
        _no_answer(part, where, error, body[:200])
        return
    _judge(part, where, answer.status_code, dict(answer.headers), answer.content, body[:200], statuses)


def _judge(
    part: Part, where: str, status: int, headers: dict[str, Any], content: bytes, body: Any, statuses: Counter[str]
) -> None:  # fmt: skip
    part.tried[f"requests to {where.split(':')[0]}"] += 1
    statuses[str(status)] += 1
    refusal = status == 503 and any(name.lower() == "retry-after" for name in headers)
    if status >= 500 and not refusal:
        part.broken.append(f"{where}: {status} {content[:200]!r} to {str(body)[:300]}")


def _no_answer(part: Part, where: str, error: Exception, body: Any) -> None:
    part.tried[f"requests to {where.split(':')[0]}"] += 1
    part.broken.append(f"{where}: no answer, {type(error).__name__}: {str(error)[:200]} to {str(body)[:300]}")
