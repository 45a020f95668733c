"""LiteLLM, opened the one way that this platform uses it: quiet, and asking the web for nothing."""

import os
from typing import Any


def open_litellm() -> Any:
    """The litellm module, its telemetry off and its price table the one that it carries."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or the import asks the web for prices
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def table_price(model: str) -> tuple[float, float] | None:
    """US dollars a token, in and out, from LiteLLM's table; None for a model that it doesn't know."""
    table = open_litellm().model_cost
    known = table.get(model) or table.get(model.split("/", 1)[-1])
    if not known:
        return None
    return float(known.get("input_cost_per_token") or 0), float(known.get("output_cost_per_token") or 0)


def token_prices(model: str, price_in: float | None, price_out: float | None) -> tuple[float, float] | None:
    """US dollars a token, in and out: the prices that are set (dollars a million), else those of LiteLLM's table."""
    if price_in is not None and price_out is not None:
        return price_in / 1e6, price_out / 1e6
    return table_price(model)
