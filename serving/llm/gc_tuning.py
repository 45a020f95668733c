"""Keeps a server's long tail short: Python's garbage collector looks only at what requests make."""

import gc
from typing import Any

# Objects made before the youngest are looked at; with Python's 700 that is several times a request.
YOUNGEST = 20_000
# Of `bentoml.service`. BentoML makes a span of every request and, unless a sample rate is set, throws it away: half
# of a bare service's time. `services.<name>.tracing` of BentoML's own configuration counts more than this.
UNTRACED: dict[str, Any] = {"excluded_urls": ".*"}


def keep_steady() -> None:
    """Call when everything is loaded: what libraries and models hold is never looked at again.

    A full collection stops all requests while it visits every object; BentoML brings them about, since it leaves
    a timer behind for each request until the service's timeout has passed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, 20, 20)
