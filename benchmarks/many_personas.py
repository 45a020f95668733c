"""Simulated personas of one platform: what a tick of each sensor and of the automation conditions takes, by their number.

Run: `python -m benchmarks.many_personas 1000 10000` (minutes; in a temporary home on SQLite). Every tenth persona has a dataset, a
drift report and a crawl that nobody took up, and a release ledger with one version in production. Each sensor ticks by its cursor,
as the daemon calls it, until a tick asks for nothing new and leaves nobody for the next one. No run is started.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

SIZES, MOST_TICKS, BUILT = (1_000, 10_000), 300, 10
PERSONA = "name: {0}\nfull_name: Person {0}\nabout: They write about ferries.\nlicense: MIT\nmedium: {{feed: https://{0}.example/feed.xml}}\n"


def main() -> None:
    """Print a table of seconds for each number of personas, each in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        if arguments.child:
            with tempfile.TemporaryDirectory() as home:
                measure(size, Path(home))
        else:
            command = [sys.executable, "-m", "benchmarks.many_personas", "--child", str(size)]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def measure(size: int, home: Path) -> None:
    """Print what the ticks of `size` personas take, and the memory of this process."""
    os.environ |= {"TWIN_HOME": str(home), "TWIN_PERSONAS_DIR": str(home / "personas")}
    from twin_assets.definitions import defs

    repository, names = defs.get_repository_def(), [f"p{n:05d}" for n in range(size)]
    (home / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
        _populate(instance, home, names)
        print(
            f"\n{size:,} personas\n\n| | longest tick, s | ticks | all of them, s | at rest, s | runs | cursor, kB |"
        )
        print("|---|---|---|---|---|---|---|")
        for sensor in sorted(repository.sensor_defs, key=lambda s: s.name):
            print(f"| `{sensor.name}` | {_ticks(instance, repository, sensor)} |", flush=True)
    print(f"\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _populate(instance: dg.DagsterInstance, home: Path, names: list[str]) -> None:
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import LocalLake

    (home / "personas").mkdir()
    for name in names:
        (home / "personas" / f"{name}.yaml").write_text(PERSONA.format(name))
    instance.add_dynamic_partitions("personas", names)
    for name in names[::BUILT]:
        for asset in ("instruct_dataset", "drift_report", "raw_web"):
            told = dg.AssetMaterialization(asset, partition=name, tags={"dagster/data_version": "1"})
            instance.report_runless_asset_event(told)
        ledger, model = Ledger(LocalLake(home / "lake"), name), f"twin-{name}-dpo:1"
        ledger.append(model, "proposed", "pipeline", "new")
        ledger.append(model, "evaluated", "pipeline", "fine", passed=True)
        ledger.append(model, "approved", "Ines", "sounds like them")
        ledger.append(model, "deployed", "pipeline", "approved")


def _ticks(instance: dg.DagsterInstance, repository: Any, sensor: dg.SensorDefinition) -> str:
    from twin_assets.defs.shared.resources import build_resources

    cursor, seconds, asked, left = None, list[float](), set[str](), True
    while len(seconds) < MOST_TICKS:
        resources = {"platform": build_resources()["platform"]}
        started = time.monotonic()
        with (
            dg.partition_loading_context(dynamic_partitions_store=instance),
            dg.build_sensor_context(
                instance=instance, cursor=cursor, resources=resources, repository_def=repository
            ) as context,
        ):
            done = sensor.evaluate_tick(context)
        seconds.append(time.monotonic() - started)
        new = {str(request.run_key) for request in done.run_requests or ()} - asked
        asked, cursor = asked | new, done.cursor
        if not new and not left:
            break
        left = "next ticks" in (done.skip_message or "")
    looked = seconds[:-1]
    cells = [
        f"{max(looked):.2f}",
        str(len(looked)),
        f"{sum(looked):.1f}",
        f"{seconds[-1]:.2f}",
        str(len(asked)),
    ]
    return " | ".join([*cells, f"{len(cursor or '') / 1000:.0f}"])


if __name__ == "__main__":
    main()
