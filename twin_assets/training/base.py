"""The base model of a profile: built here for nano, a folder or a hub model otherwise; stored once."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import fingerprint
from twin_assets.core.profiles import Profile
from twin_assets.core.registry import Lineage, ModelVersion, Registry
from twin_assets.settings import Settings
from twin_assets.training.nano import NanoPlan, base_text, build_nano_base, plan_fingerprint

BASE_CODE_VERSION = "1"


def ensure_base_model(
    settings: Settings, profile: Profile, on_progress: Callable[[str], None], plan: NanoPlan | None = None
) -> ModelVersion:
    """The profile's base model, from the registry when it is there already; shared by all personas.

    Raises TwinError when a hub model can't be fetched.
    """
    registry = Registry(settings)
    if profile.base_model == "nano":
        text, plan = base_text(), plan or NanoPlan()
        lineage = _lineage(profile, plan_fingerprint(plan, text, settings.seed), settings.seed)
        if known := registry.find(lineage):
            on_progress(f"{known.tag} is in the registry already")
            return known
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "base"
            metrics = build_nano_base(folder, text, settings.seed, on_progress, plan)
            return registry.save(folder, lineage, metrics)
    lineage = _lineage(profile, fingerprint(profile.base_model, 12), settings.seed)
    return registry.find(lineage) or registry.save(_fetch(profile.base_model), lineage)


def _lineage(profile: Profile, config_hash: str, seed: int) -> Lineage:
    return Lineage(
        persona="shared", stage="base", profile=profile.name, config_hash=config_hash,
        code_version=BASE_CODE_VERSION, seed=seed, prompts="none",
    )  # fmt: skip


def _fetch(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TwinError(
            f"The base model {name!r} can't be fetched from the hub: {reason}",
            "check the id, the network and HF_TOKEN, put a folder in the profile, or set TWIN_PROFILE=nano.",
        ) from None
