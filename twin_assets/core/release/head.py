"""How many events each ledger of a lake on S3 has, in one small object: whoever follows them asks for nothing else.

It is told after an event is stored, so that it may lag behind the ledgers, never run ahead; `known` looks at them all
from time to time. The ledgers alone say what holds.
"""

import json
import logging

from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import Lake

HEAD = "ledger/latest.json"

logger = logging.getLogger(__name__)


def read_head(data: bytes) -> dict[str, int] | None:
    """Events by persona; None for what is no head."""
    try:
        head = json.loads(data)
    except ValueError:
        return None
    sound = isinstance(head, dict) and all(isinstance(number, int) for number in head.values())
    return head if sound else None


def written_head(events: dict[str, int]) -> bytes:
    return json.dumps(events, sort_keys=True).encode()


def tell_head(lake: Lake, persona: str, number: int) -> None:
    """Say that a persona's ledger has so many events. The event holds already, so that a failure is only logged."""

    def raised(data: bytes) -> bytes | None:
        head = read_head(data) or {}
        return written_head(head | {persona: number}) if head.get(persona, 0) < number else None

    if lake.here is lake:
        return  # a disk is asked for the ledgers themselves
    try:
        if not lake.update(HEAD, raised) and not lake.exists(HEAD):
            lake.create(HEAD, written_head({persona: number}))
    except FileExistsError:
        tell_head(lake, persona, number)  # made by another this moment
    except TwinError as error:
        logger.warning("event %d of %s is stored; it is seen within minutes: %s", number, persona, error)
