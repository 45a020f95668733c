"""What chooses among texts, by persona: the judge's instruments, fitted beside the requests and never in one.

Until they are there, and while a new corpus is read, requests are chosen for by what there is, and say so.
"""

import logging
import threading
from collections import OrderedDict
from functools import partial
from typing import NamedTuple

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.evaluation.choosing import WORDS, Chooser
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.persona_meter import (
    no_voice,
    persona_background,
    training_prose,
    voice_instrument,
)
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.twin.candidates import Choice, Choose
from twin_assets.settings import Settings

KEPT_PERSONAS = 8
FITTING = "it is being fitted on the author's writing: a minute after the first request it is there"
NO_CORPUS = "the persona's writing is not there: materialise corpus_split"

logger = logging.getLogger("serving")


class _Fitted(NamedTuple):
    """A chooser, and what it was fitted on: a version of the corpus, and how many documents were erased."""

    of: tuple[str | None, int]
    chooser: Chooser


class Instruments:
    """Of one process."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings, self._lake = settings, lake
        self._store = FeatureStore(lake)
        self._fitted: OrderedDict[str, _Fitted] = OrderedDict()
        self._fitting: set[str] = set()
        # One choice at a time: the reference model has as many threads as there are cores.
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def chooser(self, persona: Persona, profile: Profile) -> Choose:
        """Chooses by what is fitted by now; whether the lake has something newer is seen beside this request."""
        return partial(self._choose, self._current(persona, profile))

    def copied(self, persona: Persona, profile: Profile, text: str) -> list[str]:
        """Runs of a text's words that stand in the persona's writing, the longest first; none until that was read."""
        copying = self._current(persona, profile).copying
        return copying.report([text]).examples if copying else []

    def _current(self, persona: Persona, profile: Profile) -> Chooser:
        name = persona.name
        with self._lock:
            known = self._fitted.get(name)
            if name not in self._fitting:
                self._fitting.add(name)
                threading.Thread(
                    target=self._renew, args=(persona, profile, known), daemon=True, name="instruments"
                ).start()
        return known.chooser if known else self._bare(FITTING)

    def _choose(self, chooser: Chooser, texts: list[str], passages: list[str], facts: bool) -> Choice:
        with self._turn:
            return chooser(texts, passages, facts)

    def _bare(self, why: str) -> Chooser:
        """What needs no fitting."""
        measure = by_mix(load_embedder(self._settings.embedder).embed_kept)
        return Chooser(measure=measure, left_out=dict.fromkeys(("sense", "voice", "own"), why))

    def _renew(self, persona: Persona, profile: Profile, known: _Fitted | None) -> None:
        """Fit anew where the corpus, or what was erased of it, is another than what is `known` was fitted on."""
        name = persona.name
        try:
            of = (
                self._store.latest("corpus_split", name),
                len(erased_list(self._lake, name).documents),
            )
            if known is None or known.of != of:
                self._keep(name, _Fitted(of, self._fit(persona, profile, of[0])))
        except Exception:  # a lake that is away: what was fitted holds
            logger.exception("what chooses among texts of %s can't be looked for", name)
        finally:
            with self._lock:
                self._fitting.discard(name)

    def _fit(self, persona: Persona, profile: Profile, version: str | None) -> Chooser:
        try:
            return self._made(persona, profile, version)
        except Exception:  # requests go on without
            logger.exception("what chooses among texts of %s can't be fitted", persona.name)
            return self._bare("it could not be fitted: the service's log says why")

    def _keep(self, name: str, fitted: _Fitted) -> None:
        with self._lock:
            self._fitted[name] = fitted
            self._fitted.move_to_end(name)
            while len(self._fitted) > KEPT_PERSONAS:
                self._fitted.popitem(last=False)

    def _made(self, persona: Persona, profile: Profile, version: str | None) -> Chooser:
        if version is None:
            return self._bare(NO_CORPUS)
        try:
            corpus = self._store.read("corpus_split", persona.name, version)
        except TwinError as error:
            return self._bare(error.problem)
        s, lake = self._settings, self._lake
        sense, no_sense = persona_sense(s, profile, corpus)
        prose = training_prose(corpus)
        voice = voice_instrument(prose, persona_background(persona, corpus, lake, s.impostors_dir), WORDS)
        left_out = {} if sense else {"sense": no_sense}
        if voice is None:
            left_out |= {"voice": no_voice(persona, corpus, lake, s.impostors_dir)}
        measure = by_mix(load_embedder(s.embedder).embed_kept)
        return Chooser(sense, voice, CopyCheck(list(prose)), measure, left_out)
