"""Reads what an offline W&B run wrote: records of its protocol in LevelDB's log format
(https://github.com/google/leveldb/blob/main/doc/log_format.md), after a header of seven bytes."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")  # checksum, length, type: a whole record (1), or first to last part (2, 3, 4)
_ENDS = (1, 4)


def read_records(run_dir: Path) -> list[Any]:
    """The records of the one .wandb file in the folder of a run, in order."""
    [file] = run_dir.glob("*.wandb")
    return [Record.FromString(data) for data in _entries(file.read_bytes())]


def _entries(data: bytes) -> Iterator[bytes]:
    entry = b""
    for begin in range(0, len(data), _BLOCK):
        block = data[begin : begin + _BLOCK]
        at = _HEADER.size if begin == 0 else 0  # W&B's own header is as long as a record's
        while at + _HEADER.size <= len(block):
            _, length, kind = _HEADER.unpack_from(block, at)
            at += _HEADER.size
            if kind == 0:
                break
            entry += block[at : at + length]
            at += length
            if kind in _ENDS:
                yield entry
                entry = b""
