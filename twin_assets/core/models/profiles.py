"""Profiles: how large a model, how long a training, how strict a gate. One name chooses it all."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import DEFAULT_FAMILY, Architecture, Family, TemplateFix, load_families
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.settings import ROOT

PROFILES_FILE = ROOT / "training_configs" / "profiles.yaml"


class Gate(BaseModel):
    """What a candidate must reach to be proposed. Shares and rates are in [0, 1].

    `min_voice_gain` (`min_margin_gain` in files of before) is held against the lower end of the interval of candidate minus
    baseline, of voice figures, of margins where there are no figures, and one that could not be measured is short of it.
    Those that may be None are then reported and block nothing: `min_reading_share` is the least share of passages that read
    within the author's range, `max_worse_reading` the most pairs of a passage and one of the author's in which it reads
    worse (0.5 is as the author), `usually_far_reading` the share of passages that may read worse than 95% of the author's,
    beyond what chance adds; `min_supported` is the least share of claims that passages support, `max_support_loss`
    how far it may be below the baseline's,
    `max_answered_wrongly` and `max_declined_wrongly` the model's own refusal errors, `max_served_wrongly` and
    `max_served_declined` those of what the service gives, with its gate and its checks, `max_private` findings of
    personal data and `max_secrets` of keys and passwords in generated text, `max_ability_loss` is held against the
    measured loss, `max_latency` is in seconds, and `blind_reader` is the share of pairs in which people who read blind must
    find it closer than its base model with a prompt, held against the lower end of the interval when it is approved.
    `bar_voice_share` is the comparison's: how far from other authors (0) to the author (1) a system's voice must come.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_voice_gain: float | None
    min_reading_share: float | None = None
    max_worse_reading: float | None = None
    usually_far_reading: float | None = None
    max_copied_share: float
    max_copied_words: int
    min_refusal_rate: float
    max_false_refusal_rate: float = 1.0
    min_supported: float | None = None
    max_support_loss: float | None = None
    max_answered_wrongly: float | None = None
    max_declined_wrongly: float | None = None
    max_served_wrongly: float | None = None
    max_served_declined: float | None = None
    max_private: int | None = None
    max_secrets: int | None = None
    max_ability_loss: float | None = None
    max_latency: float | None = None
    blind_reader: Annotated[float, Field(ge=0, lt=1)] | None = None
    bar_voice_share: float = 0.5

    @model_validator(mode="before")
    @classmethod
    def _by_new_name(cls, given: Any) -> Any:
        """Whoever keeps profiles of their own may have the name of before; both at once would leave one unheeded."""
        if not isinstance(given, dict) or (old := "min_margin_gain") not in given:
            return given
        if "min_voice_gain" in given:
            raise TwinError(
                f"A gate has both min_voice_gain and {old}, its name of before.",
                f"take {old} out of profiles.yaml.",
            )
        return {"min_voice_gain" if name == old else name: value for name, value in given.items()}


class EvaluationSize(BaseModel):
    """How much an evaluation asks: texts that everybody writes at first, 250-word windows that those which are compared
    text by text go on to (up to three times the texts), how closely the gain in voice over the baseline is to be told (half
    of its 95% interval, in voice figures: both write up to five times their texts for it), questions of each kind, tokens
    of an answer, calls that are timed one by one, pairs that a judge compares, further texts of candidate and base model
    that people may read blind, passages of each system that must read as language (0: not measured), and whether the base
    model writes with nothing but the task too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[int, Field(ge=1, le=500)] = 24
    windows: Annotated[int, Field(ge=1, le=100)] = 8
    gain_within: Annotated[float, Field(gt=0, le=1)] | None = None
    questions: int = 40
    answer_tokens: int = 256
    calls_alone: int = 5
    judge_pairs: int = 24
    blind_texts: Annotated[int, Field(ge=0, le=100)] = 0
    passages: int = 48
    bare: bool = True


Method = Literal["full", "lora", "qlora", "qat"]
Parallel = Literal["single", "fsdp2", "zero3"]


class Profile(BaseModel):
    """A size of model with the budgets that go with it. Tokens are of the model's own tokenizer.

    `overlays` are the files of training_configs that make its Axolotl configuration, in order, and `axolotl`
    the family's own values. `max_train_rows` and `max_test_rows` are what its time budget affords; `max_shares` limits kinds of task to shares of the instruct rows, `max_kind_shares` kinds of pair to shares of
    the preference rows; `preference_pairs` is how many a model is asked to write, each in
    `preference_samples` texts of which the worst is rejected. `plumbing` marks a size whose models write
    noise: they prove that the platform runs, and are released only where a setting says so. `answers` is what a persona's
    `answers:` leaves open.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str
    size: str
    family: str | None = None
    method: Method
    parallel: Parallel
    base_model: str
    architecture: Architecture | None = None
    template: TemplateFix | None = None
    overlays: tuple[str, ...]
    axolotl: dict[str, Any] = {}
    context_tokens: int
    answer_tokens: int
    passages: int
    passage_tokens: int
    min_train_rows: int
    max_train_rows: int | None = None
    max_test_rows: int | None = None
    max_shares: dict[str, float] = {}
    preference_pairs: int = 64
    preference_samples: Annotated[int, Field(ge=1, le=64)] = 1
    max_kind_shares: dict[str, float] = {"voice": 1.0}
    plumbing: bool = False
    nano_steps: int = 1000  # about 200 s on two idle cores
    answers: AnswerOptions = AnswerOptions()
    gate: Gate
    evaluation: EvaluationSize = EvaluationSize()

    @property
    def base_name(self) -> str:
        """What every method of training this model shares: the base model is kept once for all of them."""
        return f"{self.family}-{self.size}" if self.family else self.size


def load_profile(name: str) -> Profile:
    """The profile of that name: `[family-]size[-method]`; raises TwinError naming what there is."""
    sizes, families = _sizes(), load_families()
    parts = name.lower().split("-")
    family = parts.pop(0) if parts[0] in families else None
    size = parts.pop(0) if parts else ""
    if size not in sizes:
        raise TwinError(
            f"There is no profile {name!r}.",
            f"set TWIN_PROFILE to a size ({', '.join(sizes)}), with a family in front if you like "
            f"({', '.join(families)}; without, {DEFAULT_FAMILY}), such as llama-8b.",
        )
    methods = sizes[size]["methods"]
    method = parts.pop(0) if parts else next(iter(methods))
    if parts or method not in methods:
        raise TwinError(
            f"The profile {name!r} asks for a method that the size {size} does not have.",
            f"put one of these behind it, or none: {', '.join(methods)}.",
        )
    if "base_model" in sizes[size]:
        if family:
            raise TwinError(f"The size {size} belongs to no family.", f"set TWIN_PROFILE={size}.")
        return _profile(sizes[size], size, method, None, None)
    chosen = family or DEFAULT_FAMILY
    if size not in families[chosen].models:
        raise TwinError(
            f"The family {chosen} has no model of the size {size}.",
            f"use one of: {', '.join(f'{chosen}-{s}' for s in families[chosen].models)}.",
        )
    if method not in (offered := _methods(sizes[size], families[chosen])):
        raise TwinError(
            f"The family {chosen} can't be trained with {method} in the size {size}.",
            f"use one of: {', '.join(offered)}.",
        )
    return _profile(sizes[size], size, method, chosen, families[chosen])


def profile_names() -> Iterator[str]:
    """Every profile there is by its full name, in the order of the files: families, sizes, methods."""
    sizes, families = _sizes(), load_families()
    for size, values in sizes.items():
        if "base_model" in values:
            yield from (size + _suffix(values, method) for method in values["methods"])
    for family, facts in families.items():
        for size in facts.models:
            for method in _methods(sizes[size], facts):
                yield f"{family}-{size}{_suffix(sizes[size], method)}"


def _suffix(size: dict[str, Any], method: str) -> str:
    """How a method is named behind its size: the first not at all."""
    return "" if method == next(iter(size["methods"])) else f"-{method}"


def _methods(size: dict[str, Any], family: Family) -> list[str]:
    """What a family offers in a size."""
    return [method for method in size["methods"] if family.methods is None or method in family.methods]


def _profile(
    values: dict[str, Any], size: str, method: str, name: str | None, family: Family | None
) -> Profile:
    methods, budgets = values["methods"], {k: v for k, v in values.items() if k != "methods"}
    suffix = _suffix(values, method)
    parallel = methods[method]
    overlays = ["base.yaml", f"methods/{method}.yaml", f"sizes/{size}.yaml"]
    if parallel != "single":
        overlays.append(f"parallel/{parallel}.yaml")
    facts: dict[str, Any] = {
        "name": f"{name}-{size}{suffix}" if name else f"{size}{suffix}",
        "size": size, "family": name, "method": method, "parallel": parallel, "overlays": overlays,
    }  # fmt: skip
    if family:
        model = family.models[size]
        facts |= {
            "base_model": model.id,
            "architecture": model,
            "template": family.template,
            "axolotl": family.axolotl,
        }
    return Profile(**budgets, **facts)


def _sizes() -> dict[str, dict[str, Any]]:
    return _parsed(PROFILES_FILE.read_text())


@lru_cache
def _parsed(text: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(text)
