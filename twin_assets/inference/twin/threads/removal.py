"""Takes kept threads out of the lake: what was erased, what nobody used for long, what is old."""

from datetime import datetime, timedelta

from twin_assets.core.storage.erased import ErasedList
from twin_assets.core.storage.lake import Lake
from twin_assets.inference.twin.threads.stored import (
    FOLDER,
    HEAD,
    ThreadTurn,
    read_head,
    read_turn,
    stamp,
    stored_threads,
)


def take_out(lake: Lake, persona: str, listed: ErasedList) -> int:
    """Take out of the stored threads what is on the list; how many turns and heads went or lost something."""
    changed = 0
    for key in list(lake.keys(f"{FOLDER}/{persona}")):
        stored = read_head(lake, key) if key.endswith(f"/{HEAD}") else read_turn(lake, key)
        if stored is None:
            continue
        if listed.has(stored):
            lake.delete(key)
            changed += 1
        elif isinstance(stored, ThreadTurn) and stored.without_erased(listed) != stored:
            changed += lake.update(key, lambda data: _left(data, listed))
    return changed


def sweep(lake: Lake, persona: str, days: int, now: datetime) -> int:
    """Delete the threads that had no new turn for so many days; how many."""
    unused = [
        one
        for one in stored_threads(lake, f"{FOLDER}/{persona}")
        if one.updated + timedelta(days=days) <= now
    ]
    for thread in unused:
        thread.delete(lake)
    return len(unused)


def remove_turns(lake: Lake, persona: str, before: datetime) -> int:
    """Delete what was said before a time, and threads of before it that have nothing else; how many turns."""
    removed = 0
    for thread in list(stored_threads(lake, f"{FOLDER}/{persona}")):
        old = [name for name in thread.turns if name < stamp(before)]
        if len(old) == len(thread.turns) and thread.created < before:
            thread.delete(lake)
        else:
            for name in old:
                lake.delete(f"{thread.folder}/{name}")
        removed += len(old)
    return removed


def _left(data: bytes, listed: ErasedList) -> bytes | None:
    turn = ThreadTurn.model_validate_json(data)
    left = turn.without_erased(listed)
    return None if left is None or left == turn else left.model_dump_json().encode()
