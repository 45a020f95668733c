"""What chooses among texts is fitted beside the requests, on the corpus as it stands, and says what it lacks."""

from pathlib import Path

from serving.twin.instruments import FITTING, NO_CORPUS, Instruments
from tests.evaluation.evaluation_factories import heldout, train
from tests.support.machine import until
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import ROOT, Settings

TEXTS = [
    "Eleven boats, and one clock that nobody had looked at. " * 12,
    "The board has a spring in it. " * 20,
]


def test_a_request_never_waits_for_instruments_and_later_ones_have_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, reference_model="none", impostors_dir=ROOT / "demo" / "neighbours")
    lake, persona, profile = (
        LocalLake(settings.lake_dir),
        load_persona(ROOT / "personas", "runa"),
        load_profile("pocket"),
    )
    instruments = Instruments(settings, lake)

    def left_out() -> dict[str, str]:
        return instruments.chooser(persona, profile)(TEXTS, [], False).left_out

    assert left_out()["voice"] == FITTING
    assert until(lambda: left_out()["voice"] != FITTING and left_out())["voice"] == NO_CORPUS
    FeatureStore(lake).write("corpus_split", "runa", [*train(), *heldout()], list[SplitDocument])
    known = until(lambda: (found := left_out()).get("voice") is None and found)
    assert known == {"sense": "TWIN_REFERENCE_MODEL is none", "support": "there are no passages"}
    scores = instruments.chooser(persona, profile)([*TEXTS, train()[0].voice_text], [], False).scores
    assert all(score.voice is not None and score.own is not None for score in scores)
    assert scores[2].own == 0.0, "it stands in what was learnt"
