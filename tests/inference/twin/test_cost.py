"""The price of an answer: a hosted model's tokens, one's own machine's time, or not known."""

from pathlib import Path

import pytest

from twin_assets.core.llm.client import open_litellm
from twin_assets.inference.twin.cost import price_of
from twin_assets.settings import Settings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"hardware_usd_per_hour": 3.6}, 0.002),
        ({"hardware_usd_per_hour": 3.6, "llm_usd_per_hour": 7.2}, 0.004),
        ({"llm_model": "mine", "llm_price_in": 1.0, "llm_price_out": 10.0}, 0.0002),
        ({"llm_model": "nobody-knows-it", "hardware_usd_per_hour": 3.6}, None),
        ({"llm_model": "nobody-knows-it", "llm_usd_per_hour": 3.6}, 0.002),
    ],
)
def test_the_price_follows_who_writes(
    tmp_path: Path, changes: dict[str, object], expected: float | None
) -> None:
    price = price_of(Settings(home=tmp_path).model_copy(update=changes))
    assert price(100, 10, 2000.0) == (None if expected is None else pytest.approx(expected))


def test_a_hosted_model_costs_what_litellms_table_says(tmp_path: Path) -> None:
    known = open_litellm().model_cost["gpt-4o-mini"]
    price = price_of(Settings(home=tmp_path, llm_model="gpt-4o-mini"))
    expected = 1000 * known["input_cost_per_token"] + 100 * known["output_cost_per_token"]
    assert price(1000, 100, 0.0) == pytest.approx(expected)
    assert expected > 0
