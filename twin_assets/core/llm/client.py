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
_refused: dict[tuple[str, str | None], set[str]] = {}
_lock = threading.Lock()


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
        given = _accepted(model, url, options)
        try:
            return litellm.completion(model=model, api_base=url, num_retries=0, max_retries=0, **given)
        except Exception as error:
            name = _refused_parameter(error, given)
            if name is None:
                raise
        logger.warning("%s refuses the parameter %s: it is asked without it", model, name)
        with _lock:
            _refused.setdefault((model, url), set()).add(name)


def _accepted(model: str, url: str | None, options: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        refused = frozenset(_refused.get((model, url), ()))
    given = {name: value for name, value in options.items() if name not in refused}
    if _LIMIT in refused and _LIMIT in options:
        given[_OTHER_LIMIT] = options[_LIMIT]
    return given


def _refused_parameter(error: Exception, given: dict[str, Any]) -> str | None:
    """The parameter that a refusal names first; None for other refusals, and where nothing can be left out."""
    errors = open_litellm().exceptions
    about_text = isinstance(error, (errors.ContextWindowExceededError, errors.ContentPolicyViolationError))
    if getattr(error, "status_code", None) not in (400, 422) or about_text:
        return None
    text = str(error)
    named = [
        (found.start(), name)
        for name in (*_OPTIONAL, _LIMIT)
        if name in given and (found := re.search(rf"\b{name}\b", text))
    ]
    return min(named)[1] if named else None


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
