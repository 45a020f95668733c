"""What a persona's exported model is judged by, opened from what is stored, as the evaluation opens it."""

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import SplitDocument, most_closed
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.core.vectors import open_store
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.voice.persona_meter import persona_instrument
from twin_assets.export.judge import Measures
from twin_assets.inference.retrieval.retriever import open_retriever
from twin_assets.settings import Settings


def open_measures(settings: Settings, lake: Lake, version: ModelVersion) -> Measures:
    """Raises TwinError where the persona, its documents or its index are not there."""
    persona = load_persona(settings.personas_dir, version.lineage.persona)
    profile = load_profile(version.lineage.profile)
    documents = FeatureStore(lake).load("corpus_split", persona.name, list[SplitDocument])
    learnt = [d for d in documents if persona.may_learn(d.visibility)]
    if not learnt:
        raise TwinError(
            f"Nothing of {persona.name}'s writing is stored.", f"collect it with `twin run {persona.name}`."
        )
    audience = most_closed(d.visibility for d in learnt)
    embedder = load_embedder(settings.embedder)
    retriever = open_retriever(settings, persona, open_store(settings, persona.name), embedder, audience)
    sense, no_sense = persona_sense(settings, profile, learnt)
    voice = persona_instrument(persona, documents, lake, settings.impostors_dir)
    missing = [f"sense, since {no_sense}"] if sense is None else []
    missing += ["voice, since there is too little writing to tell it"] if voice is None else []
    return Measures(
        persona, profile, learnt, retriever.retrieve, voice, sense, settings.seed, missing="; ".join(missing)
    )
