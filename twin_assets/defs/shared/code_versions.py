"""Code versions that follow the settings, so that another profile or training config makes its assets stale."""

from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import load_profile
from twin_assets.settings import load_settings
from twin_assets.training.configs.overlays import TrainingStage, compose_overlays
from twin_assets.training.configs.tuned import tuned_values

_DATASET = {
    "context_tokens", "answer_tokens", "passages", "passage_tokens", "min_train_rows", "max_train_rows", "max_test_rows",
    "max_shares",
}  # fmt: skip
_PAIRS = {"answer_tokens", "preference_pairs", "preference_samples", "max_kind_shares"}


def dataset_version(code: str, *, pairs: bool = False) -> str:
    """`code` and the profile's values that shape the dataset; of `pairs`, the preference dataset, which has single thumbs for KTO; else of
    the instruct dataset, which may have documents."""
    settings = load_settings()
    values = load_profile(settings.profile).model_dump(mode="json", include=_PAIRS if pairs else _DATASET)
    more: dict[str, object] = {"thumbs": True} if pairs and settings.preference_method == "kto" else {}
    if not pairs and settings.continued_pretraining_tokens:
        more = {"documents": settings.continued_pretraining_tokens}
    return _version(code, values | more)


def base_version(code: str) -> str:
    """`code` and what the profile's base model is made or fetched from."""
    profile = load_profile(load_settings().profile)
    return _version(code, profile.model_dump(mode="json", include={"base_model", "nano_steps", "template"}))


def training_version(code: str, stage: TrainingStage) -> str:
    """`code` and the Axolotl values of the stage, tuned ones included; of SFT also those of what is read before it."""
    settings = load_settings()
    profile = load_profile(settings.profile)

    def values(of: TrainingStage) -> dict[str, object]:
        return compose_overlays(profile, of) | tuned_values(settings, profile.name, of)

    reads = stage == "sft" and settings.continued_pretraining_tokens
    return _version(code, values(stage) | ({"cpt": values("cpt")} if reads else {}))


def _version(code: str, values: object) -> str:
    return f"{code}-{fingerprint(values, 8)}"
