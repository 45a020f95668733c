"""How a persona's voice is measured, fitted once a process for the same writing: an hour's scoring and drift both ask for it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.persona.impostors import IMPOSTORS
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.lake import Lake
from twin_assets.evaluation.voice.background import Background, gather
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import WINDOW

Texts = tuple[tuple[str, tuple[str, ...]], ...]


def training_prose(corpus: Sequence[SplitDocument]) -> tuple[str, ...]:
    """What instruments learn the author from: the training side's texts without code, in the corpus' order. A tuple, so that what is fitted
    on them can be kept."""
    return tuple(d.voice_text for d in training_documents(corpus))


def training_documents(corpus: Sequence[SplitDocument]) -> list[SplitDocument]:
    """Those that `training_prose` is the text of."""
    return [d for d in corpus if d.split == "train" and d.category != "code"]


def persona_meter(persona: Persona, corpus: Sequence[SplitDocument]) -> VoiceMeter | None:
    """Fitted on the training side's prose and those of the persona's impostors who write in its language; None where that is
    too little to know a voice by."""
    named = read_impostors(persona.impostors)
    known = gather(_names(persona), _own(corpus), named, packages=False).people
    return _fitted(training_prose(corpus), _frozen(known))


def no_voice(persona: Persona, corpus: Sequence[SplitDocument], lake: Lake, folder: Path | None) -> str:
    """Why there is no figure, where `persona_instrument` has none."""
    background = persona_background(persona, corpus, lake, folder)
    return background.no_figure or (
        f"there is too little writing of the author, or of other people of the language ({len(background.people)} are known)"
    )


def persona_background(
    persona: Persona, corpus: Sequence[SplitDocument], lake: Lake, folder: Path | None
) -> Background:
    """Whom the persona is told from: named impostors, and the writers of `folder`, or of the lake without one."""
    if folder is None and any(True for _ in lake.keys(IMPOSTORS)):
        folder = lake.local(IMPOSTORS)
    return gather(_names(persona), _own(corpus), read_impostors(persona.impostors), folder)


def _names(persona: Persona) -> list[str]:
    return [persona.full_name, *persona.also_known_as]


def _own(corpus: Sequence[SplitDocument]) -> list[str]:
    return [d.voice_text for d in corpus if d.category != "code"]


def persona_instrument(
    persona: Persona, corpus: Sequence[SplitDocument], lake: Lake, folder: Path | None
) -> VoiceInstrument | None:
    """Fitted on the training side's prose and everybody the persona can be told from."""
    return voice_instrument(training_prose(corpus), persona_background(persona, corpus, lake, folder))


def voice_instrument(
    author: Sequence[str], background: Background, words: int = WINDOW
) -> VoiceInstrument | None:
    """Fitted on the author's training texts, for windows of `words` words; None where there is too little of the author or of
    other people."""
    return _calibrated(tuple(author), _frozen(background.people), _frozen(background.packages), words)


def _frozen(writers: dict[str, list[str]]) -> Texts:
    return tuple((name, tuple(texts)) for name, texts in sorted(writers.items()))


def _thawed(writers: Texts) -> dict[str, list[str]]:
    return {name: list(texts) for name, texts in writers}


@lru_cache(maxsize=2)
def _fitted(author: tuple[str, ...], impostors: Texts) -> VoiceMeter | None:
    try:
        return VoiceMeter.fit(list(author), _thawed(impostors))
    except TwinError:
        return None


@lru_cache(maxsize=2)
def _calibrated(
    author: tuple[str, ...], people: Texts, packages: Texts, words: int
) -> VoiceInstrument | None:
    try:
        return VoiceInstrument.fit(author, _thawed(people), words, _thawed(packages))
    except TwinError:
        return None
