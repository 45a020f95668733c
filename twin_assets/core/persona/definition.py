"""A persona: whose twin it is, where their writing lives, and what may be done with it."""

import json
import re
import secrets
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.persona.quotas import Quotas
from twin_assets.core.persona.retrieval_options import RetrievalOptions
from twin_assets.core.persona.sources import (
    Bluesky,
    Chats,
    Ghost,
    GitHub,
    GitLab,
    LinkedIn,
    Mail,
    Mastodon,
    Medium,
    Part,
    SourcePart,
    Substack,
    Transcripts,
    Web,
    WordPress,
    X,
)
from twin_assets.core.records import Visibility, may_see

TextPolicy = Literal["off", "masked", "kept"]


def text_policy(given: Any) -> Any:
    """`true` and `false` as older files have them; YAML also reads a bare `off` as false."""
    return {True: "kept", False: "off"}.get(given, given) if isinstance(given, bool) else given


class Persona(Part):
    """One persona, as declared in `personas/<name>.yaml`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$", description="Short id, the partition key.")
    full_name: str
    also_known_as: list[str] = Field(
        default=[],
        description="Other names, handles and e-mail addresses of the persona, as bylines, commits and senders "
        "carry them. What somebody else signed is never learnt from.",
    )
    about: str = Field(description="One or two sentences that every prompt carries.")
    license: str
    visibility: Visibility = "public"
    train_on: Visibility | None = Field(
        None,
        description="The most closed writing that may be learnt from; as closed as `visibility` if not said. What "
        "a model has learnt it may repeat to whoever it serves.",
    )
    languages: list[str] = ["en"]
    linkedin: LinkedIn | None = None
    medium: Medium | None = None
    substack: Substack | None = None
    github: GitHub | None = None
    gitlab: GitLab | None = None
    x: X | None = None
    web: Web | None = None
    wordpress: WordPress | None = None
    ghost: Ghost | None = None
    mastodon: Mastodon | None = None
    bluesky: Bluesky | None = None
    mail: Mail | None = None
    chats: Chats | None = None
    transcripts: Transcripts | None = None
    impostors: list[Path] = Field(
        default=[],
        description="Folders of other authors' writing (Markdown or plain text), for the voice metric.",
    )
    questions: Path | None = Field(
        None, description="YAML of questions with the facts a right answer holds, and unanswerable ones."
    )
    retrieval: RetrievalOptions = Field(
        RetrievalOptions(),
        description="Which parts of retrieval are on; docs/retrieval.md says what each does.",
    )
    answers: AnswerOptions = Field(
        AnswerOptions(),
        description="What is done to make answers and texts better while they are asked for; what is not said is as the "
        "profile has it.",
    )
    mask_personal_data: bool = Field(
        True,
        description="Mask e-mail and IP addresses, phone, bank and card numbers before anything is learnt; "
        "secrets are always masked.",
    )
    log_text: Annotated[TextPolicy, BeforeValidator(text_policy)] = Field(
        "kept",
        description="What the request log keeps of texts: nothing, texts without personal data and secrets, "
        "or all.",
    )
    log_text_days: int = Field(
        90, ge=1, description="Texts of requests are removed from the log after so many days; counts stay."
    )
    thread_days: int = Field(
        30,
        ge=0,
        le=3_650,
        description="Threads that a signed-in caller keeps are deleted after so many days without a new turn, or after "
        "log_text_days if those are fewer; 0, or log_text off: none are kept.",
    )
    learn_from_feedback: bool = Field(
        False,
        description="Consent: reviewed edits and thumbs of readers may become preference pairs, apart from the "
        "author's own text.",
    )
    quotas: Quotas = Field(
        Quotas(),
        description="How much is started for this person by itself, at most; the platform's defaults where nothing is said.",
    )
    refusals: list[str] = Field(
        default=[],
        description="How this person declines what they have not written about, `$looked_for` standing for "
        "what was asked; neutral sentences if none.",
    )

    @field_validator("refusals")
    @classmethod
    def _can_be_filled(cls, refusals: list[str]) -> list[str]:
        for refusal in map(Template, refusals):
            if not refusal.is_valid() or set(refusal.get_identifiers()) - {"looked_for"}:
                raise ValueError(f"{refusal.template!r} may hold $looked_for, and $$ for a dollar sign")
        return refusals

    @property
    def threads_kept_days(self) -> int:
        """Days that threads are kept for without a new turn; 0 where none are."""
        return 0 if self.log_text == "off" else min(self.thread_days, self.log_text_days)

    @property
    def first_language(self) -> str:
        """What the persona writes first of all, without a region: `en` of `en-GB`, and where none is named."""
        return re.split("[-_]", next(iter(self.languages), "en").lower())[0]

    @property
    def learns_from(self) -> Visibility:
        """The most closed writing that datasets, training and evaluation take."""
        return self.train_on or self.visibility

    def may_learn(self, visibility: Visibility) -> bool:
        """Whether writing that is that closed is learnt from."""
        return may_see(self.learns_from, visibility)

    def sources(self) -> list[str]:
        """Names of the sources this persona has."""
        return [name for name in SOURCES if getattr(self, name) is not None]

    def declared(self, source: str) -> SourcePart:
        """What the persona says of one of its sources. Raises TwinError when it says nothing."""
        part = getattr(self, source, None)
        if not isinstance(part, SourcePart):
            raise TwinError(f"{self.name} has no {source} source.", f"declare `{source}:` in the YAML.")
        return part


def _sources() -> tuple[str, ...]:
    fields = Persona.model_fields.items()
    return tuple(
        name
        for name, field in fields
        if any(isinstance(t, type) and issubclass(t, SourcePart) for t in get_args(field.annotation))
    )


# In the order of Persona's fields. Spiders and raw assets carry these names.
SOURCES = _sources()


def source_part(source: str) -> type[SourcePart]:
    """The class of what a persona may say of a source."""
    kinds = get_args(Persona.model_fields[source].annotation)
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, SourcePart))


def source_title(source: str) -> str:
    """A source's name for readers: that of its class, such as LinkedIn."""
    return source_part(source).__name__


def load_persona(personas_dir: Path, name: str) -> Persona:
    """The persona of that name; paths in it are made absolute against the YAML's folder.

    Raises TwinError when there is no such file, or when it doesn't fit the schema.
    """
    path = personas_dir / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(persona_names(personas_dir)) or "none"
        raise TwinError(
            f"There is no persona {name!r} in {personas_dir} (known: {names}).",
            f"write {path.name} there, or use a known name.",
        )
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise TwinError(
            f"{path.name} is not YAML: {str(error).splitlines()[0]}.", "mend the file's syntax."
        ) from None
    return _absolute(_checked(raw, path), personas_dir)


def save_persona(personas_dir: Path, raw: dict[str, Any]) -> Persona:
    """Check a declaration and write it to `personas_dir/<its name>.yaml`, whole or not at all.

    Relative paths stay relative; comments of an older file are lost. Raises TwinError as `load_persona` does.
    """
    name = str(raw.get("name", ""))
    persona = _checked(raw, Path(f"{name}.yaml"))
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=110)
    staged = personas_dir / f".{persona.name}.{secrets.token_hex(4)}.tmp"
    staged.write_text(f"# yaml-language-server: $schema=schema.json\n{text}", encoding="utf-8")
    staged.replace(personas_dir / f"{persona.name}.yaml")
    return _absolute(persona, personas_dir)


def _checked(raw: Any, path: Path) -> Persona:
    try:
        persona = Persona.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise TwinError(
            f"{path.name} does not fit the persona schema: {faults}.", "mend those fields."
        ) from None
    if not persona.sources():
        raise TwinError(
            f"{path.name} names no place where {persona.full_name} writes.",
            f"declare at least one of {', '.join(SOURCES)}.",
        )
    if persona.name != path.stem:
        raise TwinError(f"{path.name} declares the name {persona.name!r}.", "make file name and name agree.")
    return persona


def persona_schema() -> str:
    """The JSON schema of a persona's YAML, for editors and for other programs."""
    return json.dumps(Persona.model_json_schema(), indent=2) + "\n"


def persona_names(personas_dir: Path) -> list[str]:
    """Names of all declared personas, sorted."""
    return sorted(p.stem for p in personas_dir.glob("*.yaml"))


def _absolute(persona: Persona, base: Path) -> Persona:
    def fix(path: Path) -> Path:
        return path if path.is_absolute() else (base / path).resolve()

    update: dict[str, Any] = {"impostors": [fix(p) for p in persona.impostors]}
    for source in persona.sources():
        part = persona.declared(source)
        paths = {name: value for name, value in part if isinstance(value, Path)}
        lists = {name: value for name, value in part if isinstance(value, list)}
        update[source] = part.model_copy(
            update={name: fix(path) for name, path in paths.items()}
            | {name: [fix(p) if isinstance(p, Path) else p for p in values] for name, values in lists.items()}
        )
    if persona.questions:
        update["questions"] = fix(persona.questions)
    return persona.model_copy(update=update)
