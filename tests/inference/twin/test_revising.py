"""Whether a version of a section is better, where an instrument can be asked of one of the two only."""

import pytest

from twin_assets.inference.twin.candidates import CandidateScore
from twin_assets.inference.twin.chain.revising import gain

LONG = CandidateScore(sense=0.4, voice=-0.2, support=0.6, own=1.0, total=0.45)


def test_a_version_too_short_for_an_instrument_is_no_better_for_that() -> None:
    cut = CandidateScore(sense=0.3, support=0.6, own=1.0, total=0.63)
    assert cut.total > LONG.total
    assert gain(LONG, cut) == pytest.approx(-0.1 / 3)
    assert gain(cut, LONG) == pytest.approx(0.1 / 3)


def test_anything_is_better_than_nothing() -> None:
    assert gain(CandidateScore(total=-1.0), LONG) > 1
