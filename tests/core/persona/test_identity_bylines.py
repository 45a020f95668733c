"""Bylines as people write them: which name the persona, and which only mention them."""

import pytest

from twin_assets.core.persona.identity import Identity
from twin_assets.feature.crawl.formats.bylines import signed_by

ADA = Identity.from_names(["Ada Example", "ada.example", "a@clock.example"])


@pytest.mark.parametrize(
    "byline",
    [
        "Posted by Ada Example", "By: Ada Example", "Written by Ada Example", "Author: Ada Example", "Von Ada Example",
        "Geschrieben von Ada Example", "Ada Example (she/her)", "Ada Example (they/them)", "Dr. Ada Example",
        "Prof. Dr. Ada Example", "Ada Example, PhD", "Ada Example 🌊", "ADA EXAMPLE", "Example, Ada", "@ada.example",
        "Ada Example for The Clock", "Ada Example | The Clock", "Ada Example and Kim Other", "a@clock.example (Ada Example)",
    ],
)  # fmt: skip
def test_what_stands_around_a_name_makes_nobody_else_of_it(byline: str) -> None:
    assert ADA.accepts(*signed_by(byline))


@pytest.mark.parametrize(
    "byline",
    [
        "Kim Other, translated by Ada Example", "Ada Example, translated by Kim Other", "Interview with Ada Example",
        "Kim Other, edited by Ada Example", "Kim Other via Ada Example", "Kim Other for Ada Example", "About Ada Example",
        "Kim Example", "Ada Examples", "Guest: Kim Other", "As told to Ada Example", "Kim Other on behalf of Ada Example",
    ],
)  # fmt: skip
def test_a_name_that_had_another_part_in_a_text_does_not_sign_it(byline: str) -> None:
    assert not ADA.accepts(*signed_by(byline))


@pytest.mark.parametrize(
    ("called", "signs"),
    [
        ("Jessie Frazelle", "Jessica Frazelle"), ("Bob Cratchit", "Robert Cratchit"), ("Robert Cratchit", "Bob Cratchit"),
        ("Elizabeth Mary Bennet", "Lizzie Mary Bennet"), ("Mike Mason", "By Michael Mason"),
    ],
)  # fmt: skip
def test_the_short_and_the_long_form_of_a_given_name_are_one_person(called: str, signs: str) -> None:
    assert Identity.from_names([called]).accepts(*signed_by(signs))


@pytest.mark.parametrize(
    ("called", "signs"),
    [
        ("Jessie Frazelle", "Jessica Other"),
        ("Daniel Frazelle", "Daniela Frazelle"),
        ("Bob", "Robert"),
        ("Ada Example", "Eve Example"),
    ],
)
def test_another_given_name_or_family_is_another_person(called: str, signs: str) -> None:
    assert not Identity.from_names([called]).accepts(*signed_by(signs))
