"""Bluesky's repositories: the CAR file's blocks, the tree of records in it, and whose posts they are."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tests.feature.crawl.spiders.social.social import collect
from twin_assets.core.persona.sources import Bluesky
from twin_assets.core.storage.raw import RawItem
from twin_assets.feature.crawl.formats.exports.car import read_repository
from twin_assets.feature.crawl.items import CrawlReport

ME, BOB = "did:plc:runa", "did:plc:bob"


def post(number: int, text: str, **more: Any) -> dict[str, Any]:
    created = f"2024-05-{number:02}T07:00:00.000Z"
    return {"$type": "app.bsky.feed.post", "text": text, "createdAt": created} | more


def answering(number: int, who: str = ME, root: tuple[str, int] | None = None) -> dict[str, Any]:
    """The `reply` of a post to another."""

    def ref(did: str, key: int) -> dict[str, str]:
        return {"uri": f"at://{did}/app.bsky.feed.post/3k{key:02}", "cid": "bafy"}

    return {"parent": ref(who, number), "root": ref(*(root or (who, number)))}


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def cid_of(block: bytes) -> bytes:
    return b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()


def link(cid: bytes) -> cbor2.CBORTag:
    return cbor2.CBORTag(42, b"\0" + cid)


def car(records: dict[str, dict[str, Any]]) -> bytes:
    """A repository as a CAR file: a block a record, a tree of two nodes with shortened keys, a commit."""
    blocks: list[bytes] = []

    def keep(value: Any) -> bytes:
        blocks.append(cbor2.dumps(value))
        return cid_of(blocks[-1])

    def node(paths: list[str], left: bytes | None) -> bytes:
        entries, before = [], ""
        for path in paths:
            shared = next((n for n, (a, b) in enumerate(zip(before, path, strict=False)) if a != b), 0)
            entries.append(
                {"p": shared, "k": path[shared:].encode(), "v": link(keep(records[path])), "t": None}
            )
            before = path
        return keep({"l": link(left) if left else None, "e": entries})

    paths = sorted(records)
    half = len(paths) // 2
    tree = node(paths[half:], node(paths[:half], None))
    root = keep({"did": ME, "version": 3, "data": link(tree), "rev": "3k", "prev": None, "sig": b"x"})
    header = cbor2.dumps({"roots": [link(root)], "version": 1})
    packed = [varint(len(cid_of(b)) + len(b)) + cid_of(b) + b for b in reversed(blocks)]
    return varint(len(header)) + header + b"".join(packed)


def posts(
    tmp_path: Path, *rows: dict[str, Any], **more: dict[str, Any]
) -> tuple[CrawlReport, dict[str, RawItem]]:
    records = {f"app.bsky.feed.post/3k{n:02}": row for n, row in enumerate(rows, 1)}
    path = tmp_path / "repo.car"
    path.write_bytes(
        car(records | {name.replace("__", "/").replace("_", "."): row for name, row in more.items()})
    )
    return collect(
        tmp_path, "bluesky", Bluesky(archive=path, handle="runa.sea.example"), languages=["en", "de"]
    )


def test_posts_are_read_from_the_repositorys_tree(tmp_path: Path) -> None:
    report, items = posts(
        tmp_path,
        post(1, "One.", langs=["en-GB"]),
        post(2, "Two.", langs=["en", "de"]),
        app_bsky_feed_like__3k1={"subject": {}},
        app_bsky_feed_repost__3k2={"subject": {"uri": f"at://{BOB}/app.bsky.feed.post/3k9"}},
    )
    assert (report.error, report.skipped) == (None, {"a repost": 1})
    assert [(key, item.body, item.language) for key, item in items.items()] == [
        ("3k01", "One.", "en"),
        ("3k02", "Two.", None),
    ]
    assert items["3k01"].url == "https://bsky.app/profile/runa.sea.example/post/3k01"
    assert items["3k01"].published_at == datetime(2024, 5, 1, 7, tzinfo=UTC)


def test_own_replies_are_joined_and_talks_are_left_out(tmp_path: Path) -> None:
    report, items = posts(
        tmp_path,
        post(1, "One."),
        post(2, "Two.", reply=answering(1)),
        post(3, "Yes.", reply=answering(50, BOB)),
        post(4, "And more.", reply=answering(3, root=(BOB, 50))),
        post(5, "Thanks!", reply=answering(51, BOB, root=(ME, 1))),
        post(6, "Welcome back.", reply=answering(5, root=(ME, 1))),
        post(7, "Its parent is gone.", reply=answering(70)),
    )
    assert {key: item.body for key, item in items.items()} == {
        "3k01": "One.\n\nTwo.",
        "3k07": "Its parent is gone.",
    }
    assert report.skipped == {"reply to someone else": 4}


def facet(start: int, end: int, uri: str) -> dict[str, Any]:
    feature = {"$type": "app.bsky.richtext.facet#link", "uri": uri}
    return {"index": {"byteStart": start, "byteEnd": end}, "features": [feature]}


def test_shortened_addresses_are_written_out_at_their_bytes_and_words_stay_words(tmp_path: Path) -> None:
    text = "Überall ⛴: tide.example/lo… and here, tide.example/b"
    at = [len(text[: text.index(part)].encode()) for part in ("tide.example/lo…", "here", "tide.example/b")]
    facets = [
        facet(at[0], at[0] + len("tide.example/lo…".encode()), "https://tide.example/logbook?x=1"),
        facet(at[1], at[1] + 4, "https://elsewhere.example"),
        facet(at[2], at[2] + 14, "https://tide.example/b"),
        facet(5, 900, "https://tide.example"),
        facet(7, 3, "https://tide.example"),
        {"index": None, "features": []},
    ]
    _, items = posts(tmp_path, post(1, text, facets=facets))
    assert (
        items["3k01"].body == "Überall ⛴: https://tide.example/logbook?x=1 and here, https://tide.example/b"
    )


def test_an_account_that_hides_from_strangers_is_not_public(tmp_path: Path) -> None:
    profile = {"labels": {"values": [{"val": "!no-unauthenticated"}]}}
    _, items = posts(tmp_path, post(1, "One."), app_bsky_actor_profile__self=profile)
    assert items["3k01"].visibility == "connections"


def test_one_damaged_block_costs_none_of_the_others_and_proves_no_deletion(tmp_path: Path) -> None:
    rows = [post(1, "One."), post(2, "Two."), {"$type": "app.bsky.feed.post"}]
    first, _ = posts(tmp_path, *rows)
    path = tmp_path / "repo.car"
    path.write_bytes(path.read_bytes().replace(b"Two.", b"Tvo."))
    second, items = collect(
        tmp_path, "bluesky", Bluesky(archive=path, handle="runa.sea.example"), languages=["en", "de"]
    )
    assert (first.error, first.new, first.skipped) == (None, 2, {"a record that can't be read": 1})
    assert (second.error, second.unchanged, second.deleted) == (None, 1, 0)
    assert second.skipped == {
        "a record that can't be read": 3
    }  # the block, its record, and the one without text
    assert sorted(item.body for item in items.values()) == ["One.", "Two."]


def test_an_unpacked_repository_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / ME / "app.bsky.feed.post"
    folder.mkdir(parents=True)
    (folder / "3k01.json").write_text(json.dumps(post(1, "One.")))
    (folder / "3k02.json").write_text(json.dumps(post(2, "Two.", reply=answering(1))))
    (folder / "3k03.json").write_text("{")
    report, items = collect(tmp_path / "home", "bluesky", Bluesky(archive=tmp_path / ME))
    assert (report.error, report.skipped) == (None, {"a record that can't be read": 1})
    assert [(item.body, item.url) for item in items.values()] == [
        ("One.\n\nTwo.", f"https://bsky.app/profile/{ME}/post/3k01")
    ]


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x01\xa0", cbor2.dumps({"roots": []})])
def test_what_is_no_repository_is_an_error_with_the_fix(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "repo.car").write_bytes(data)
    report, _ = collect(tmp_path, "bluesky", Bluesky(archive=tmp_path / "repo.car"))
    assert "not a CAR file" in (report.error or "")
    assert "Export my data" in (report.error or "")


def test_any_bytes_end_in_a_repository_or_in_a_clear_error() -> None:
    whole = car({f"app.bsky.feed.post/3k{n:02}": post(n, f"Post {n}.") for n in range(1, 9)})
    for at in range(0, len(whole), 7):
        data = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        for broken in (data, whole[:at]):
            try:
                found = read_repository(broken)
            except ValueError:
                continue
            assert len(found.records) + found.lost > 0
