"""LiteLLM, opened the one way that this platform uses it: quiet, and asking the web for nothing."""

import logging
import os
import re
import threading
from typing import Any

logger = logging.getLogger(__name__)

# What a request can do without. A limit of tokens goes under its other name instead: without one, nothing bounds the cost.
_OPTIONAL = ("temperature", "top_p", "seed", "response_format", "stop")
_LIMIT, _OTHER_LIMIT = "max_tokens", "max_completion_tokens"


class RefusedParameters:
    """What models refused of a request, by model and address. Safe to use from several threads."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str | None], set[str]] = {}
        self._lock = threading.Lock()

    def add(self, model: str, url: str | None, name: str) -> None:
        with self._lock:
            self._names.setdefault((model, url), set()).add(name)

    def accepted(self, model: str, url: str | None, options: dict[str, Any]) -> dict[str, Any]:
        """The options without those that the model refused, a limit of tokens under its other name."""
        with self._lock:
            refused = frozenset(self._names.get((model, url), ()))
        accepted = {name: value for name, value in options.items() if name not in refused}
        if _LIMIT in refused and _LIMIT in options:
            accepted[_OTHER_LIMIT] = options[_LIMIT]
        return accepted


# The process's, for as long as it lives: a planner is made for each question, and is to pay for no refusal twice.
REFUSED = RefusedParameters()


def open_litellm() -> Any:
    """The litellm module, its telemetry off and its price table the one that it carries."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or the import asks the web for prices
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def ask(model: str, url: str | None, **options: Any) -> Any:
    """LiteLLM's answer to one request, never tried again but without a parameter that the model refuses by its name.

    Reasoning models refuse a temperature, old servers a response format, new ones `max_tokens`; litellm refuses some by
    itself, for models of its table. What a model refused is left out from then on. Raises what LiteLLM raises.
    """
    litellm = open_litellm()
    while True:
        accepted = REFUSED.accepted(model, url, options)
        try:
            return litellm.completion(model=model, api_base=url, num_retries=0, max_retries=0, **accepted)
        except Exception as error:
            name = _refused_parameter(error, accepted)
            if name is None:
                raise
        logger.warning("%s refuses the parameter %s: it is asked without it", model, name)
        REFUSED.add(model, url, name)


def _refused_parameter(error: Exception, options: dict[str, Any]) -> str | None:
    """The parameter that a refusal names first; None for other refusals, and where nothing can be left out."""
    errors = open_litellm().exceptions
    about_text = isinstance(error, (errors.ContextWindowExceededError, errors.ContentPolicyViolationError))
    if getattr(error, "status_code", None) not in (400, 422) or about_text:
        return None
    text = str(error)
    named = [
        (match.start(), name)
        for name in (*_OPTIONAL, _LIMIT)
        if name in options and (match := re.search(rf"\b{name}\b", text))
    ]
    return min(named)[1] if named else None


def table_price(model: str) -> tuple[float, float] | None:
    """US dollars a token, in and out, from LiteLLM's table; None for a model that it doesn't know."""
    table = open_litellm().model_cost
    prices = table.get(model) or table.get(model.split("/", 1)[-1])
    if not prices:
        return None
    return float(prices.get("input_cost_per_token") or 0), float(prices.get("output_cost_per_token") or 0)


def token_prices(model: str, price_in: float | None, price_out: float | None) -> tuple[float, float] | None:
    """US dollars a token, in and out: the prices that are set (dollars a million), else those of LiteLLM's table."""
    if price_in is not None and price_out is not None:
        return price_in / 1e6, price_out / 1e6
    return table_price(model)
