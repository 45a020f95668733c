"""The model registry: model versions with their lineage, in the BentoML model store."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, folder_hash
from twin_assets.core.records import Record
from twin_assets.settings import Settings

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


class ModelVersion(Record):
    """A stored model. `tag` is its name everywhere; `path` its folder of weights and tokenizer."""

    tag: str
    path: Path
    lineage: Lineage
    metrics: dict[str, float] = {}
    run_link: str | None = None
    created_at: datetime
    weights_hash: str
    size_bytes: int


class Registry:
    """Model versions of one installation."""

    def __init__(self, settings: Settings) -> None:
        from bentoml._internal.models.model import ModelStore  # the public calls take a store of this type

        models = settings.bentoml_home / "models"
        models.mkdir(parents=True, exist_ok=True)
        self._store = ModelStore(models)

    def save(
        self,
        folder: Path,
        lineage: Lineage,
        metrics: dict[str, float] | None = None,
        run_link: str | None = None,
    ) -> ModelVersion:
        """Store a copy of `folder` as a model version named by its inputs; the same inputs, the same tag.

        A version that is there already is returned as it is.
        """  # fmt: skip
        import bentoml

        tag = f"twin-{lineage.persona}-{lineage.stage}:{lineage.inputs_hash}"
        if known := self.find(lineage):
            return known
        metadata: dict[str, Any] = {
            "lineage": lineage.model_dump(exclude_none=True),  # BentoML refuses None
            "metrics": metrics or {},
            "run_link": run_link or "",
            "weights_hash": folder_hash(folder),
        }
        labels = {
            "persona": lineage.persona, "stage": lineage.stage, "profile": lineage.profile,
            "config": lineage.config_hash, "seed": str(lineage.seed),
        }  # fmt: skip
        with bentoml.models.create(tag, labels=labels, metadata=metadata, _model_store=self._store) as model:
            shutil.copytree(folder, model.path, dirs_exist_ok=True)
        return self.get(tag)

    def find(self, lineage: Lineage) -> ModelVersion | None:
        """The version made from exactly these inputs, or None."""
        tag = f"twin-{lineage.persona}-{lineage.stage}:{lineage.inputs_hash}"
        return next((v for v in self.list() if v.tag == tag), None)

    def get(self, tag: str) -> ModelVersion:
        """The version of that tag; raises TwinError when the store doesn't have it."""
        import bentoml
        from bentoml.exceptions import BentoMLException

        try:
            return _version(bentoml.models.get(tag, _model_store=self._store))
        except BentoMLException:
            known = ", ".join(v.tag for v in self.list()) or "none"
            raise TwinError(
                f"The registry has no model {tag!r} (known: {known}).", "train or import it."
            ) from None

    def list(self, persona: str | None = None) -> list[ModelVersion]:
        """All versions, newest first; of one persona if given."""
        import bentoml

        versions = [
            _version(m) for m in bentoml.models.list(_model_store=self._store) if "lineage" in m.info.metadata
        ]
        wanted = [v for v in versions if persona is None or v.lineage.persona == persona]
        return sorted(wanted, key=lambda v: v.created_at, reverse=True)


def _version(model: Any) -> ModelVersion:
    metadata = model.info.metadata
    path = Path(model.path)
    return ModelVersion(
        tag=str(model.tag),
        path=path,
        lineage=Lineage.model_validate(metadata["lineage"]),
        metrics=metadata["metrics"],
        run_link=metadata["run_link"] or None,
        created_at=model.creation_time.astimezone(UTC),
        weights_hash=metadata["weights_hash"],
        size_bytes=sum(p.stat().st_size for p in path.rglob("*") if p.is_file()),
    )
