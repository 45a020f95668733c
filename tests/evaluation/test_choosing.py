"""The best of several texts: by copying, support and voice, with instruments missing, and quotations being quotations."""

from functools import lru_cache

from tests.evaluation.evaluation_factories import heldout, neighbours, train
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.evaluation.choosing import WORDS, Chooser
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.grounding.quotations import Quotation

LEARNT = (
    "The tide table for Stenna was a day old, since the import trusted the clock on the wall of the pier."
)
OWN = "What Stenna had on its wall that morning was yesterday's table, and nobody had looked."
FALSE = "The captain ate bananas from Ecuador in the cathedral of Seville."
PASSAGES = ["The tide table for Stenna was a day old. Yesterday's table hung on the wall."]


@lru_cache
def chooser() -> Chooser:
    return Chooser(
        copying=CopyCheck([LEARNT]), measure=by_mix(load_embedder("offline-minilm").embed_kept),
        left_out={"sense": "no reference", "voice": "nobody is known"},
    )  # fmt: skip


def test_what_was_copied_loses_and_what_the_passages_support_wins() -> None:
    choice = chooser()([LEARNT, OWN], [], False)
    assert choice.chosen == 1
    assert [score.own for score in choice.scores] == [0.0, 1.0]
    assert chooser()([FALSE, OWN], PASSAGES, True).chosen == 1
    assert chooser()(["", "  ", FALSE], PASSAGES, True).chosen == 2, "no text is never the best"


def test_what_is_not_asked_is_said() -> None:
    assert chooser()([OWN, FALSE], [], False).left_out == {
        "sense": "no reference", "voice": "nobody is known", "support": "there are no passages",
    }  # fmt: skip
    choice = chooser()(["Well!", "No?"], PASSAGES, True)
    assert choice.left_out["support"] == "these texts are too short, or state nothing"
    assert Chooser()(["a", "b"], [], False).chosen == 0


def test_a_text_that_an_instrument_says_nothing_of_is_neither_better_nor_worse_for_it() -> None:
    choice = chooser()([FALSE, "Well!", OWN], PASSAGES, True)
    totals = [score.total for score in choice.scores]
    assert choice.scores[1].support is None
    assert totals[0] < totals[1] < totals[2]


def test_a_quotation_is_not_copied_and_has_no_voice() -> None:
    quoted = f"{Quotation(LEARNT, 1, 0.9)} {OWN}"
    assert chooser()([quoted], [], False).scores[0].own == 1.0
    assert chooser()([f"“{LEARNT}” {OWN}"], [], False).scores[0].own != 1.0, (
        "without its passage it is copied"
    )


def test_the_authors_new_text_is_chosen_among_strangers() -> None:
    voice = VoiceInstrument.fit([d.voice_text for d in train()], neighbours(), WORDS)
    strangers = [texts[0] for texts in neighbours().values()]
    own = next(d.voice_text for d in heldout())
    choice = Chooser(voice=voice)([*strangers, own], [], False)
    assert choice.chosen == len(strangers)
