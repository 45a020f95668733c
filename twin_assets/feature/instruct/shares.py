"""Keeps any one kind of row from filling a dataset."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twin_assets.core.datasets.rows import Row, group_of
from twin_assets.core.hashing import text_hash

TOLERANCE = 0.02
# A corpus that is nearly all of one kind (short posts, say) keeps that much, whatever the shares say.
KEEP_AT_LEAST = 0.7
OVER_SHARE = "over_its_share"


class OverShare(NamedTuple):
    """Groups with more than their share and the tolerance, with the share they have. It can be mended when
    rows could still be left out before only KEEP_AT_LEAST of them stay."""

    groups: dict[str, float]
    can_be_mended: bool


def within_shares(
    rows: list[Any],
    most: Mapping[str, float],
    seed: int,
    place: Callable[[Any], tuple[float, str]] = lambda row: (0, row.row_id),
) -> list[Any]:
    """Rows of which no group (see `group_of`) has more than its share of the training side.

    `most` holds shares in (0, 1] by group; one that isn't in it has no limit. At least KEEP_AT_LEAST of
    the rows stay, and which ones is decided by the number of their `place`, then by seeded hash of its name. The held-out
    side is left as it is.
    """
    counts = Counter(group_of(row) for row in rows if row.split == "train")
    sizes = dict(counts)
    spare = _spare(sum(counts.values()))
    while over := [t for t, n in sizes.items() if t in most and n > _allowed(t, sizes, most)]:
        # The fewer of one group, the smaller the whole: shrink the worst until all fit.
        worst = max(over, key=lambda t: (sizes[t] / sum(sizes.values()) - most[t], t))
        cut = min(sizes[worst] - _allowed(worst, sizes, most), spare)
        if cut == 0:
            break
        sizes[worst] -= cut
        spare -= cut
    places = [place(row) for row in rows]
    keys = [
        (number, text_hash(f"{seed}:{name}"), row.row_id)
        for row, (number, name) in zip(rows, places, strict=True)
    ]
    order: list[Row] = [rows[at] for at in sorted(range(len(rows)), key=keys.__getitem__)]
    taken: Counter[str] = Counter()
    chosen: set[str] = set()
    for row in order:
        if row.split != "train" or taken[group_of(row)] < sizes[group_of(row)]:
            chosen.add(row.row_id)
            taken[group_of(row)] += row.split == "train"
    return [row for row in rows if row.row_id in chosen]


def over_share(counts: Mapping[str, int], most: Mapping[str, float], left_out: int = 0) -> OverShare:
    """What has more than its share of training rows, by their `counts`; `left_out` were so many for that reason."""
    total = sum(counts.values())
    # One row more is rounding.
    over = {t: n / total for t, n in counts.items() if t in most and n - 1 > (most[t] + TOLERANCE) * total}
    return OverShare(over, left_out < _spare(total + left_out))


def _spare(rows: int) -> int:
    return int(rows * (1 - KEEP_AT_LEAST))


def _allowed(group: str, sizes: dict[str, int], most: Mapping[str, float]) -> int:
    """How many rows of a group may stay beside the rows of all others."""
    others = sum(n for t, n in sizes.items() if t != group)
    share = most[group]
    return sizes[group] if share >= 1 else math.ceil(others * share / (1 - share))
