"""The meter of a persona is fitted once for the same writing, and anew for other writing."""

from demo.replay_traffic import demo_corpus
from twin_assets.core.persona.definition import load_persona
from twin_assets.evaluation.voice.persona_meter import persona_meter
from twin_assets.settings import ROOT


def test_a_meter_is_fitted_once_for_the_same_training_text() -> None:
    persona, corpus = load_persona(ROOT / "personas", "runa"), demo_corpus()
    meter = persona_meter(persona, corpus)
    assert meter is not None
    assert persona_meter(persona, [d.model_copy() for d in corpus]) is meter
    heldout = [d.model_copy(update={"voice_text": "?"}) if d.split == "heldout" else d for d in corpus]
    assert persona_meter(persona, heldout) is meter, "the held-out side is no part of it"
    assert persona_meter(persona, corpus[1:]) is not meter
    assert persona_meter(persona, corpus[:1]) is None, "too little to know a voice by"
