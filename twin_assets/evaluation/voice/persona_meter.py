"""The voice meter of a persona, fitted once a process for the same writing: an hour's scoring and drift both ask for it."""

from collections.abc import Sequence
from functools import lru_cache

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import SplitDocument
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.meter import VoiceMeter


def persona_meter(persona: Persona, corpus: Sequence[SplitDocument]) -> VoiceMeter | None:
    """Fitted on the training side's prose and the persona's impostors; None where that is too little to know a voice by."""
    prose = tuple(d.voice_text for d in corpus if d.split == "train" and d.category != "code")
    impostors = read_impostors(persona.impostors)
    return _fitted(prose, tuple((name, tuple(texts)) for name, texts in sorted(impostors.items())))


@lru_cache(maxsize=2)
def _fitted(author: tuple[str, ...], impostors: tuple[tuple[str, tuple[str, ...]], ...]) -> VoiceMeter | None:
    try:
        return VoiceMeter.fit(list(author), {name: list(texts) for name, texts in impostors})
    except TwinError:
        return None
