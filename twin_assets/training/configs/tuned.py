"""Values that a search proposed and a person took over: `training_configs/tuned/<profile>.yaml`.

A search writes its proposal elsewhere. Only a file that somebody moved here, and committed, changes a training.
"""

from pathlib import Path
from typing import Any

import yaml

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

EVIDENCE = "evidence"


def tuned_values(settings: Settings, profile: str, stage: str) -> dict[str, int | float]:
    """What replaces the shipped values of a profile and stage; empty without a reviewed file.

    Raises TwinError when the file is no mapping of stages to numbers.
    """
    path = settings.tuned_dir / f"{profile}.yaml"
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise TwinError(
            f"{path.name} is not YAML: {str(error).splitlines()[0]}.", "mend its syntax."
        ) from None
    values = content.get(stage, {}) if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise TwinError(f"{path} has no mapping of values for {stage}.", f"write `{stage}: {{name: value}}`.")
    wrong = [
        name
        for name, value in values.items()
        if isinstance(value, bool) or not isinstance(value, int | float)
    ]
    if wrong:
        raise TwinError(f"{path} sets {', '.join(wrong)}, which is no number.", "keep to hyperparameters.")
    return dict(values)


def write_proposal(
    settings: Settings,
    persona: str,
    profile: str,
    stage: str,
    values: dict[str, Any],
    evidence: dict[str, Any],
) -> Path:
    """Store a proposal with its evidence for a person to review; returns its path."""
    path = settings.home / "proposals" / f"{persona}-{profile}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (
        f"# Proposed by a search for {persona}. Nothing reads this file here. Review the evidence; to take the\n"
        f"# values over for profile {profile}, move it to training_configs/tuned/{profile}.yaml and commit it.\n"
    )
    path.write_text(head + yaml.safe_dump({stage: values, EVIDENCE: evidence}, sort_keys=False))
    return path
