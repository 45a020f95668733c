"""What the monitoring page says of a version's voice."""

import pytest

from twin_assets.monitoring.report.page import _scores
from twin_assets.monitoring.scores.live_quality import Quality
from twin_assets.monitoring.scores.records import ModelVoice

VOICE = ModelVoice(
    model="runa:one", margin=0.31, margin_low=0.2, margin_high=0.4, words=900, figure=0.9, figure_low=0.8, figure_high=1.0
)  # fmt: skip


@pytest.mark.parametrize(
    ("reads", "voice", "shown"),
    [
        (0.95, VOICE, ("0.90", "0.80 to 1.00")),
        (None, VOICE, ("0.90", "0.80 to 1.00")),  # not measured: nothing is known against it
        (0.3, VOICE, ("noise has none", "–")),
        (0.95, None, ("–", "–")),
        (0.95, VOICE.model_copy(update={"figure": None}), ("+0.31 (old measure)", "+0.20 to +0.40")),
    ],
)
def test_what_does_not_read_as_language_has_no_voice(
    reads: float | None, voice: ModelVoice | None, shown: tuple[str, str]
) -> None:
    scored = Quality(group="runa:one", requests=9, declined=0.0, failed=0.0, reads=reads, reads_texts=4)
    cells = _scores(scored, voice)
    assert (cells["voice"], cells["voice, 95%"]) == shown
    assert cells["reads as language"] == ("–" if reads is None else f"{reads:.0%}")
