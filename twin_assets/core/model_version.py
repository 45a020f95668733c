"""What is known of a model version: where it comes from, what may be done with it, how it did."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import Record, Visibility

Stage = Literal["base", "sft", "dpo"]


class Lineage(Record):
    """Everything that a model version was made from. `inputs_hash` identifies the whole."""

    persona: str
    stage: Stage
    profile: str
    parent: str | None = None
    datasets: dict[str, str] = {}
    config_hash: str
    code_version: str
    seed: int
    prompts: str

    @property
    def inputs_hash(self) -> str:
        return fingerprint(self.model_dump(), 12)

    @property
    def tag(self) -> str:
        """Name of the version made from these inputs."""
        return f"twin-{self.persona}-{self.stage}:{self.inputs_hash}"


class About(Record):
    """What a model card says beyond the lineage; no part of a version's identity.

    `base_model` is what the profile names: a hub id, a folder, or `nano`. `environment` holds the versions
    of the code and libraries that it was made with.
    """

    license: str = "other"
    visibility: Visibility = "private"
    languages: list[str] = []
    base_model: str = ""
    environment: dict[str, str] = {}


class VersionRecord(Record):
    """What travels with a version's folder, wherever it is stored. `tag` is its name everywhere.

    `weights_hash` covers the model's own files, not the card and records beside them.
    """

    tag: str
    lineage: Lineage
    about: About = About()
    metrics: dict[str, float] = {}
    created_at: datetime
    weights_hash: str


class ModelVersion(VersionRecord):
    """A version stored here. `path` is its folder of weights and tokenizer."""

    path: Path
    run_link: str | None = None
    size_bytes: int

    @property
    def config_file(self) -> Path:
        """What it was trained with, as YAML without paths; absent for a base model."""
        return self.path / "training" / "config.yaml"

    def record(self) -> VersionRecord:
        """The part that travels."""
        return VersionRecord.model_validate(self.model_dump())
