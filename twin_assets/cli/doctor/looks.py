"""What `twin doctor` looks at: each look says what it found, and where something is wrong how to mend it.

Nothing that is looked at is changed, but that the lake is tried with an object of a moment. No finding has a secret in it.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

import httpx
from pydantic import BaseModel, SecretStr

from twin_assets.core.errors import TwinError
from twin_assets.core.models.hub import patient_hub
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import Persona, load_persona, persona_names
from twin_assets.core.release.bucket import Bucket
from twin_assets.core.release.marks import PAUSED
from twin_assets.core.storage.database import ask, connect
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.addresses import hide_logins
from twin_assets.core.vectors import open_store
from twin_assets.settings import ROOT, Settings

SECONDS = 5.0  # for an answer
FREE_GB, LOW_GB = 1.0, 10.0
HUB, WANDB = "https://huggingface.co", "https://api.wandb.ai"
PERSONAS_ASKED = 20  # of a thousand, those whose sources and index are looked at
PARTS = {"serve": "fastapi", "llm": "torch", "pipeline": "dagster", "train": "axolotl"}

State = Literal["ok", "note", "wrong"]


class Finding(BaseModel):
    """Of one look. A `note` stops nothing: there is a fix where something could be better."""

    look: str
    state: State
    says: str
    fix: str = ""


Look = Callable[[Settings], Iterator[Finding]]


def packages(settings: Settings) -> Iterator[Finding]:
    """The parts that are installed, and what has another version than its pin."""
    del settings
    installed = [part for part, module in PARTS.items() if find_spec(module)]
    missing = sorted(set(PARTS) - set(installed))
    yield Finding(
        look="packages",
        state="ok" if not missing else "note",
        says=f"twin {version('llm-twin-platform')} with {', '.join(installed) or 'no extra'}",
        fix=f"pip install 'llm-twin-platform[{','.join(missing)}]', if this machine is to do that too" if missing else "",
    )  # fmt: skip
    pins = ROOT / "constraints.txt"
    if not pins.is_file():  # an installed wheel has none
        return
    others = [
        told for line in pins.read_text(encoding="utf-8").splitlines() if (told := _other_version(line))
    ]
    if others:
        shown = f"{', '.join(others[:8])}{' and more' if len(others) > 8 else ''}"
        yield Finding(
            look="packages",
            state="note",
            says=f"{len(others)} have another version than was tested: {shown}",
            fix="make install",
        )


def _other_version(pin: str) -> str | None:
    name, _, pinned = pin.partition("==")
    try:
        found = version(name) if pinned else pinned
    except PackageNotFoundError:
        return None  # of an extra that isn't here
    return None if found.partition("+")[0] == pinned else f"{name} {found} ({pinned})"


def disk(settings: Settings) -> Iterator[Finding]:
    """Whether the home can be written, and what room its disk has."""
    home = settings.home
    there = next(folder for folder in (home, *home.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    state: State = "wrong" if free < FREE_GB else "note" if free < LOW_GB else "ok"
    yield Finding(
        look="disk",
        state=state,
        says=f"{free:.1f} GB are free where {home} lies",
        fix="free some space, or set TWIN_HOME to a folder on a larger disk" if state != "ok" else "",
    )


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether the ports of `twin up` are free, or what it started is there."""
    for name, port, path in (
        ("twin", settings.twin_port, "/livez"),
        ("llm", settings.llm_port, "/livez"),
        ("dagster", settings.dagster_port, "/server_info"),
    ):
        if _is_free(port):
            yield Finding(look="ports", state="ok", says=f"{port}, for {name}, is free")
        elif _status(f"http://127.0.0.1:{port}{path}") == 200:
            yield Finding(look="ports", state="ok", says=f"{name} runs on {port}")
        else:
            yield Finding(
                look="ports", state="wrong", says=f"{port}, for {name}, is in use by something else",
                fix=f"stop what listens there, or set TWIN_{name.upper()}_PORT to a free port",
            )  # fmt: skip


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def lake(settings: Settings) -> Iterator[Finding]:
    """Whether lake and bucket of models do what the platform needs of them."""
    yield Finding(look="lake", state="ok", says=open_lake(settings).check())
    if settings.registry_url:
        yield Finding(look="lake", state="ok", says=Bucket(settings).check())


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the database of Dagster and of the limits, if there is one, can be asked."""
    if not settings.database_url:
        yield Finding(
            look="database", state="ok", says="SQLite under home; each process counts limits for itself"
        )
        return
    connection = connect(settings, SECONDS)
    [(version,)] = ask(connection, SECONDS, "show server_version")
    connection.close()
    yield Finding(look="database", state="ok", says=f"PostgreSQL {version} answers")


def personas(settings: Settings) -> Iterator[Finding]:
    """Whether each persona's declaration can be read."""
    names, broken = persona_names(settings.personas_dir), 0
    for name in names:
        try:
            load_persona(settings.personas_dir, name)
        except TwinError as error:
            broken += 1
            yield Finding(look="personas", state="wrong", says=error.problem, fix=error.fix)
    if not names:
        yield Finding(
            look="personas", state="note", says=f"there is none in {settings.personas_dir}",
            fix="write <name>.yaml there (docs/collection.md), or begin with: twin demo",
        )  # fmt: skip
    elif not broken:
        yield Finding(look="personas", state="ok", says=f"{len(names)} can be read")


def paused(settings: Settings) -> Iterator[Finding]:
    """Who is paused: what is not collected, trained or evaluated for them is no fault."""
    names = persona_names(settings.personas_dir)
    marks = {name: mark for name, mark in PAUSED.all(open_lake(settings)).items() if name in names}
    for name, mark in list(marks.items())[:PERSONAS_ASKED]:
        yield Finding(look="paused", state="note", says=f"{name}: {mark.sentence}", fix=f"twin personas resume {name}, if they are to go on")  # fmt: skip


def index(settings: Settings) -> Iterator[Finding]:
    """Whether the index of passages can be read."""
    where = settings.weaviate_url or "embedded" if settings.vector_store == "weaviate" else "files in home"
    asked = _readable(settings)
    counts = {persona.name: open_store(settings, persona.name).count() for persona in asked}
    filled = [name for name, count in counts.items() if count]
    yield Finding(
        look="index", state="ok" if filled or not asked else "note",
        says=f"{settings.vector_store} ({where}): passages of {', '.join(filled) or 'nobody yet'}",
        fix="" if filled or not asked else f"twin run {asked[0].name}",
    )  # fmt: skip


def engine(settings: Settings) -> Iterator[Finding]:
    """Whether the LLM service, or another engine, can be asked."""
    own = f"http://127.0.0.1:{settings.llm_port}/v1"  # which `twin up` starts where no other is named
    ours = "llm_url" not in settings.model_fields_set
    url = own if ours else settings.llm_url
    key = _own_key(settings) if url == own else settings.llm_api_key
    try:
        answer = httpx.get(f"{url}/models", headers=_bearer(key), timeout=SECONDS)
    except httpx.HTTPError as error:
        yield Finding(
            look="engine", state="note" if ours else "wrong",
            says=f"nothing answers at {url} ({type(error).__name__})",
            fix="twin up starts our own" if ours else "start it, or set TWIN_LLM_URL",
        )  # fmt: skip
        return
    if answer.status_code in (401, 403):
        yield Finding(
            look="engine", state="wrong", says=f"{url} refuses the key ({answer.status_code})",
            fix="set TWIN_LLM_API_KEY as it has it; that of `twin up` lies in llm_key in the home",
        )  # fmt: skip
    else:
        state: State = "ok" if answer.status_code == 200 else "wrong"
        says = f"{url} answers {answer.status_code}"
        yield Finding(look="engine", state=state, says=says, fix="" if state == "ok" else "see its log")


def _own_key(settings: Settings) -> SecretStr | None:
    """The key that is set; without one, that which `twin up` keeps in the home."""
    from serving.up import LLM_KEY

    kept = settings.home / LLM_KEY
    if settings.llm_api_key or not kept.is_file():
        return settings.llm_api_key
    return SecretStr(kept.read_text(encoding="utf-8"))


def tokens(settings: Settings) -> Iterator[Finding]:
    """Whether tokens of sources, the hub and Weights & Biases are there where something needs them, and are taken."""
    found = _readable(settings)
    api = next((p.github.api for p in found if p.github and p.github.api), settings.github_api)
    if any(p.github for p in found) or settings.github_token:
        yield _token("TWIN_GITHUB_TOKEN", settings.github_token, f"{api}/user", "a persona names GitHub")
    if any(p.gitlab for p in found) and settings.gitlab_token:
        own = next((p.gitlab.api for p in found if p.gitlab and p.gitlab.api), "https://gitlab.com/api/v4")
        yield _token("TWIN_GITLAB_TOKEN", settings.gitlab_token, f"{own}/user", "")
    members = [p.linkedin for p in found if p.linkedin and not p.linkedin.export]
    if settings.linkedin_token:
        own = next((one.api for one in members if one.api), settings.linkedin_api).rstrip("/")
        asked = f"{own}/rest/memberSnapshotData?q=criteria&domain=PROFILE"
        version = {"LinkedIn-Version": settings.linkedin_version}
        status = _status(asked, _bearer(settings.linkedin_token) | version)
        # A member without data yet has a 404, by a good token.
        yield _judged("TWIN_LINKEDIN_TOKEN", 200 if status == 404 else status, own)
    elif members:
        yield Finding(
            look="tokens", state="wrong", says="TWIN_LINKEDIN_TOKEN is not set, and a persona names LinkedIn without an export",
            fix="name the account's data export under linkedin: (docs/collection.md), or set the token",
        )  # fmt: skip
    if settings.hub_token:
        yield _hub_token(settings)
    if settings.wandb_api_key:
        yield _judged("TWIN_WANDB_API_KEY", *_wandb_status(settings.wandb_api_key))


def _token(name: str, secret: SecretStr | None, url: str, why: str) -> Finding:
    if secret is None:
        return Finding(look="tokens", state="wrong", says=f"{name} is not set, and {why}", fix=f"make one there, and set {name}")  # fmt: skip
    return _judged(name, _status(url, _bearer(secret)), url)


def _wandb_status(key: SecretStr) -> tuple[int | None, str]:
    """Of the answer to who the key is, and who was asked."""
    url = f"{os.environ.get('WANDB_BASE_URL', WANDB).rstrip('/')}/graphql"  # as wandb itself is told of another server
    try:
        answer = httpx.post(
            url,
            json={"query": "{ viewer { username } }"},
            auth=("api", key.get_secret_value()),
            timeout=SECONDS,
        )
        known = answer.status_code != 200 or answer.json()["data"]["viewer"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return None, url
    return answer.status_code if known else 401, url


def _judged(name: str, status: int | None, url: str) -> Finding:
    if status in (401, 403):
        return Finding(look="tokens", state="wrong", says=f"{name} is refused ({status}) by {url}", fix=f"make a new one, and set {name}")  # fmt: skip
    if status != 200:
        return Finding(look="tokens", state="note", says=f"{name} could not be tried: {url} answers {status or 'nothing'}", fix="see that this machine reaches it")  # fmt: skip
    return Finding(look="tokens", state="ok", says=f"{name} is taken")


def _hub_token(settings: Settings) -> Finding:
    from huggingface_hub import HfApi

    assert settings.hub_token
    patient_hub()
    try:
        who = HfApi(endpoint=settings.hub_endpoint, token=settings.hub_token.get_secret_value()).whoami()
    except (httpx.HTTPError, OSError, ValueError) as error:
        refused = getattr(getattr(error, "response", None), "status_code", None) in (401, 403)
        return Finding(
            look="tokens", state="wrong" if refused else "note",
            says=f"TWIN_HUB_TOKEN {'is refused' if refused else 'could not be tried'} ({type(error).__name__})",
            fix="make a new one on the hub, and set it" if refused else "see that this machine reaches the hub",
        )  # fmt: skip
    return Finding(look="tokens", state="ok", says=f"TWIN_HUB_TOKEN is taken, as {who.get('name')}")


def profile(settings: Settings) -> Iterator[Finding]:
    """Whether the profile is one, and its base model can be had."""
    known = load_profile(settings.profile)
    base = known.base_model
    if "/" not in base:
        yield Finding(look="profile", state="ok", says=f"{known.name}, whose base needs no model hub")
        return
    status = _status(f"{settings.hub_endpoint or HUB}/api/models/{base}")
    fine = status in (200, 401, 403)  # the last two ask who wants it
    yield Finding(
        look="profile", state="ok" if fine else "wrong",
        says=f"{known.name}: the hub {'has' if fine else 'does not give'} {base} ({status or 'no answer'})",
        fix="" if fine else "connect to the hub once, set TWIN_HUB_ENDPOINT, or take TWIN_PROFILE=pocket",
    )  # fmt: skip


LOOKS: dict[str, Look] = {
    "packages": packages, "disk": disk, "ports": ports, "lake": lake, "database": database, "personas": personas, "paused": paused, "index": index, "engine": engine,
    "tokens": tokens, "profile": profile,
}  # fmt: skip


def look_at_all(settings: Settings) -> Iterator[Finding]:
    """Every look's findings. One that can't be finished is a finding itself, and stops no other."""
    for finding in _findings(settings):
        yield finding.model_copy(update={"says": hide_logins(finding.says)})


def _findings(settings: Settings) -> Iterator[Finding]:
    for name, look in LOOKS.items():
        try:
            yield from look(settings)
        except TwinError as error:
            yield Finding(look=name, state="wrong", says=error.problem, fix=error.fix)
        except Exception as error:  # a store's own, a disk's
            says = str(error).strip().splitlines()
            yield Finding(
                look=name, state="wrong", says=f"{type(error).__name__}: {says[0][:300] if says else ''}",
                fix="mend what it names; docs/settings.md has the settings of this part",
            )  # fmt: skip


def _readable(settings: Settings) -> list[Persona]:
    found = []
    for name in persona_names(settings.personas_dir)[:PERSONAS_ASKED]:
        try:
            found.append(load_persona(settings.personas_dir, name))
        except TwinError:
            continue
    return found


def _bearer(secret: SecretStr | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret.get_secret_value()}"} if secret else {}


def _status(url: str, headers: dict[str, Any] | None = None) -> int | None:
    """Of the answer, or None where none came."""
    try:
        return httpx.get(url, headers=headers, timeout=SECONDS, follow_redirects=True).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
