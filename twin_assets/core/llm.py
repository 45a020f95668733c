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
