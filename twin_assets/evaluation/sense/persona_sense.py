"""What says of a persona whether texts read as language: fitted once a process for the same writing."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.kept import KeptValues
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.sense.passages import PassageMeter
from twin_assets.evaluation.sense.reference import load_reference
from twin_assets.evaluation.voice.persona_meter import training_prose
from twin_assets.settings import Settings


def persona_sense(
    settings: Settings, profile: Profile, corpus: Sequence[SplitDocument]
) -> tuple[SenseMeter | None, str]:
    """Fitted on the training side's prose, whose figures are kept in the cache; or None, and why.

    A model that can't be fetched, and too little writing, are reasons here and no errors: scoring goes on without.
    """
    if settings.reference_model == "none":
        return None, "TWIN_REFERENCE_MODEL is none"
    if profile.evaluation.passages == 0:
        return None, f"the profile {profile.name} leaves it out"
    if find_spec("transformers") is None:  # in the gateway's image
        return (
            None,
            "its reference model takes torch, which isn't installed (pip install 'llm-twin-platform[llm]')",
        )
    prose = training_prose(corpus)
    try:
        return fitted_sense(settings.reference_model, settings.embedder, settings.cache_dir, prose), ""
    except TwinError as error:
        return None, str(error)


@lru_cache(maxsize=2)
def fitted_sense(reference: str, embedder: str, cache_dir: Path, author: tuple[str, ...]) -> SenseMeter:
    """Fitted on the author's texts by the models of these names. Raises TwinError for too few, and for a model that can't be loaded."""
    embedding, model = load_embedder(embedder), load_reference(reference, cache_dir)
    kept: KeptValues[str] = KeptValues(cache_dir / "sense.sqlite", "passages")
    fitted = SenseMeter.fit(PassageMeter(model, embedding.embed, embedding.fingerprint, kept), list(author))
    model.load()  # with the author's figures kept it was not asked yet, and must not fail halfway
    return fitted
