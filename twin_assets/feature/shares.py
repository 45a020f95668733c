"""Keeps any one kind of task from filling a dataset."""

from collections import Counter

from twin_assets.core.datasets import InstructRow
from twin_assets.core.hashing import text_hash

TOLERANCE = 0.02
# A corpus that is nearly all of one kind (short posts, say) keeps that much, whatever the shares say.
KEEP_AT_LEAST = 0.7


def within_shares(
    rows: list[InstructRow], most: dict[str, float], seed: int
) -> tuple[list[InstructRow], int]:
    """Rows of which no task has more than its share of the training side, and how many were left out.

    `most` holds shares in (0, 1] by task; a task that isn't in it has no limit. At least KEEP_AT_LEAST of
    the rows stay, and which ones is decided by seeded hash. The held-out side is left as it is.
    """
    counts = Counter(row.task for row in rows if row.split == "train")
    kept = dict(counts)
    spare = int(sum(counts.values()) * (1 - KEEP_AT_LEAST))
    while over := [t for t, n in kept.items() if t in most and n > _allowed(t, kept, most)]:
        # The fewer of one task, the smaller the whole: shrink the worst until all fit.
        worst = max(over, key=lambda t: (kept[t] / sum(kept.values()) - most[t], t))
        cut = min(kept[worst] - _allowed(worst, kept, most), spare)
        if cut == 0:
            break
        kept[worst] -= cut
        spare -= cut
    order = sorted(rows, key=lambda row: text_hash(f"{seed}:{row.row_id}"))
    taken: Counter[str] = Counter()
    chosen: set[str] = set()
    for row in order:
        if row.split != "train" or taken[row.task] < kept[row.task]:
            chosen.add(row.row_id)
            taken[row.task] += row.split == "train"
    result = [row for row in rows if row.row_id in chosen]
    return result, len(rows) - len(result)


def over_share(tasks: dict[str, int], most: dict[str, float]) -> dict[str, float]:
    """Tasks with more than their share of the rows and the tolerance, with the share they have."""
    total = max(sum(tasks.values()), 1)
    return {t: n / total for t, n in tasks.items() if t in most and n / total > most[t] + TOLERANCE}


def _allowed(task: str, kept: dict[str, int], most: dict[str, float]) -> int:
    """How many rows of a task may stay beside the rows of all others."""
    others = sum(n for t, n in kept.items() if t != task)
    share = most[task]
    return kept[task] if share >= 1 else int(others * share / (1 - share))
