"""What an answer costs, by who writes it: a hosted model by its tokens, one's own machine by its hours."""

from collections.abc import Callable

from twin_assets.core.llm.client import token_prices
from twin_assets.settings import Settings

# Tokens read, tokens written, milliseconds of generating: US dollars, None where no price is known.
Price = Callable[[int, int, float], float | None]


def price_of(settings: Settings) -> Price:
    """The price of an answer under these settings.

    With a hosted `llm_model`: `llm_price_in` and `llm_price_out`, else LiteLLM's table. Otherwise the time of
    generating at `llm_usd_per_hour`: requests that are written side by side each count in full, idle hours not
    at all, so this is what a request would cost alone and not a share of the bill.
    """
    hourly = settings.llm_usd_per_hour
    if settings.llm_model is not None:
        dollars = token_prices(settings.llm_model, settings.llm_price_in, settings.llm_price_out)
        if dollars is not None:
            return lambda read, written, ms: read * dollars[0] + written * dollars[1]
    elif hourly is None:
        hourly = settings.hardware_usd_per_hour
    return lambda read, written, ms: hourly * ms / 3_600_000 if hourly else None
