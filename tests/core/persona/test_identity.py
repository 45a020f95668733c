"""Whose words: a byline names the persona in any of the forms that sources write it in."""

import pytest

from twin_assets.core.persona.identity import Identity

ADA = Identity.from_names(["Ada Éxample", "adaex", "ada@bridges.example", "@ada@social.example"])


@pytest.mark.parametrize(
    "byline",
    ["Ada Éxample", "  ada éxample ", "By Ada Éxample", "Ada E\u0301xample", "@adaex", "ADAEX", "Éxample, Ada",
     "Ada E. <ada@bridges.example>", "mailto:ada@bridges.example", "https://x.example/@adaex", "ada@social.example"],
)  # fmt: skip
def test_forms_of_ones_own_name_are_known(byline: str) -> None:
    assert ADA.is_named(byline)
    assert ADA.accepts("Kim Other", byline)


@pytest.mark.parametrize(
    "byline",
    ["Kim Other", "Ada", "Ada Éxample-Other", "kim@bridges.example", "Kim <kim@bridges.example>", "adaexx"],
)
def test_another_name_is_not_ones_own(byline: str) -> None:
    assert not ADA.accepts(byline)


def test_an_unsigned_piece_of_a_persons_own_source_is_theirs() -> None:
    assert ADA.accepts(None, "", "  ")
    assert not ADA.is_named(None)
