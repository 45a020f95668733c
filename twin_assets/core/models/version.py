"""What is known of a model version: where it comes from, what may be done with it, how it did."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from twin_assets.core.hashing import fingerprint
from twin_assets.core.records import VISIBILITIES, Record, Visibility, may_see

REWARD_FILE = "reward.json"
"""In the folder of a GRPO training: what its reward is made of."""
Stage = Literal["base", "cpt", "sft", "dpo", "kto", "orpo", "grpo"]


class Lineage(Record):
    """Everything that a model version was made from. `inputs_hash` identifies the whole, `reward` the instruments that GRPO was
    rewarded by."""

    persona: str
    stage: Stage
    profile: str
    parent: str | None = None
    datasets: dict[str, str] = {}
    config_hash: str
    code_version: str
    seed: int
    prompts: str
    reward: str | None = None

    @property
    def inputs_hash(self) -> str:
        # Versions of before there were rewards keep their names.
        unset = {"reward"} if self.reward is None else None
        return fingerprint(self.model_dump(exclude=unset), 12)

    @property
    def tag(self) -> str:
        """Name of the version made from these inputs."""
        return f"twin-{self.persona}-{self.stage}:{self.inputs_hash}"


class BaseRef(Record):
    """The whole model that an adapter stands on: its tag, and the hash of its own files. Those with the same hash are
    the same model, whatever their tags."""

    tag: str
    weights_hash: str


class About(Record):
    """What a model card says beyond the lineage; no part of a version's identity.

    `base_model` is what the profile names: a hub id, a folder, or `nano`. `environment` holds the versions
    of the code and libraries that it was made with. `learnt_from` counts dataset rows by who may see them, those of
    its parents among them; `visibility` is that of the most closed, and no more open than the persona. `merged_because`
    says why an adapter was merged into its base where one could not be kept apart. `rewarded_by` are the writers whom a reward told
    the author from: they never judge the version.
    """

    license: str = "other"
    visibility: Visibility = "private"
    languages: list[str] = []
    base_model: str = ""
    environment: dict[str, str] = {}
    learnt_from: dict[str, int] = {}
    merged_because: str = ""
    rewarded_by: list[str] = []


def closed_rows(learnt_from: Mapping[str, int], declared: Visibility) -> str:
    """What a person has to know before a model is released: "120 rows for connections only"; empty for nothing."""
    counted = ((v, learnt_from.get(v, 0)) for v in VISIBILITIES if not may_see(declared, v))
    told = (
        f"{n} {'' if v == 'connections' else f'{v} '}row{'' if n == 1 else 's'}"
        f"{' for connections only' if v == 'connections' else ''}"
        for v, n in counted
        if n
    )
    return " and ".join(told)


class VersionRecord(Record):
    """What travels with a version's folder, wherever it is stored. `tag` is its name everywhere.

    `weights_hash` covers the model's own files, not the card and records beside them. With a `base` those are an
    adapter's, which is nothing without that model; without one, a whole model's.
    """

    tag: str
    lineage: Lineage
    about: About = About()
    metrics: dict[str, float] = {}
    created_at: datetime
    weights_hash: str
    base: BaseRef | None = None


class ModelVersion(VersionRecord):
    """A version stored here. `path` is its folder: a whole model with its tokenizer, or an adapter with the tokenizer."""

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

    @property
    def as_base(self) -> BaseRef:
        """What an adapter that is trained on this version stands on."""
        return self.base or BaseRef(tag=self.tag, weights_hash=self.weights_hash)


def find_base(versions: Iterable[ModelVersion], base: BaseRef) -> ModelVersion | None:
    """The whole model with those weights: the one of that name, else any; None when there is none."""
    same = [v for v in versions if v.base is None and v.weights_hash == base.weights_hash]
    return next((v for v in same if v.tag == base.tag), same[0] if same else None)
