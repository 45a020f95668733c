"""What a system's texts took: tokens, time, money."""

from collections.abc import Sequence

import numpy as np

from twin_assets.core.records import Record
from twin_assets.inference.generation.local import Generation


class Effort(Record):
    """Means over calls. `seconds` is the time of all batches together, `latency` the median time of one call by
    itself (None: not measured), `usd_per_call` None where nobody said what the hardware or the model costs."""

    calls: int
    tokens_in: float
    tokens_out: float
    seconds: float
    tokens_per_second: float
    latency: float | None = None
    usd_per_call: float | None = None


def effort(
    written: Sequence[Generation], alone: Sequence[Generation], seconds: float, usd_per_hour: float
) -> Effort:
    """`written` in batches that took `seconds` in all, `alone` one by one. No calls make zeros."""
    calls = len(written)
    out = sum(g.tokens_out for g in written)
    return Effort(
        calls=calls,
        tokens_in=sum(g.tokens_in for g in written) / max(calls, 1),
        tokens_out=out / max(calls, 1),
        seconds=seconds,
        tokens_per_second=out / seconds if seconds > 0 else 0.0,
        latency=float(np.median([g.seconds for g in alone])) if alone else None,
        usd_per_call=usd_per_hour * seconds / 3600 / calls if usd_per_hour > 0 and calls else None,
    )
