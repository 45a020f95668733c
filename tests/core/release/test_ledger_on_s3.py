"""Processes that write one ledger on S3 at once, lose answers and are killed, leave one whole history."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from tests.core.release.test_release_is_killed import check
from tests.support.machine import PATIENCE
from tests.support.s3_double import KEYS_OF_A_STRANGER, BadLine, s3_lake, s3_server
from twin_assets.core.release.ledger import Ledger
from twin_assets.settings import ROOT

WRITE = """
import random, sys, traceback
from tests.support.s3_double import hurry
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.release.ledger import Damaged, Ledger
from twin_assets.settings import load_settings
who, rng = sys.argv[1], random.Random(sys.argv[1])
ledger = Ledger(open_lake(load_settings()), "runa")
steps = [("proposed", None), ("evaluated", True), ("approved", None), ("deployed", None), ("rolled_back", None)]
hurry()
print("ready", flush=True)
number = 0
while True:
    number += 1
    for kind, passed in steps:
        if kind == "rolled_back" and rng.random() < 0.5:
            break
        try:
            event = ledger.append(f"{who}:{number}", kind, who, "why", passed=passed)
            print(event.number, flush=True)
        except Damaged:
            raise
        except TwinError:
            break  # the other's candidate supersedes this one
"""


def test_writers_on_s3_that_lose_answers_and_are_killed_leave_one_history(tmp_path: Path) -> None:
    rng = random.Random(7)
    with s3_server() as url, BadLine(url) as line:
        straight = s3_lake(url, tmp_path)
        keys = {
            ("AWS_DEFAULT_REGION" if k == "region_name" else k.upper()): v
            for k, v in KEYS_OF_A_STRANGER.items()
        }
        environment = os.environ | keys | {
            "TWIN_HOME": str(tmp_path), "TWIN_LAKE_URL": f"s3://{straight.bucket}/{straight.prefix}",
            "TWIN_S3_ENDPOINT_URL": line.url, "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        told: list[int] = []
        lost = killed = 0
        for round_ in range(3):
            writers = [
                subprocess.Popen(
                    [sys.executable, "-c", WRITE, f"writer{round_}{n}"],
                    cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    bufsize=0,  # a buffer would take what comes after "ready" too, and keep it
                )
                for n in range(2)
            ]  # fmt: skip
            for writer in writers:
                assert writer.stdout
                assert writer.stdout.readline() == b"ready\n"
            began, deadline = len(list(straight.keys("ledger"))), time.monotonic() + PATIENCE
            while len(list(straight.keys("ledger"))) < began + 25 and time.monotonic() < deadline:
                if line.lose <= 0 and rng.random() < 0.5:
                    line.lose, lost = 1, lost + 1
                time.sleep(0.05)
            line.lose = 0
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
                time.sleep(rng.random() * 0.05)
            for writer in writers:
                out, err = (said.decode() for said in writer.communicate())
                killed += writer.returncode == -signal.SIGKILL
                assert "Traceback" not in err, err[-2000:]
                told += [int(number) for number in out.split()]
            check(Ledger(straight, "runa").events())
        events = Ledger(straight, "runa").events()
    assert killed == 6
    assert lost > 3
    assert len(told) == len(set(told)), "two were told that they wrote the same event"
    # A writer may be killed between an event and the word of it: one a writer at most.
    assert len(events) - 6 <= len(told) <= len(events)
    assert sum(before.actor != after.actor for before, after in pairwise(events)) > 10, "they wrote in turns"
