"""The base model of a profile: built here, unpacked from a Python package, copied from a folder, or fetched
from a hub; once.

It is shared by all personas and kept in the registry like every other model version.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint, folder_hash
from twin_assets.core.models.hub import patient_hub
from twin_assets.core.models.packaged import REQUIREMENT, SMOLLM2, unpacked
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.registry import Lineage, ModelVersion, Registry
from twin_assets.settings import Settings
from twin_assets.training.base_models.chat_template import with_fixed_template
from twin_assets.training.base_models.nano import NanoShape, build_nano_base, plan
from twin_assets.training.base_models.nano_text import base_text
from twin_assets.training.base_models.text_only import has_towers, without_towers

BASE_CODE_VERSION = "1"
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_SAME_AGAIN = ["consolidated*", "original/*"]  # Mistral's and Meta's repositories hold the weights twice


def ensure_base_model(
    settings: Settings,
    profile: Profile,
    on_progress: Callable[[dict[str, Any]], None],
    nano_shape: NanoShape = NanoShape(),
) -> ModelVersion:
    """The registered base model of `profile`; made the first time, found ever after.

    `base_model` of the profile is `nano`, `smollm2-135m`, a folder, or a hub id with an optional `@revision`. Raises
    TwinError when a folder holds no model or the hub can't be reached.
    """
    registry = Registry(settings)
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    # Two personas may ask at once; the second waits and finds what the first has built.
    with FileLock(settings.cache_dir / "base_model.lock"):
        source = profile.base_model
        if source == "nano":
            return _nano(settings, registry, profile, on_progress, nano_shape)
        if source == SMOLLM2:
            lineage = _lineage(profile, {"package": REQUIREMENT}, settings.seed)
            return registry.find(lineage) or _unpacked(settings, registry, lineage, on_progress)
        if (folder := Path(source).expanduser()).is_dir():
            _check_model_folder(folder)
            lineage = _lineage(profile, {"weights": folder_hash(folder)}, settings.seed)
            return registry.find(lineage) or _save(settings, registry, profile, folder, lineage)
        lineage = _lineage(profile, {"hub": source}, settings.seed)
        if registered := registry.find(lineage):
            return registered
        return _save(settings, registry, profile, _fetch(settings, source, on_progress), lineage)


def _lineage(profile: Profile, made_from: dict[str, Any], seed: int) -> Lineage:
    if profile.template:
        made_from = made_from | {"template": profile.template.model_dump(exclude_none=True)}
    return Lineage(
        persona="shared",
        stage="base",
        profile=profile.base_name,
        config_hash=fingerprint(made_from, 12),
        code_version=BASE_CODE_VERSION,
        seed=seed,
        prompts="none",
    )


def _nano(
    settings: Settings,
    registry: Registry,
    profile: Profile,
    on_progress: Callable[[dict[str, Any]], None],
    shape: NanoShape,
) -> ModelVersion:
    text, steps = base_text(settings.seed), profile.nano_steps
    lineage = _lineage(profile, plan(text, steps, shape), settings.seed)
    if registered := registry.find(lineage):
        return registered
    with tempfile.TemporaryDirectory(dir=settings.cache_dir) as scratch:
        folder = Path(scratch) / "nano"
        metrics = build_nano_base(folder, text, settings.seed, steps, on_progress, shape)
        return registry.save(folder, lineage, metrics)


def _unpacked(
    settings: Settings, registry: Registry, lineage: Lineage, on_progress: Callable[[dict[str, Any]], None]
) -> ModelVersion:
    on_progress({"fetching": REQUIREMENT})
    return registry.save(unpacked(settings.cache_dir), lineage)


def _save(
    settings: Settings, registry: Registry, profile: Profile, folder: Path, lineage: Lineage
) -> ModelVersion:
    with tempfile.TemporaryDirectory(dir=settings.cache_dir) as scratch:
        if has_towers(folder):
            folder = without_towers(folder, Path(scratch))
        if profile.template:
            (fixed := Path(scratch) / "fixed").mkdir()
            folder = with_fixed_template(folder, profile.template, fixed)
        return registry.save(folder, lineage)


def _fetch(settings: Settings, source: str, on_progress: Callable[[dict[str, Any]], None]) -> Path:
    from httpx import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patient_hub()
    name, _, revision = source.partition("@")
    on_progress({"fetching": name, "revision": revision or "main"})
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=_HUB_FILES,
            ignore_patterns=_SAME_AGAIN,
            local_dir=settings.cache_dir / "hub" / name.replace("/", "--"),
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise TwinError(
            f"The base model {source!r} can't be fetched: {str(error).splitlines()[0]}",
            "check the name, the network and HF_TOKEN; or name a folder in the family's file; or use profile nano.",
        ) from error
    _check_model_folder(Path(folder))
    return Path(folder)


def _check_model_folder(folder: Path) -> None:
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        what = ", ".join(missing) or "*.safetensors"
        raise TwinError(f"{folder} holds no complete model: {what} is missing.", "name another folder or id.")
