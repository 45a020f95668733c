"""Which rows a training set keeps: the author's passages each once before any comes again, tasks in the shares of the whole.

The choice goes by what answers and in which task, never by what the request says, so that it is made before a model is
asked for requests and holds after.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from twin_assets.core.datasets.rows import InstructRow, Row
from twin_assets.core.hashing import fingerprint

# Answers of one passage may begin in different places, and end alike.
ENDING_CHARACTERS = 60


def slot_of(row: Row) -> str:
    """What a row answers with, and in which task: the same whatever its request says."""
    answer = row.messages[-1].content if isinstance(row, InstructRow) else row.chosen.content
    return fingerprint([row.doc_id, row.task, answer])


def in_order_of_choice(rows: Iterable[InstructRow]) -> list[InstructRow]:
    """The rows in an order of which every beginning is worth training on.

    It holds the tasks in about the shares of the whole, and of each task the rows whose passage was used least. Rows of one
    slot keep their order; otherwise it doesn't matter what order they came in.
    """
    heaps: defaultdict[str, list[tuple[int, str, int, InstructRow]]] = defaultdict(list)
    for at, row in enumerate(rows):
        heaps[row.task].append((0, slot_of(row), at, row))
    turns = sorted(
        ((rank + 0.5) / len(heap), task) for task, heap in heaps.items() for rank in range(len(heap))
    )
    for heap in heaps.values():
        heapq.heapify(heap)
    used: Counter[tuple[str, str]] = Counter()
    order: list[InstructRow] = []
    for _, task in turns:
        heap = heaps[task]
        # A count that has grown since is brought up to date when its row comes up.
        while heap[0][0] < used[_passage(heap[0][-1])]:
            _, slot, at, row = heap[0]
            heapq.heapreplace(heap, (used[_passage(row)], slot, at, row))
        row = heapq.heappop(heap)[-1]
        used[_passage(row)] += 1
        order.append(row)
    return order


def places_of(planned: Iterable[InstructRow]) -> dict[str, list[int]]:
    """The places of each slot in the order of a plan: as many as it has rows there."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(planned):
        places[slot_of(row)].append(at)
    return dict(places)


def place_of(row: InstructRow, places: Mapping[str, list[int]]) -> tuple[float, str]:
    """Its slot's first place, or behind all of them, and the slot."""
    slot = slot_of(row)
    return places[slot][0] if slot in places else math.inf, slot


def at_most(
    train_rows: int | None,
    test_rows: int | None,
    rows: list[InstructRow],
    places: Mapping[str, list[int]] | None = None,
) -> list[InstructRow]:
    """Rows in their order of choice, of each side at most so many: the training side, then the held-out side.

    `places` of a plan come first, so that what a model was asked about stays.
    """
    planned = {slot: iter(of_slot) for slot, of_slot in (places or {}).items()}
    kept: list[InstructRow] = []
    for limit, side in ((train_rows, "train"), (test_rows, "heldout")):
        some = in_order_of_choice(row for row in rows if row.split == side)
        ranks = [next(planned.get(slot_of(row), iter(())), math.inf) for row in some]
        kept += [some[at] for at in sorted(range(len(some)), key=ranks.__getitem__)][:limit]
    return kept


def _passage(row: InstructRow) -> tuple[str, str]:
    return row.doc_id, row.messages[-1].content[-ENDING_CHARACTERS:]
