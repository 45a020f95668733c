"""A real person, whole: collected, trained on, judged, and read beside what other recipes give on the same writing.

    python -m benchmarks.people jessfraz [--folder FOLDER] [--peer-rows 200] [--peer-epochs 2]
    python -m benchmarks.people matklad --continued 45000                    # after a walk: SFT alone, and after reading documents
    python -m benchmarks.people jessfraz --rules                             # after a walk: requests by the base model, and by rules
    python -m benchmarks.people jessfraz --rounded 1e-4                      # after a walk: quantisation-aware training, in 4 bits
    python -m benchmarks.people jessfraz --manners                           # after a walk: how texts are drawn
    python -m benchmarks.people --page docs/results.md [--folder FOLDER]     # of everybody who was measured

Whose writing there is stands in `people/home.py`; `TWIN_AUTHORS` names the folders that hold theirs, with a colon between. The walk is
that of `twin run` on the profile `pocket`, which bounds the rows (320, every passage once), the pairs (32) and the evaluation (12 texts, 16
questions of each kind). Then every way writes the same texts and answers the same questions, and the product's evaluation judges them. The best
of four is chosen by a voice of other strangers than those that judge, and of every second document of the author's.

Everything lies under --folder, in a folder a person. Run it again after it was stopped, and it goes on: finished assets, trainings and texts
stay. Times are of each asset's last run, whenever that was.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from benchmarks.people.compare import compare
from benchmarks.people.continued import continued
from benchmarks.people.home import PEOPLE, Home, open_home
from benchmarks.people.manners import manners
from benchmarks.people.page import Result, Walk, page, section
from benchmarks.people.rounded import rounded
from benchmarks.people.rule_requests import rule_requests
from twin_assets.cli.runner import Runner, walk_log
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.core.models.environment import code_revision
from twin_assets.defs.shared.console import only_progress, say
from twin_assets.defs.shared.versions import latest

REVIEWER = "benchmark"


def main() -> None:
    """Walk and judge one person, and print what was found; or write the page of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("person", nargs="?", choices=sorted(PEOPLE))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "twin-people")
    parser.add_argument("--profile", default="pocket")
    parser.add_argument("--peer-rows", type=int, default=200, help="0: without the peers' recipe")
    parser.add_argument("--peer-epochs", type=int, default=2)
    parser.add_argument(
        "--continued", type=int, metavar="TOKENS", help="of the author's documents, read before SFT"
    )
    parser.add_argument(
        "--rules", action="store_true", help="hold the requests by the base model against those by rules"
    )
    parser.add_argument(
        "--rounded", type=float, metavar="RATE", help="train all weights, with and without `qat`"
    )
    parser.add_argument(
        "--manners", action="store_true", help="draw texts at several temperatures and penalties"
    )
    parser.add_argument("--page", type=Path, help="file to write the results of all people to")
    given = parser.parse_args()
    if given.page:
        files = [given.folder / name / "results.json" for name in PEOPLE]
        results = [Result.model_validate_json(f.read_text()) for f in files if f.is_file()]
        if not results:
            sys.exit(f"Nobody was measured in {given.folder}. Fix: name a person first, or another --folder.")
        given.page.write_text(page(results), encoding="utf-8")
    elif given.person and (asked := after_walk(given)):
        home = open_home(given.person, given.folder.resolve(), given.profile)
        with only_progress(walk_log(home.settings, given.person)):
            found = asked(home, say)
        # Inside it would go to the log, as all that is printed there.
        print(found)
    elif given.person:
        print(
            section(measured(given.person, given.folder, given.profile, given.peer_rows, given.peer_epochs))
        )
    else:
        parser.error("name a person, or --page FILE")


def after_walk(given: argparse.Namespace) -> Callable[[Home, Callable[[str], None]], str] | None:
    """What is asked about somebody who was walked before, if anything is."""
    if given.continued:
        return lambda home, say: continued(home, given.continued, say)
    if given.rounded:
        return lambda home, say: rounded(home, given.rounded, say)
    if given.rules:
        return rule_requests
    return manners if given.manners else None


def measured(name: str, folder: Path, profile: str, peer_rows: int, peer_epochs: int) -> Result:
    """Walk, compare, and keep the result in the person's folder."""
    home = open_home(name, folder.resolve(), profile)
    before = os.getloadavg()[1]
    with only_progress(walk_log(home.settings, name)):
        runner = Runner(home.settings, name)
        walked = walk(runner)
        began = time.monotonic()
        found = compare(home, peer_rows, peer_epochs, say)
    result = Result(
        name=name,
        full_name=home.person.full_name,
        license=home.person.license,
        profile=profile,
        walk=walked,
        found=found,
        compared_in=time.monotonic() - began,
        load=(before, os.getloadavg()[1]),
        cores=os.cpu_count() or 0,
        bfloat16=cpu_has_bfloat16(),
        code=code_revision(),
    )
    home.results.write_text(result.model_dump_json())
    return result


def walk(runner: Runner) -> Walk:
    """To the gate, and through it where it opens."""
    fine = runner.materialize_stale()
    if fine and runner.waits_for_approval():
        fine = runner.approve(REVIEWER, "it passed its gate")
    failed = [step for step in runner.steps if step.state == "failed"]
    if broken := [step for step in failed if step.name not in ("evaluation_report", "release")]:
        sys.exit(f"{broken[0].name} failed: {broken[0].problem}")
    newest = latest(runner.instance, dg.AssetKey("evaluation_report"), runner.persona)
    facts = newest.metadata if newest else {}
    return Walk(
        released=fine,
        candidate=str(facts["candidate"].value) if facts else "",
        gates=str(facts["gates"].value) if facts else "",
        summary=str(facts["summary"].value) if facts else "",
        worth_it=str(facts["worth_it"].value) if facts else "",
        seconds=_seconds(runner),
    )


def _seconds(runner: Runner) -> dict[str, float]:
    """Of each asset's last run, as Dagster knows them."""
    found = {}
    for key in runner.graph.toposorted_asset_keys:
        newest = latest(runner.instance, key, runner.persona)
        event = runner.instance.get_latest_materialization_event(key) if newest else None
        record = runner.instance.get_run_record_by_id(event.run_id) if event else None
        if record and record.start_time and record.end_time:
            found[key.to_user_string()] = record.end_time - record.start_time
    return found


if __name__ == "__main__":
    main()
