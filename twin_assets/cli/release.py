"""Releases from a terminal: `python -m twin_assets.cli.release COMMAND`; `--help` lists the commands."""

import argparse
import sys
from datetime import UTC, datetime

from twin_assets.core.command_line import tells_errors
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.release.approval import Decision, decide, deploy, last_release
from twin_assets.core.release.callers import system_user
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.core.release.history import Event
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings, load_settings


def _show(settings: Settings, ledger: Ledger, wanted: argparse.Namespace) -> None:
    history = ledger.history()
    print(f"production  {history.production() or 'none'}")
    if before := history.predecessor():
        print(f"before it   {before}")
    if canary := history.canary():
        print(f"canary      {canary.model}, {canary.share:.0%} of the requests")
    if verdict := evaluate_canary(ledger.lake, ledger.persona, history, settings, datetime.now(UTC)):
        print(f"watch       {verdict.reason}")
    if waiting := history.waiting():
        print(f"waiting     {waiting.model}, evaluation {waiting.number}")
    for event in history.events:
        print(_line(event))


def _review(settings: Settings, ledger: Ledger, wanted: argparse.Namespace) -> None:
    about = next((e for e in ledger.events() if e.number == wanted.evaluation), None)
    if about is None:
        raise TwinError(f"The ledger has no event {wanted.evaluation}.", "take a number that `show` prints.")
    _decide(settings, ledger, wanted, about)


def _roll_back(settings: Settings, ledger: Ledger, wanted: argparse.Namespace) -> None:
    _decide(settings, ledger, wanted, last_release(ledger.history()))
    print(f"production is {ledger.production() or 'none'}")


def _deploy(settings: Settings, ledger: Ledger, wanted: argparse.Namespace) -> None:
    event = deploy(ledger, Registry(settings), settings)
    print(_line(event) if event else "no approval waits")


def _decide(settings: Settings, ledger: Ledger, wanted: argparse.Namespace, about: Event) -> None:
    given = Decision(
        decision=wanted.decision, about=about.number, model=about.model, reviewer=wanted.reviewer, reason=wanted.reason
    )  # fmt: skip
    print(_line(decide(ledger, Registry(settings), settings, given, system_user())))


def _line(event: Event) -> str:
    return f"{event.number:>4}  {event.at:%Y-%m-%d %H:%M}  {event.kind:<14}  {event.model}  {event.who}: {event.reason}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m twin_assets.cli.release", description="Releases.")
    commands = parser.add_subparsers(required=True)

    def command(name: str, act: object, about: str, decision: str | None = None) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(act=act, decision=decision)
        added.add_argument("persona")
        if decision:
            added.add_argument("--reviewer", required=True, help="your name")
            added.add_argument("--reason", required=True)
        return added

    command("show", _show, "Says what serves, what waits, and prints the ledger.")
    for name, about in (
        ("approve", "Approves a candidate."),
        ("reject", "Rejects a candidate, or an approval."),
    ):
        added = command(name, _review, about, name)
        added.add_argument(
            "--evaluation", type=int, required=True, help="number of the event decided on, as `show` says"
        )
    command("deploy", _deploy, "Deploys what is approved, as Dagster's sensor does.")
    command(
        "roll-back", _roll_back, "Takes back the canary if one runs, else what is in production.", "roll_back"
    )
    return parser


@tells_errors
def main() -> int:
    """Entry point; the exit status is 1 when the command failed."""
    wanted = _parser().parse_args()
    settings = load_settings()
    load_persona(settings.personas_dir, wanted.persona)
    wanted.act(settings, Ledger(open_lake(settings), wanted.persona), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
