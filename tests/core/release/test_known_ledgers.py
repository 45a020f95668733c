"""What a service knows of the ledgers on S3: at what cost, and for how long while S3 is away."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.support.machine import until
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, s3_lake, s3_server
from twin_assets.core.release import known
from twin_assets.core.release.head import HEAD, read_head
from twin_assets.core.release.known import KnownLedgers, LedgerTooOld
from twin_assets.core.release.ledger import Damaged, Ledger
from twin_assets.core.storage.lake import LocalLake, S3Lake
from twin_assets.core.storage.s3 import StorageError


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


class Shore:
    """A lake on S3 behind a line: as its writers have it, and as a service with a disk of its own has it."""

    def __init__(self, server: str, line: BadLine, folder: Path) -> None:
        self.straight, self.line, self.folder = s3_lake(server, folder), line, folder

    def lake(self, home: str = "here", seconds: float = 60.0) -> S3Lake:
        waits = Config(connect_timeout=60, read_timeout=seconds, retries={"total_max_attempts": 1})
        client = boto3.client("s3", endpoint_url=self.line.url, config=waits, **KEYS_OF_A_STRANGER)  # type: ignore[call-overload]
        return S3Lake(client, self.straight.bucket, "some/prefix", self.folder / home)

    def service(self, home: str = "here", hours: float = 24.0, seconds: float = 60.0) -> KnownLedgers:
        return KnownLedgers(self.lake(home, seconds), hours)

    def release(self, persona: str, model: str) -> None:
        ledger = Ledger(self.straight, persona)
        ledger.append(model, "proposed", "pipeline", "new")
        ledger.append(model, "evaluated", "pipeline", "passed", passed=True)
        ledger.append(model, "approved", "Ines", "good")
        ledger.append(model, "deployed", "pipeline", "approved")


@pytest.fixture
def shore(server: str, tmp_path: Path) -> Iterator[Shore]:
    with BadLine(server) as line:
        yield Shore(server, line, tmp_path)


def look(*services: KnownLedgers) -> None:
    """As much later, when another look is due."""
    for service in services:
        service.forget()
        service.check()


def sweep_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(known, "PAGE_SECONDS", 0.0)


def test_what_did_not_change_is_one_request_whatever_the_number_of_personas(shore: Shore) -> None:
    personas = [f"p{n}" for n in range(12)]
    for persona in personas:
        shore.release(persona, f"{persona}:1")
    service = shore.service()
    assert {p: service.history(p).production() for p in personas} == {p: f"{p}:1" for p in personas}
    assert service.last_events() == dict.fromkeys(personas, 4)
    shore.line.asked.clear()
    for _ in range(5):
        for persona in personas:
            service.history(persona)
    assert not shore.line.asked, "nothing is due yet"
    for n in range(1, 4):
        look(service)
        assert shore.line.asked == {"GET": n}


def test_a_release_is_seen_by_the_next_look_and_read_alone(shore: Shore) -> None:
    for persona in ("runa", "ola"):
        shore.release(persona, "a:1")
    service = shore.service()
    assert service.history("runa").production() == "a:1"
    shore.line.asked.clear()
    shore.release("runa", "a:2")
    look(service)
    assert (service.history("runa").production(), service.history("ola").production()) == ("a:2", "a:1")
    assert shore.line.asked == {"GET": 1 + 4, "LIST": 1}
    shore.release("new", "n:1")
    look(service)
    assert service.history("new").production() == "n:1"


def test_processes_of_one_home_share_their_looks(shore: Shore) -> None:
    shore.release("runa", "a:1")
    first, others = shore.service(), [shore.service() for _ in range(5)]
    first.check()
    shore.line.asked.clear()
    assert {service.history("runa").production() for service in others} == {"a:1"}
    assert not shore.line.asked
    shore.release("runa", "a:2")
    look(first)
    assert {service.history("runa").production() for service in others} == {"a:2"}
    elsewhere = shore.service("another home")
    assert elsewhere.history("runa").production() == "a:2"


def test_an_event_whose_writer_was_killed_before_it_told_is_seen_when_all_are_listed(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shore.release("runa", "a:1")
    head = shore.straight.read(HEAD)
    shore.release("runa", "a:2")
    shore.straight.write(HEAD, head)
    service = shore.service()
    assert service.history("runa").production() == "a:2", "a service that starts lists all"
    assert read_head(shore.straight.read(HEAD)) == {"runa": 8}, "and mends the head"
    shore.release("runa", "a:3")
    shore.straight.write(HEAD, head)
    sweep_always(monkeypatch)
    look(service)
    assert service.history("runa").production() == "a:3"


@pytest.mark.parametrize("head", [None, b"{", b'{"runa": "many"}', b"[]"])
def test_a_lake_without_a_sound_head_is_listed_and_gets_one(shore: Shore, head: bytes | None) -> None:
    shore.release("runa", "a:1")
    if head is None:
        shore.straight.delete(HEAD)
    else:
        shore.straight.write(HEAD, head)
    assert shore.service().history("runa").production() == "a:1"
    assert read_head(shore.straight.read(HEAD)) == {"runa": 4}
    shore.release("runa", "a:2")
    assert read_head(shore.straight.read(HEAD)) == {"runa": 8}


def test_a_ledger_that_was_set_back_is_followed(shore: Shore, monkeypatch: pytest.MonkeyPatch) -> None:
    shore.release("runa", "a:1")
    shore.release("runa", "a:2")
    service = shore.service()
    assert service.history("runa").production() == "a:2"
    for number in range(5, 9):
        shore.straight.delete(f"ledger/runa/{number:08d}.json")
    sweep_always(monkeypatch)
    look(service)
    assert service.history("runa").production() == "a:1"
    assert read_head(shore.straight.read(HEAD)) == {"runa": 4}


def test_an_event_that_is_missing_or_damaged_is_named_and_its_mending_is_seen(
    shore: Shore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_always(monkeypatch)
    shore.release("runa", "a:1")
    shore.release("ola", "o:1")
    event = "ledger/runa/00000003.json"
    before = shore.straight.read(event)
    service = shore.service()
    shore.straight.write(event, b"{")
    look(service)
    shore.straight.delete("ledger/ola/00000002.json")
    look(service)
    fresh = shore.service()
    with pytest.raises(Damaged, match=r"ledger/runa/00000003\.json.*damaged"):
        fresh.history("runa")
    with pytest.raises(Damaged, match="ola has no event 2"):
        fresh.history("ola")
    shore.straight.write(event, before)
    look(fresh)
    assert fresh.history("runa").production() == "a:1"


def test_while_the_lake_is_frozen_what_was_known_holds_and_nobody_waits_long(shore: Shore) -> None:
    shore.release("runa", "a:1")
    shore.service().check()
    service = shore.service(seconds=3.0)
    shore.line.mute = True
    service.forget()
    until(lambda: service.history("runa").production() == "a:1" and service.lake_fails)
    with pytest.raises(StorageError, match="gave no answer"):
        service.check_lake()
    assert service.history("runa").production() == "a:1"
    begun_meanwhile = shore.service(seconds=3.0)
    assert begun_meanwhile.history("runa").production() == "a:1"
    unknown = shore.service("another home", seconds=3.0)
    with pytest.raises(StorageError, match="gave no answer"):
        unknown.history("runa")
    assert unknown.seconds_old is None
    shore.line.mute = False
    shore.release("runa", "a:2")
    until(lambda: service.history("runa").production() == "a:2", "the release after the thaw")

    def known_at_last() -> bool:
        with suppress(StorageError):  # until it is time to look again
            unknown.check()
        return not unknown.lake_fails and unknown.history("runa").production() == "a:2"

    until(known_at_last)


def test_what_is_too_old_holds_no_more_and_is_good_again_when_the_lake_is_back(shore: Shore) -> None:
    shore.release("runa", "a:1")
    service = shore.service(hours=2.0)
    service.check()
    shore.line.says = (
        503,
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    )
    look(service)
    state = shore.lake().here.root / ".ledger-known.json"
    os.utime(state, (time.time() - 7_000,) * 2)
    assert service.history("runa").production() == "a:1"
    assert 6_990 < (service.seconds_old or 0) < 7_190
    os.utime(state, (time.time() - 7_300,) * 2)
    with pytest.raises(LedgerTooOld, match=r"2\.0 hours ago.*TWIN_LEDGER_HOURS"):
        service.history("runa")
    shore.line.says = None
    until(lambda: serves(service))


def serves(service: KnownLedgers) -> bool:
    try:
        return service.history("runa").production() == "a:1"
    except LedgerTooOld:
        return False


def test_what_another_lake_left_on_the_disk_is_not_taken_for_this_ones(shore: Shore) -> None:
    shore.release("runa", "a:1")
    shore.service().check()
    others = S3Lake(shore.lake().client, shore.straight.bucket, "another/prefix", shore.folder / "here")
    service = KnownLedgers(others, 24.0)
    assert service.history("runa").production() is None


def test_a_key_that_may_not_write_the_head_still_follows_every_release(shore: Shore) -> None:
    shore.release("runa", "a:1")
    shore.straight.delete(HEAD)
    lake = shore.lake()
    lake.client.meta.events.register("before-send.s3.PutObject", lambda **_: Refused())
    service = KnownLedgers(lake, 24.0)
    assert service.history("runa").production() == "a:1"
    assert not shore.straight.exists(HEAD)


class Refused:
    """An answer of S3's to a key that may read."""

    status_code, headers, raw = 403, {}, None
    content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def test_on_a_disk_the_ledger_itself_is_read(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    service = KnownLedgers(lake, 24.0)
    assert service.history("runa").production() is None
    assert service.last_events() == {}
    Ledger(lake, "runa").append("a:1", "proposed", "pipeline", "new")
    assert service.history("runa").state("a:1") == "proposed"
    assert service.last_events() == {"runa": 1}
    assert service.seconds_old == 0.0
    assert list(lake.keys("ledger")) == ["ledger/runa/00000001.json"]
