"""A persona: whose twin it is, where their writing lives, and what may be done with it."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Visibility


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LinkedIn(_Part):
    """The Member Data Portability API (token in TWIN_LINKEDIN_TOKEN) or the export zip."""

    profile: str = Field(description="Profile URL, for links and the author's name.")
    api: str | None = Field(None, description="API base; default https://api.linkedin.com.")
    export: Path | None = Field(None, description="Path of the account's data export zip.")


class Medium(_Part):
    feed: str = Field(description="Feed URL, e.g. https://medium.com/feed/@name.")


class Substack(_Part):
    url: str = Field(description="Publication URL, e.g. https://name.substack.com.")


class GitHub(_Part):
    user: str
    api: str | None = Field(None, description="API base; default https://api.github.com.")
    repositories: list[str] = Field(default=[], description="Names to take; empty means all own ones.")


class Web(_Part):
    """Folders of Markdown (Hugo, Jekyll, plain), single pages and feeds."""

    folders: list[Path] = []
    pages: list[str] = []
    include: list[str] = Field(default=["**/*.md"], description="Globs inside the folders.")


class Persona(_Part):
    """One persona, as declared in `personas/<name>.yaml`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$", description="Short id, the partition key.")
    full_name: str
    about: str = Field(description="One or two sentences that every prompt carries.")
    license: str
    visibility: Visibility = "public"
    languages: list[str] = ["en"]
    linkedin: LinkedIn | None = None
    medium: Medium | None = None
    substack: Substack | None = None
    github: GitHub | None = None
    web: Web | None = None
    impostors: list[Path] = Field(
        default=[], description="Folders of other authors' Markdown, for the voice metric."
    )
    questions: Path | None = Field(
        None, description="YAML of questions with the facts a right answer holds, and unanswerable ones."
    )
    mask_personal_data: bool = Field(
        True,
        description="Mask e-mail and IP addresses, phone, bank and card numbers before anything is learnt; "
        "secrets are always masked.",
    )
    log_text: bool = Field(True, description="Keep the text of requests in the request log.")

    def sources(self) -> list[Literal["linkedin", "medium", "substack", "github", "web"]]:
        """Names of the sources this persona has."""
        names: list[Literal["linkedin", "medium", "substack", "github", "web"]] = [
            "linkedin", "medium", "substack", "github", "web",
        ]  # fmt: skip
        return [name for name in names if getattr(self, name) is not None]


def load_persona(personas_dir: Path, name: str) -> Persona:
    """The persona of that name; paths in it are made absolute against the YAML's folder.

    Raises TwinError when there is no such file, or when it doesn't fit the schema.
    """
    path = personas_dir / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(persona_names(personas_dir)) or "none"
        raise TwinError(
            f"There is no persona {name!r} in {personas_dir} (known: {known}).",
            f"write {path.name} there, or use a known name.",
        )
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise TwinError(
            f"{path.name} is not YAML: {str(error).splitlines()[0]}.", "mend the file's syntax."
        ) from None
    try:
        persona = Persona.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise TwinError(
            f"{path.name} does not fit the persona schema: {faults}.", "mend those fields."
        ) from None
    if persona.name != name:
        raise TwinError(f"{path.name} declares the name {persona.name!r}.", "make file name and name agree.")
    return _absolute(persona, personas_dir)


def persona_names(personas_dir: Path) -> list[str]:
    """Names of all declared personas, sorted."""
    return sorted(p.stem for p in personas_dir.glob("*.yaml"))


def _absolute(persona: Persona, base: Path) -> Persona:
    def fix(path: Path) -> Path:
        return path if path.is_absolute() else (base / path).resolve()

    update: dict[str, object] = {"impostors": [fix(p) for p in persona.impostors]}
    if persona.web:
        update["web"] = persona.web.model_copy(update={"folders": [fix(p) for p in persona.web.folders]})
    if persona.linkedin and persona.linkedin.export:
        update["linkedin"] = persona.linkedin.model_copy(update={"export": fix(persona.linkedin.export)})
    if persona.questions:
        update["questions"] = fix(persona.questions)
    return persona.model_copy(update=update)
