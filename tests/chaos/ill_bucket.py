"""S3 that fails, delays and loses answers, under the lake: ledger, request log, datasets, a crawl, and two processes at a
time. Who is told of an error does the same again; nothing may be lost or come twice."""

import logging
import os
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from demo.sites import DemoSites
from tests.chaos import works
from tests.chaos.kills import NEVER, run_function
from tests.chaos.report import Part
from tests.support.models import lineage, save
from tests.support.releases import decision_of_ines
from tests.support.s3.ill_s3 import IllS3
from tests.support.s3_double import KEYS_OF_A_STRANGER, hurry, s3_client, s3_lake, s3_server
from twin_assets.core.hashing import folder_hash
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.approval import decide, deploy
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.inference.twin.request_log import read_requests
from twin_assets.settings import Settings

BUCKET = "twin"
EVENTS = ("proposed", "evaluated", "rejected")
TRIES = 40


def run(part: Part) -> None:
    rounds = 6 if part.full else 1
    for name in ("werkzeug", "botocore"):  # moto's server tells of every request
        logging.getLogger(name).setLevel(logging.ERROR)
    with s3_server() as server:
        for number in range(rounds):
            with IllS3(server, part.rng.randrange(10**9)) as ill:
                _one_round(part, server, ill, f"{BUCKET}{number}", 12 if part.full else 3)
                for fault, times in ill.counts.items():
                    part.tried[f"requests to S3: {fault}"] += times
        if part.full:
            with IllS3(server, part.rng.randrange(10**9)) as ill, DemoSites() as sites:
                crawl_into_the_bucket(part, server, ill, sites)


def _one_round(part: Part, server: str, ill: IllS3, bucket: str, models: int) -> None:
    s3_client(server).create_bucket(Bucket=bucket)
    home = part.home / bucket
    home.mkdir()
    truth = open_lake(_settings(home, server, bucket), s3_client(server))  # past the proxy
    two_at_once(part, "ledger", partial(write_ledger, ill.address, bucket, models), home)
    _check_ledger(part, truth, models)
    candidate = lineage("dpo", number=7)
    ledger = Ledger(truth, "runa")
    ledger.append(candidate.tag, "proposed", "pipeline", "new candidate")
    ledger.append(candidate.tag, "evaluated", "pipeline", "passed every gate", passed=True)
    two_at_once(part, "approval", partial(approve_and_deploy, ill.address, bucket), home)
    kinds = Counter(e.kind for e in Ledger(truth, "runa").events() if e.model == candidate.tag)
    part.compare(
        Counter({"proposed": 1, "evaluated": 1, "approved": 1, "deployed": 1}), kinds, "approval on S3"
    )
    two_at_once(part, "request log", partial(write_log, ill.address, bucket, 60 if part.full else 20), home)
    expected = Counter(f"{who}-q{n}" for who in range(2) for n in range(60 if part.full else 20))
    part.compare(
        expected, Counter(row.request_id for row in read_requests(truth, "runa")), "request log on S3"
    )
    two_at_once(part, "dataset", partial(write_dataset, ill.address, bucket), home)
    calm = part.home / f"{bucket}-calm"
    works.build_dataset(calm, 1)
    works.build_dataset(calm, 2)
    expected = works.DATASET.result(calm)
    # Both processes write both editions, so that either may be the latest, and each may have been so more than once.
    found = works.datasets_in(truth)
    part.compare(_whole(expected), _whole(found), "dataset on S3")
    part.broken += [f"dataset on S3: {wrong}" for wrong in works.datasets_are_sound(truth)]
    _check_mirror(part, ill, home, bucket, truth)


def _whole(found: "Counter[str]") -> "Counter[str]":
    return Counter(
        {thing: n for thing, n in found.items() if not thing.startswith("history") and "latest" not in thing}
    )


def two_at_once(part: Part, what: str, work: Any, home: Path) -> None:
    """Two processes do the work, each as another one."""
    ended: dict[int, tuple[int, str]] = {}

    def begin(who: int) -> None:
        folder = home / f"{what.replace(' ', '-')}-{who}"
        folder.mkdir()
        ended[who] = run_function(
            partial(in_a_hurry, partial(work, who)),
            folder,
            NEVER,
            home / f"{what.replace(' ', '-')}-{who}.counts",
        )

    threads = [threading.Thread(target=begin, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who, (status, said) in ended.items():
        part.tried[f"processes on an ill S3: {what}"] += 1
        if status:
            part.broken.append(f"{what} on S3, process {who} ended with status {status}: {said[-600:]}")


def in_a_hurry(work: Any, folder: Path) -> None:
    hurry()
    work(folder)


def _settings(home: Path, url: str, bucket: str) -> Settings:
    return Settings(home=home, lake_url=f"s3://{bucket}/prod", s3_endpoint_url=url)


def _lake(home: Path, url: str, bucket: str) -> Lake:
    """The lake as a process of the product opens it."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return open_lake(_settings(home, url, bucket))


def _until_done(step: Any, what: str) -> None:
    """Does a step again until it is not refused, as a person or Dagster would."""
    for _ in range(TRIES):
        try:
            step()
        except Exception as error:  # whatever the product says of it
            last = error
            time.sleep(0.05)
            continue
        return
    raise AssertionError(f"{what} failed {TRIES} times; the last: {type(last).__name__}: {last}")


def write_ledger(url: str, bucket: str, models: int, who: int, home: Path) -> None:
    """Every model through the same events, each only where it is not in the ledger yet."""
    ledger = Ledger(_lake(home, url, bucket), "runa")
    for number in range(models):
        model = f"twin-runa-dpo:{who}-{number}"
        for kind in EVENTS:

            def step(model: str = model, kind: Any = kind) -> None:
                if not any(e.model == model and e.kind == kind for e in ledger.events()):
                    ledger.append(
                        model,
                        kind,
                        f"writer {who}",
                        "as planned",
                        passed=True if kind == "evaluated" else None,
                    )

            _until_done(step, f"{kind} of {model}")


def approve_and_deploy(url: str, bucket: str, who: int, home: Path) -> None:
    """Two people at the red button, and two processes that deploy: each goes on until the candidate serves."""
    settings = _settings(home, url, bucket)
    ledger, registry = Ledger(_lake(home, url, bucket), "runa"), Registry(settings)
    model = save(registry, home / "weights", lineage("dpo", number=7)).tag

    def step() -> None:
        last = ledger.history().last(model)
        assert last is not None
        if last.kind == "evaluated":
            given = decision_of_ines("approve", last, reviewer=f"Ines {who}")
            decide(ledger, registry, settings, given, caller=f"key {who}")
        if last.kind != "deployed":
            deploy(ledger, registry, settings)
            raise LookupError("not deployed yet")

    _until_done(step, "release")


def _check_ledger(part: Part, lake: Lake, models: int) -> None:
    events = Ledger(lake, "runa").events()
    expected = Counter(
        f"twin-runa-dpo:{who}-{n} {kind}" for who in range(2) for n in range(models) for kind in EVENTS
    )
    part.compare(expected, Counter(f"{e.model} {e.kind}" for e in events), "ledger on S3")
    if [e.number for e in events] != list(range(1, len(events) + 1)):
        part.broken.append(f"ledger on S3: its numbers are {[e.number for e in events]}")


def write_log(url: str, bucket: str, rows: int, who: int, home: Path) -> None:
    """Rows as a serving process appends them; its log writes them when it can."""
    log = RequestLog(_lake(home, url, bucket))
    for number in range(rows):
        log.append(works.request(number).model_copy(update={"request_id": f"{who}-q{number}"}))
        time.sleep(0.05)
    deadline = time.monotonic() + 300
    while log.waiting and time.monotonic() < deadline:
        time.sleep(0.1)
    log.close()
    assert (log.lost, log.waiting) == (0, 0), f"{log.lost} rows lost, {log.waiting} wait"


def write_dataset(url: str, bucket: str, who: int, home: Path) -> None:
    lake = _lake(home, url, bucket)
    for edition in (1, 2) if who else (2, 1):
        _until_done(partial(works.write_corpus_and_dataset, lake, edition), f"dataset {edition}")


def _check_mirror(part: Part, ill: IllS3, home: Path, bucket: str, truth: Lake) -> None:
    """The folder that a training reads: mirrored through the ill S3 it equals what is stored."""
    mirrored: list[Path] = []
    through = _lake(home / "trainer", ill.address, bucket)
    _until_done(lambda: mirrored.append(through.local("datasets/runa")), "the mirror")
    part.tried["mirrors of the lake from an ill S3"] += 1
    if folder_hash(mirrored[-1]) != folder_hash(truth.local("datasets/runa")):
        part.broken.append("the mirror of the datasets is not what the bucket holds")


def crawl_into_the_bucket(part: Part, server: str, ill: IllS3, sites: DemoSites) -> None:
    """A crawl whose lake is the ill S3, begun until it succeeds, collects what one into a folder does."""
    lake = s3_lake(server, part.home / "crawled")
    work = works.crawl(sites, "substack", 1)
    calm, home = part.home / "crawl-calm", part.home / "crawl-ill"
    for folder in (calm, home):
        work.prepare(folder)
    assert work.begin(calm)[0] == 0
    work.environment |= {
        "TWIN_LAKE_URL": f"s3://{lake.bucket}/{lake.prefix}", "TWIN_S3_ENDPOINT_URL": ill.address,
        "AWS_ACCESS_KEY_ID": KEYS_OF_A_STRANGER["aws_access_key_id"], "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    for _ in range(10):
        part.tried["crawls into an ill S3"] += 1
        status, said = work.begin(home)
        if status == 0:
            break
    else:
        part.broken.append(f"crawl into an ill S3: no success in ten crawls: {said[-500:]}")
    part.compare(work.result(calm), works.collected(lake, "substack"), "crawl into an ill S3")
