"""A real person, whole: collected, trained on, judged, and read beside what other recipes give on the same writing.

    python -m benchmarks.people jessfraz [--folder FOLDER] [--peer-rows 200] [--peer-epochs 2] [--samples 10]

Whose writing there is stands in `people/home.py`; `TWIN_AUTHORS` names the folders that hold theirs, with a colon between. The walk is
that of `twin run` on the profile `pocket`, which bounds the rows (320, every passage once), the pairs (32) and the evaluation (12 texts, 8
questions of each kind). Then every way writes the same texts and answers the same questions, and the product's evaluation judges them. The best
of four is chosen by a voice of other strangers than those that judge, and of every second document of the author's.

Everything lies under --folder, in a folder a person. Run it again after it was stopped, and it goes on: finished assets, trainings and texts
stay. Times are of each asset's last run, whenever that was.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg

from benchmarks.people.compare import Found, compare
from benchmarks.people.home import PEOPLE, open_home
from benchmarks.people.tables import gains_table, result_table, samples
from twin_assets.cli.runner import Runner, walk_log
from twin_assets.defs.shared.console import only_progress, say
from twin_assets.defs.shared.versions import latest

REVIEWER = "benchmark"
SHORTEST = 1.0  # seconds of an asset that are told


def main() -> None:
    """Print the tables and the texts of one person."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("person", choices=sorted(PEOPLE))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "twin-people")
    parser.add_argument("--profile", default="pocket")
    parser.add_argument("--peer-rows", type=int, default=200, help="0: without the peers' recipe")
    parser.add_argument("--peer-epochs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=10)
    given = parser.parse_args()
    home = open_home(given.person, given.folder, given.profile)
    with only_progress(walk_log(home.settings, given.person)):
        runner = Runner(home.settings, given.person)
        released = walk(runner)
        began = time.monotonic()
        found = compare(home, given.peer_rows, given.peer_epochs, say)
        home.results.write_text(found.model_dump_json())
    print(f"# {home.person.full_name}, profile {given.profile}\n")
    print(f"Released: {released}\n")
    print(times(runner), "\n")
    print_found(found, time.monotonic() - began, given.samples)


def walk(runner: Runner) -> str:
    """To the gate, and through it where it opens; what came of it."""
    fine = runner.materialize_stale()
    if fine and runner.waits_for_approval():
        fine = runner.approve(REVIEWER, "it passed its gate")
    failed = [step for step in runner.steps if step.state == "failed"]
    if unfinished := [step for step in failed if step.name not in ("evaluation_report", "release")]:
        sys.exit(f"{unfinished[0].name} failed: {unfinished[0].problem}")
    newest = latest(runner.instance, dg.AssetKey("evaluation_report"), runner.persona)
    gates = str(newest.metadata["gates"].value) if newest else ""
    return f"{'yes' if fine else 'no'}; its gate says\n\n{gates}"


def times(runner: Runner) -> str:
    """Seconds of each asset's last run, as Dagster knows them."""
    lines = ["| stage | seconds |", "|---|---|"]
    for key in runner.graph.toposorted_asset_keys:
        newest = runner.instance.get_latest_materialization_event(key)
        record = runner.instance.get_run_record_by_id(newest.run_id) if newest else None
        if record and record.start_time and record.end_time:
            seconds = record.end_time - record.start_time
            if seconds >= SHORTEST and not key.to_user_string().startswith("raw_"):
                lines.append(f"| {key.to_user_string()} | {seconds:.0f} |")
    return "\n".join(lines)


def print_found(found: Found, seconds: float, most: int) -> None:
    report = found.report
    print(result_table(found), "\n")
    print(gains_table(found), "\n")
    print(
        f"{report.prompts} texts each, told from {report.told_from} other writers; {report.voice_caution or ''}"
    )
    wrote = ", ".join(f"{role} {took:.0f} s" for role, took in found.seconds.items())
    print(f"Writing took {wrote}; the comparison {seconds:.0f} s. Peers' rows: {found.peer_rows}.\n")
    print(samples(found, most))


if __name__ == "__main__":
    main()
