"""The model registry: model versions with their lineage, in the BentoML model store."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, folder_hash
from twin_assets.core.models.card import render_card
from twin_assets.core.models.cpu import CpuOptions
from twin_assets.core.models.version import About, BaseRef, Lineage, ModelVersion, Stage, find_base
from twin_assets.settings import Settings

__all__ = ["About", "BaseRef", "Lineage", "ModelVersion", "Registry", "Stage", "weights_hash"]

RECORD = "version.json"
STORE_FILE = "model.yaml"  # BentoML's own, in every version's folder
STALE_SECONDS = 24 * 3600
# What lies in a version's folder beside the model itself: our card and records, the store's and the hub's.
_BESIDE = frozenset({"README.md", RECORD, "training", STORE_FILE, ".gitattributes", ".cache"})


class Registry:
    """Model versions of one installation; or those in `store`, another BentoML model store, such as a bento's own."""

    def __init__(self, settings: Settings, store: Path | None = None) -> None:
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")  # or it tells its makers of every model
        from bentoml._internal.models.model import ModelStore  # the public calls take a store of this type

        self._models = store or settings.bentoml_home / "models"
        self._staging = self._models.parent / "staging"
        self._models.mkdir(parents=True, exist_ok=True)
        self._store = ModelStore(self._models)
        self._hub_namespace, self._cache = settings.hub_namespace, settings.cache_dir
        self.cpu = CpuOptions(
            settings.cpu_engine, settings.cpu_merged_gb, int8=settings.cpu_weights == "int8"
        )

    def save(
        self,
        folder: Path,
        lineage: Lineage,
        metrics: dict[str, float] | None = None,
        run_link: str | None = None,
        about: About = About(),
        created_at: datetime | None = None,
        base: BaseRef | None = None,
    ) -> ModelVersion:
        """Store a copy of `folder` as a model version named by its inputs; the same inputs, the same tag.

        With a `base` the folder is an adapter's on it. A version that is there already is returned as it is. Its card and record are written beside it. It
        appears in the store whole or, when the process is killed, not at all.
        """
        import bentoml
        from bentoml._internal.models.model import ModelStore

        if stored := self.find(lineage):
            return stored
        metadata: dict[str, Any] = {
            "lineage": lineage.model_dump(exclude_none=True),  # BentoML refuses None
            "about": about.model_dump(),
            "metrics": metrics or {},
            "run_link": run_link or "",
            "created_at": (created_at or datetime.now(UTC)).isoformat(),
            "weights_hash": weights_hash(folder),
        } | ({"base": base.model_dump()} if base else {})
        labels = {
            "persona": lineage.persona, "stage": lineage.stage, "profile": lineage.profile,
            "config": lineage.config_hash, "seed": str(lineage.seed),
        }  # fmt: skip
        with self._stage() as staged:
            with bentoml.models.create(
                lineage.tag, labels=labels, metadata=metadata, _model_store=ModelStore(staged)
            ) as model:
                shutil.copytree(folder, model.path, dirs_exist_ok=True)
            name, _, version = lineage.tag.partition(":")
            self.describe(_version(bentoml.models.get(lineage.tag, _model_store=ModelStore(staged))))
            self._take_in(staged / name / version, self._models / name / version)
        return self.get(lineage.tag)

    @contextmanager
    def _stage(self) -> Iterator[Path]:
        """A folder of one's own beside the store; what killed processes left there is removed after a day."""
        self._staging.mkdir(exist_ok=True)
        for left in self._staging.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=self._staging))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take_in(self, staged: Path, place: Path) -> None:
        """Move a whole version into the store at once, unless another process was faster."""
        place.parent.mkdir(exist_ok=True)
        if place.is_dir() and not (place / STORE_FILE).is_file():
            shutil.rmtree(place)  # half of a version, of a store that was written before this was atomic
        try:
            staged.rename(place)
        except OSError:
            if not (place / STORE_FILE).is_file():
                raise
        else:
            (place.parent / "latest").write_text(place.name)  # BentoML's own pointer

    def describe(self, version: ModelVersion) -> None:
        """Write the version's card and record into its folder."""
        (version.path / "README.md").write_text(render_card(version, self._hub_namespace))
        (version.path / RECORD).write_text(version.record().model_dump_json(indent=2))

    def find(self, lineage: Lineage) -> ModelVersion | None:
        """The version made from exactly these inputs, or None."""
        return next((v for v in self.list() if v.tag == lineage.tag), None)

    def get(self, tag: str) -> ModelVersion:
        """The version of that tag; raises TwinError when the store doesn't have it."""
        import bentoml
        from bentoml.exceptions import BentoMLException

        try:
            return _version(bentoml.models.get(tag, _model_store=self._store))
        except (BentoMLException, ValueError):  # the latter for what can be no name at all
            tags = ", ".join(v.tag for v in self.list()) or "none"
            raise TwinError(
                f"The registry has no model {tag[:120]!r} (known: {tags}).", "train, import or pull it."
            ) from None

    def base_of(self, version: ModelVersion) -> ModelVersion | None:
        """The whole model that an adapter stands on; None for a whole model.

        Raises TwinError naming both when the registry doesn't have it, or has other weights under its name.
        """
        if version.base is None:
            return None
        versions = self.list()
        if found := find_base(versions, version.base):
            return found
        raise lacks_base(version.tag, version.base, versions)

    def _list(self, name: str) -> list[ModelVersion]:
        import bentoml
        from bentoml.exceptions import BentoMLException

        versions = []
        for file in self._models.glob(f"{name}/*/{STORE_FILE}"):
            tag = f"{file.parent.parent.name}:{file.parent.name}"
            with suppress(BentoMLException, FileNotFoundError):  # it may be deleted at this moment
                model = bentoml.models.get(tag, _model_store=self._store)
                if "lineage" in model.info.metadata:
                    versions.append(_version(model))
        return sorted(versions, key=lambda v: v.created_at, reverse=True)

    def list(self, persona: str | None = None) -> list[ModelVersion]:
        """All versions, newest first; of one persona if given."""
        return [v for v in self._list("*") if persona is None or v.lineage.persona == persona]

    def newest(self, persona: str, stage: Stage, profile: str) -> ModelVersion | None:
        """A persona's newest version of a stage by a profile, None where there is none, however many others have."""
        made = self._list(f"twin-{persona}-{stage}")
        return next((v for v in made if (v.lineage.persona, v.lineage.profile) == (persona, profile)), None)

    def delete(self, tag: str) -> None:
        """Remove a version for good, at once, and the whole model that an adapter was merged to. `registry_gc` decides which
        may go."""
        version = self.get(tag)
        with self._stage() as staged:
            version.path.rename(staged / version.path.name)
        shutil.rmtree(self.whole_place(version), ignore_errors=True)

    def whole_place(self, version: ModelVersion) -> Path:
        """Where `core.models.whole` keeps the whole model of an adapter, by its content."""
        return self._cache / "whole" / fingerprint([version.weights_hash, version.as_base.weights_hash])


def lacks_base(tag: str, base: BaseRef, versions: Iterable[ModelVersion]) -> TwinError:
    """What to raise about an adapter whose base is not among the versions."""
    stands = f"{tag} is an adapter on {base.tag} with the weights {base.weights_hash}"
    if other := next((v for v in versions if v.tag == base.tag), None):
        return TwinError(
            f"{stands}; {other.tag} has the weights {other.weights_hash} here.",
            "train it again on the base that is here, or bring both from the installation that trained it.",
        )
    return TwinError(
        f"{stands}, which this registry doesn't have.",
        "pull the base from S3, or materialise `base_model` here with the profile that it was trained with.",
    )


def weights_hash(folder: Path) -> str:
    """Hash of a model's own files: weights, tokenizer, configuration, adapter."""
    return folder_hash(folder, without=_BESIDE)


def _version(model: Any) -> ModelVersion:
    metadata = model.info.metadata
    path = Path(model.path)
    made = metadata.get("created_at")
    return ModelVersion(
        tag=str(model.tag),
        path=path,
        lineage=Lineage.model_validate(metadata["lineage"]),
        about=About.model_validate(metadata.get("about", {})),
        metrics=metadata["metrics"],
        run_link=metadata["run_link"] or None,
        created_at=datetime.fromisoformat(made) if made else model.creation_time.astimezone(UTC),
        weights_hash=metadata["weights_hash"],
        base=BaseRef.model_validate(metadata["base"]) if metadata.get("base") else None,
        size_bytes=sum(p.stat().st_size for p in path.rglob("*") if p.is_file()),
    )
