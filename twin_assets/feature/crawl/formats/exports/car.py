"""Reads an AT Protocol repository (Bluesky's export): a CAR file of DAG-CBOR blocks, found by their hashes.

A CAR holds blocks in any order. The first root is a signed commit; its `data` is a Merkle search tree, whose
entries are the repository's records by path (`collection/key`). https://atproto.com/specs/repository
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cbor2

_SHA256 = 0x12
_LINK_TAG = 42
_MAX_NODES = 1_000_000
_V2 = b"\x0a\xa1gversion\x02"


@dataclass(frozen=True)
class Link:
    """A content identifier (CID), which names a block by its hash."""

    cid: bytes


@dataclass(frozen=True)
class Repository:
    """`did` is the account's identifier, `records` are by path, `lost` counts blocks that are missing or damaged."""

    did: str
    records: dict[str, dict[str, Any]]
    lost: int


def read_repository(data: bytes) -> Repository:
    """The records that a CAR's commit holds. Raises ValueError for what is no CAR of a repository."""
    if data.startswith(_V2):
        start, size = (int.from_bytes(data[at : at + 8], "little") for at in (27, 35))
        data = data[start : start + size]
    try:
        length, at = _varint(data, 0)
        header = decode(data[at : at + length])
        root = header["roots"][0].cid
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ValueError("not a CAR file") from None
    blocks, lost = _blocks(data, at + length)
    try:
        commit = decode(blocks[root])
        did, tree = str(commit["did"]), commit["data"].cid
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("a CAR file without an account's repository in it") from None
    records: dict[str, dict[str, Any]] = {}
    for path, link in _entries(tree, blocks):
        try:
            record = decode(blocks[link]) if path else None
        except (ValueError, KeyError):
            record = None
        if isinstance(record, dict):
            records[path] = record
        else:
            lost += 1
    return Repository(did, records, lost)


def decode(block: bytes) -> Any:
    """The value of a DAG-CBOR block, its links as `Link`. Raises ValueError for what is none."""
    try:
        return cbor2.loads(block, tag_hook=_link)
    except (cbor2.CBORError, RecursionError, OverflowError, MemoryError, EOFError) as error:
        raise ValueError(f"not DAG-CBOR ({type(error).__name__})") from None


def _link(*arguments: Any) -> Any:
    tag = next((a for a in arguments if isinstance(a, cbor2.CBORTag)), None)
    if tag is None or tag.tag != _LINK_TAG or not isinstance(tag.value, bytes):
        raise ValueError("an unknown tag")
    return Link(tag.value[1:])  # the first byte says that the rest is binary


def _blocks(data: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """Blocks by CID, and how many are not what their hash says or end too early."""
    blocks: dict[bytes, bytes] = {}
    lost = 0
    while at < len(data):
        try:
            length, at = _varint(data, at)
            end = at + length
            start = _cid_end(data, at)
        except (ValueError, IndexError):
            return blocks, lost + 1  # where one block ends is all that tells where the next begins
        cid, block = data[at:start], data[start:end]
        if start <= end <= len(data) and hashlib.sha256(block).digest() == cid[-32:]:
            blocks[cid] = block
        else:
            lost += 1
        at = end
    return blocks, lost


def _cid_end(data: bytes, at: int) -> int:
    version, at = _varint(data, at)
    _, at = _varint(data, at)  # what the block holds: DAG-CBOR, or bytes
    hashed, at = _varint(data, at)
    length, at = _varint(data, at)
    if (version, hashed, length) != (1, _SHA256, 32):
        raise ValueError("an unknown CID")
    return at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")


def _entries(root: bytes, blocks: dict[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
    """Path and CID of every record below a node of the tree; an empty path for a node that can't be read."""
    waiting = [root]
    seen: set[bytes] = set()
    while waiting and len(seen) < _MAX_NODES:
        cid = waiting.pop()
        if cid in seen:
            continue
        seen.add(cid)
        try:
            node = decode(blocks[cid])
            path = b""
            below = [node["l"]]
            for entry in node["e"]:
                path = path[: entry["p"]] + entry["k"]
                below.append(entry["t"])
                yield path.decode("utf-8"), entry["v"].cid
        except (ValueError, KeyError, TypeError, AttributeError):
            yield "", cid
            continue
        waiting += [link.cid for link in below if isinstance(link, Link)]
