"""Keeps a server's long tail short: Python's garbage collector looks only at what requests make."""

import gc

# Objects made before the youngest are looked at; with Python's 700 that is several times a request.
YOUNGEST = 20_000


def keep_steady() -> None:
    """Call when everything is loaded: what libraries and models hold is never looked at again.

    A full collection stops all requests while it visits every object; BentoML brings them about, since it leaves
    a timer behind for each request until the service's timeout has passed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, 20, 20)
