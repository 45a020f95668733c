"""What has to happen to a tenant, and how little of it must be read to know.

A digest says in some kilobytes what a tenant holds: how many chunks, and a sum of their hashes for each part of their ids. The
tenant's mark keeps it once a sync is whole, and the next sync reads only the parts of which it wants another sum: at 100,000
chunks nothing where nothing is new, and some thousand objects for a changed document. Pure.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple, Self
from uuid import UUID

import numpy as np

from twin_assets.core.records import EmbeddedChunk
from twin_assets.core.vectors.base import SyncReport
from twin_assets.core.vectors.weaviate_schema import DIVIDED, facts_hash, object_number

PARTS = (
    1024  # a power of two; parts follow each other in the order of ids, in which a server tells its objects
)
_SHIFT = 128 - (PARTS - 1).bit_length()
_HASH = 16  # hexadecimal digits of a chunk's hash that are summed, modulo 2**64
_NUMBERS = np.dtype(">u8")


def part_of(number: int) -> int:
    """The part of an id, which is given as the number that a UUID is."""
    return number >> _SHIFT


def first_of(part: int) -> int:
    """The smallest id of a part."""
    return part << _SHIFT


def runs(parts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Parts that follow each other, as first and last."""
    # Those of a run are as far from their places among all as each other.
    for _, run in groupby(enumerate(sorted(parts)), lambda one: one[1] - one[0]):
        of_run = [part for _, part in run]
        yield of_run[0], of_run[-1]


class Digest(NamedTuple):
    """The number of chunks, and the sums of all parts."""

    total: int
    sums: tuple[int, ...]

    @classmethod
    def of(cls, chunks: Iterable[tuple[int, str]]) -> Self:
        """Of ids with what `facts_hash` says of each chunk, its id too."""
        total, sums = 0, [0] * PARTS
        for number, told in chunks:
            total += 1
            # What is behind the hash says whether the chunk has words of its script.
            sums[number >> _SHIFT] += int(told[:_HASH], 16) + len(told)
        return cls(total, tuple(one % 2**64 for one in sums))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `written` gave; None for anything else."""
        try:
            total, *sums = np.frombuffer(b64decode(text, validate=True), dtype=_NUMBERS).tolist()
        except ValueError:
            return None
        return cls(total, tuple(sums)) if len(sums) == PARTS else None

    def written(self) -> str:
        return b64encode(np.array([self.total, *self.sums], dtype=_NUMBERS).tobytes()).decode()

    def differing(self, other: "Digest") -> set[int]:
        """Parts of which the two have another sum."""
        return {part for part, (a, b) in enumerate(zip(self.sums, other.sums, strict=True)) if a != b}


class Todo(NamedTuple):
    """What has to happen to a tenant: chunks to write, those among them of which it is in doubt how much is there,
    objects to delete, and chunks that are there as they are to be."""

    added: list[EmbeddedChunk]
    updated: list[EmbeddedChunk]
    doubtful: list[EmbeddedChunk]
    deleted: list[UUID]
    same: list[EmbeddedChunk]

    @property
    def new(self) -> list[EmbeddedChunk]:
        return [*self.added, *self.updated]

    @property
    def changed(self) -> list[EmbeddedChunk]:
        return [*self.new, *self.doubtful]

    def report(self) -> SyncReport:
        return SyncReport(
            added=len(self.added),
            updated=len(self.updated) + len(self.doubtful),
            deleted=len(self.deleted),
            unchanged=len(self.same),
        )


# Chunks by their ids, with what `facts_hash` says of each.
Wanted = dict[int, tuple[EmbeddedChunk, str]]


def wanted_of(persona: str, chunks: list[EmbeddedChunk]) -> Wanted:
    """Of two with one id the last counts."""
    by_id = {object_number(persona, c.chunk_id): c for c in chunks}
    return {number: (chunk, facts_hash(chunk)) for number, chunk in by_id.items()}


def difference_of(stored: Mapping[int, str], parts: set[int] | None, unfinished: str, wanted: Wanted) -> Todo:
    """Compare what is stored in some parts, or in all, with the wanted chunks; of other parts all is as wanted. What the
    `unfinished` write of a sync stored, or one after it, is in doubt."""
    doubted, _, first = unfinished.partition(".")
    todo = Todo([], [], [], [], [])
    for i, (chunk, wanted_hash) in wanted.items():
        if parts is not None and part_of(i) not in parts:
            todo.same.append(chunk)
            continue
        made = stored.get(i)
        if made is None:
            todo.added.append(chunk)
            continue
        write_id, _, told = made.partition(":")
        sync, _, number = write_id.partition(".")
        if doubted and sync == doubted and int(number) >= int(first):
            todo.doubtful.append(chunk)
        else:
            (todo.same if told == wanted_hash else todo.updated).append(chunk)
    todo.deleted.extend(UUID(int=i) for i in stored if i not in wanted)
    return todo


def is_undivided(made: str | None, chunk: EmbeddedChunk) -> bool:
    """Whether a chunk was stored as it is, but for the words of its script."""
    return f"{(made or '').partition(':')[2]}{DIVIDED}" == facts_hash(chunk)
