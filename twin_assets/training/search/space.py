"""What a hyperparameter search may vary: `training_configs/search.yaml`, fitted to a profile's own values."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from twin_assets.core.errors import TwinError
from twin_assets.training.configs.overlays import FOLDER

SPACE_FILE = FOLDER / "search.yaml"


class Dimension(BaseModel):
    """One value that is varied: in a range, around the shipped value, or among choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | None = None
    high: float | None = None
    times: float | None = None
    choices: list[int | float] | None = None
    log: bool = False
    whole: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ranged = self.low is not None and self.high is not None
        if [ranged, self.times is not None, self.choices is not None].count(True) != 1:
            raise ValueError("give low and high, or times, or choices")
        return self

    def suggest(self, trial: Any, name: str, shipped: float) -> Any:
        """A value for an Optuna trial."""
        if self.choices is not None:
            # The first trial has the shipped value, whatever a sweep lists.
            own = [] if shipped in self.choices else [shipped]
            return trial.suggest_categorical(name, own + self.choices)
        if self.times is not None:
            low, high = shipped / self.times, shipped * self.times
        else:
            assert self.low is not None
            assert self.high is not None
            low, high = self.low, self.high
        if self.whole:
            return int(trial.suggest_int(name, round(low), round(high), log=self.log))
        return float(trial.suggest_float(name, low, high, log=self.log))


Space = dict[str, Dimension]


def load_space(stage: str) -> Space:
    """The dimensions of a stage. Raises TwinError naming what is wrong with the file."""
    raw = (yaml.safe_load(SPACE_FILE.read_text()) or {}).get(stage) or {}
    try:
        space = {name: Dimension.model_validate(value) for name, value in raw.items()}
    except ValidationError as error:
        first = error.errors()[0]
        raise TwinError(f"{SPACE_FILE.name}, {stage}: {first['msg']}.", "mend that entry.") from None
    if not space:
        raise TwinError(f"{SPACE_FILE.name} lets nothing vary in {stage}.", "add a dimension there.")
    return space


def read_sweep(path: Path) -> Space:
    """The dimensions of a file as `axolotl train --sweep` takes it: names of the configuration, each with a list of values.
    Raises TwinError."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TwinError(
            f"The sweep {path} can't be read: {' '.join(str(error).split())[:200]}", "name a YAML file."
        ) from None
    if not isinstance(raw, dict) or not raw:
        raise TwinError(f"The sweep {path} lists nothing.", "write name: [value, value] in it.")
    if "_" in raw:
        raise TwinError(
            f"The sweep {path} varies values together (`_`).",
            "list each by itself: the search finds which go together.",
        )
    for name, values in raw.items():
        fits = isinstance(values, list) and values and all(type(value) in (int, float) for value in values)
        if not fits:
            raise TwinError(
                f"The sweep {path} has no list of numbers for {name}.",
                "write numbers, 0.0003 for 3e-4: what is no number is chosen by the profile.",
            )
    return {str(name): Dimension(choices=values) for name, values in raw.items()}


def shipped_values(space: Space, config: dict[str, Any]) -> dict[str, int | float]:
    """What the composed configuration has for the dimensions that it sets."""
    return {name: config[name] for name in space if isinstance(config.get(name), int | float)}
