"""What a hyperparameter search may vary: `training_configs/search.yaml`, fitted to a profile's own values."""

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
            return trial.suggest_categorical(name, self.choices)
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


def shipped_values(space: Space, config: dict[str, Any]) -> dict[str, int | float]:
    """What the composed configuration has for the dimensions that it sets."""
    return {name: config[name] for name in space if isinstance(config.get(name), int | float)}
