"""Profiles: how large a model, how long a training, how strict a gate. One YAML file, one model."""

import yaml
from pydantic import BaseModel, ConfigDict

from twin_assets.core.errors import TwinError
from twin_assets.settings import ROOT

PROFILES_FILE = ROOT / "training_configs" / "profiles.yaml"


class Gate(BaseModel):
    """What a candidate must reach to be proposed.

    `min_margin_gain` is held against the lower end of the interval of candidate minus baseline; shares and
    rates are in [0, 1].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_margin_gain: float
    max_copied_share: float
    max_copied_words: int
    min_refusal_rate: float
    max_false_refusal_rate: float = 1.0


class Profile(BaseModel):
    """A size of model with the budgets that go with it. Tokens are of the model's own tokenizer.

    `max_shares` limits kinds of task to shares of the instruct rows, `max_kind_shares` kinds of pair to shares of
    the preference rows; `preference_pairs` is how many a model is asked to write.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    base_model: str
    sft_config: str
    dpo_config: str
    context_tokens: int
    answer_tokens: int
    passages: int
    passage_tokens: int
    min_train_rows: int
    max_shares: dict[str, float] = {}
    preference_pairs: int = 64
    max_kind_shares: dict[str, float] = {"voice": 1.0}
    nano_steps: int = 1000
    gate: Gate


def load_profile(name: str) -> Profile:
    """The profile of that name; raises TwinError naming the known ones."""
    raw = yaml.safe_load(PROFILES_FILE.read_text())
    if name not in raw:
        raise TwinError(f"There is no profile {name!r}.", f"set TWIN_PROFILE to one of: {', '.join(raw)}.")
    return Profile(name=name, **raw[name])
