"""Calls to follow and subscribe are no writing, whatever reason stands before them; sentences that only begin so are."""

import pytest

from twin_assets.core.text.html.boilerplate import boilerplate_kind


@pytest.mark.parametrize(
    "line",
    ["If you enjoyed this, follow me on Medium and subscribe to get an email whenever I publish.",
     "If you liked this post, please share it on Twitter.", "Thanks for reading! Subscribe for free to receive new posts.",
     "Don't forget to subscribe to my newsletter"],
)  # fmt: skip
def test_calls_with_a_reason_before_them_are_no_writing(line: str) -> None:
    assert boilerplate_kind(line)


@pytest.mark.parametrize(
    "line",
    ["If you enjoyed the ferry, follow the coast road north and leave before the tide.",
     "Follow the signs and subscribe to nothing.", "Thanks for reading the gauge, Jory.",
     "If you found a clock, tell Magnus and leave it where it is."],
)  # fmt: skip
def test_sentences_that_only_begin_like_a_call_stay(line: str) -> None:
    assert boilerplate_kind(line) is None
