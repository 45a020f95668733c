"""Small model versions with a whole lineage, for tests of the registry."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twin_assets.core.models.registry import About, BaseRef, Lineage, ModelVersion, Registry

START = datetime(2025, 1, 1, tzinfo=UTC)
PUBLIC = About(license="CC-BY-4.0", visibility="public", languages=["en"], base_model="nano")


def lineage(stage: str, parent: str | None = None, number: int = 0, **changes: Any) -> Lineage:
    values: dict[str, Any] = {
        "persona": "shared" if stage == "base" else "runa", "stage": stage, "profile": "nano", "parent": parent,
        "datasets": {} if stage == "base" else {"instruct": f"v{number}"}, "config_hash": "c",
        "code_version": "1", "seed": number, "prompts": "p",
    }  # fmt: skip
    return Lineage(**values | changes)


def save(
    registry: Registry,
    folder: Path,
    made_from: Lineage,
    days: int = 0,
    about: About = PUBLIC,
    base: BaseRef | None = None,
) -> ModelVersion:
    """A version with files as a training leaves them, made `days` after the start."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training").mkdir(exist_ok=True)
    if base:
        (folder / "adapter_model.safetensors").write_bytes(f"factors of {made_from.tag}".encode())
        (folder / "adapter_config.json").write_text('{"r": 8, "lora_alpha": 8}')
    else:
        (folder / "model.safetensors").write_bytes(f"weights of {made_from.tag}".encode())
        (folder / "config.json").write_text("{}")
    (folder / "training" / "config.yaml").write_text(f"learning_rate: 0.00{made_from.seed + 1}\n")
    made_at = START + timedelta(days=days)
    return registry.save(folder, made_from, {"eval_loss": 1.5}, None, about, made_at, base)


def family(registry: Registry, scratch: Path, adapters: bool = False) -> list[ModelVersion]:
    """A base, an SFT model trained from it, and a DPO model trained from that; the two as adapters on the base if said."""
    versions: list[ModelVersion] = []
    for number, stage in enumerate(("base", "sft", "dpo")):
        parent = versions[-1].tag if versions else None
        base = versions[0].as_base if versions and adapters else None
        versions.append(save(registry, scratch / stage, lineage(stage, parent), number, base=base))
    return versions
