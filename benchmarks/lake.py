"""How fast a lake on S3 is mirrored: `python -m benchmarks.lake --objects 5000`, with TWIN_LAKE_URL and its keys set.

Writes small objects into a folder of its own, mirrors them into a new folder on disk, mirrors them again when nothing has
changed, reads some one by one as before, and deletes them all. Prints how many times as long one by one takes.
"""

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from twin_assets.core.storage.lake import LocalLake, S3Lake, open_lake
from twin_assets.settings import load_settings

BYTES = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    lake = open_lake(load_settings())
    if not isinstance(lake, S3Lake):
        parser.error("TWIN_LAKE_URL is no S3")
    folder = f"benchmark/{secrets.token_hex(4)}"
    keys = [f"{folder}/{n:06d}.json" for n in range(given.objects)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda key: lake.write(key, b"x" * BYTES), keys))
        try:
            for _ in range(given.rounds):
                _round(lake, folder, keys)
        finally:
            list(threads.map(lake.delete, keys))


def _round(lake: S3Lake, folder: str, keys: list[str]) -> None:
    with tempfile.TemporaryDirectory() as mirror:
        here = S3Lake(lake.client, lake.bucket, lake.prefix, Path(mirror))
        used = time.process_time()
        first = _seconds(lambda: here.local(folder))
        used = time.process_time() - used
        nothing_new = _seconds(lambda: here.local(folder))
        assert len(list(here.here.keys(folder))) == len(keys)
    few = keys[: max(len(keys) // 50, 1)]
    with tempfile.TemporaryDirectory() as mirror:
        one_by_one = _seconds(lambda: [LocalLake(Path(mirror)).write(key, lake.read(key)) for key in few])
    serial = one_by_one / len(few) * len(keys)
    print(
        f"{len(keys)} objects: mirrored in {first:.2f} s (processor {used:.2f} s), again in {nothing_new:.2f} s; "
        f"one by one {serial:.1f} s (from {len(few)}), {serial / first:.1f} times; load {os.getloadavg()[0]:.1f}"
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
