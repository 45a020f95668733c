"""`python -m tests.chaos [PART …]`, or `make chaos`: attacks the platform where it writes and where it is asked, on this
machine only, and says what was tried, what was lost, what came twice and what broke. The exit status is 1 when anything did.
"""

import argparse
import importlib
import random
import sys
import tempfile
import traceback
from pathlib import Path

from tests.chaos.report import Part, write_report

PARTS = {
    "killed": "kill -9 at random points of every work that writes",
    "training": "kill -9 of a training and all its processes",
    "full_disk": "a disk that fills at random, and has room again",
    "ill_bucket": "an S3 that fails, delays and loses answers, under two processes at once",
    "lost_node": "a Ray cluster of three nodes that loses one in the middle of the work",
    "fuzzed_api": "requests that schemathesis makes of both services",
    "injected": "attacks on the prompt in strangers' texts, and answers that fetch",
    "swapped": "releases and rollbacks under constant requests",
}  # fmt: skip


def main() -> int:
    """Entry point; the exit status is 1 when something was lost, came twice or broke."""
    listed = "\n".join(f"  {name:12} {about}" for name, about in PARTS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"parts:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", choices=[*PARTS, []], help="all, if none is named"
    )
    parser.add_argument("--short", action="store_true", help="a few attacks of each kind")
    parser.add_argument("--seed", type=int, help="repeats a run; drawn if unset")
    parser.add_argument("--home", type=Path, help="folder of the run and its report; a new one if unset")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="twin-chaos-"))
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    if taken := [name for name in given.parts or PARTS if (home / name).exists()]:
        parser.error(f"{home} has the folder of a run of {taken[0]} already; name a new one")
    done = []
    for name in given.parts or PARTS:
        print(f"{name}: {PARTS[name]}", flush=True)
        part = Part(name, seed, not given.short, home / name)
        try:
            importlib.import_module(f"tests.chaos.{name}").run(part)
        except Exception:  # the other parts are still worth their time
            part.broken.append(f"the part ended early: {traceback.format_exc()[-2000:]}")
        part.close()
        done.append(part)
        print(part.text().split("\n", 1 + len(part.notes))[-1], flush=True)
    report = write_report(done, home / "report")
    faults = sum(part.faults for part in done)
    print(f"\n{faults or 'no'} faults. The report is {report}; --seed {seed} tries the same again.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
