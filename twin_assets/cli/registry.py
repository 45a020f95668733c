"""The model registry from a terminal: `python -m twin_assets.cli.registry COMMAND`; `--help` lists the commands."""

import argparse
import sys

from twin_assets.core.command_line import tells_errors
from twin_assets.core.errors import TwinError
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.release.garbage import collect_garbage
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.release.lineage import trace, which_data
from twin_assets.core.release.push import pull_version, push_version
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import Settings, load_settings
from twin_assets.training.rebuild import rebuild


def _show(settings: Settings, wanted: argparse.Namespace) -> None:
    lake = open_lake(settings)
    for version in Registry(settings).list(wanted.persona):
        state = Ledger(lake, version.lineage.persona).state(version.tag) or ""
        print(
            f"{version.created_at:%Y-%m-%d %H:%M}  {version.tag}  {version.size_bytes / 1e6:.1f} MB  {state}"
        )


def _which_data(settings: Settings, wanted: argparse.Namespace) -> None:
    print(which_data(Registry(settings), open_lake(settings), wanted.persona).model_dump_json(indent=2))


def _trace(settings: Settings, wanted: argparse.Namespace) -> None:
    print(trace(Registry(settings), open_lake(settings), wanted.tag).model_dump_json(indent=2))


def _rebuild(settings: Settings, wanted: argparse.Namespace) -> None:
    made = rebuild(settings, open_lake(settings), wanted.tag)
    print(made.model_dump_json(indent=2))
    if not made.same:
        raise TwinError(f"Another model came of the inputs of {wanted.tag}.", "see the comparison above.")


def _push(settings: Settings, wanted: argparse.Namespace) -> None:
    persona = Registry(settings).get(wanted.tag).lineage.persona
    visibility = load_persona(settings.personas_dir, persona).visibility if persona != "shared" else "private"
    for tag, address in push_version(settings, wanted.tag, wanted.to, visibility, wanted.parents).items():
        print(f"{tag}  {address}")


def _pull(settings: Settings, wanted: argparse.Namespace) -> None:
    for version in pull_version(settings, wanted.tag, wanted.source, wanted.parents):
        print(f"{version.tag}  {version.path}")


def _gc(settings: Settings, wanted: argparse.Namespace) -> None:
    found = collect_garbage(Registry(settings), open_lake(settings), wanted.keep_last, not wanted.remove)
    print(found.model_dump_json(indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twin_assets.cli.registry", description="The model registry."
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, act: object, about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(act=act)
        return added

    show = command("show", _show, "Lists the versions, newest first.")
    show.add_argument("--persona")
    which = command("which-data", _which_data, "Says which data trained what is in production.")
    which.add_argument("persona")
    command("trace", _trace, "Says where a version comes from.").add_argument("tag")
    command("rebuild", _rebuild, "Trains a version again and compares.").add_argument("tag")
    push = command("push", _push, "Pushes a version to the hub or S3.")
    push.add_argument("--to", choices=["hub", "s3"], required=True)
    pull = command("pull", _pull, "Fetches a version from the hub or S3.")
    pull.add_argument("--from", dest="source", choices=["hub", "s3"], required=True)
    for each in (push, pull):
        each.add_argument("tag")
        each.add_argument("--parents", action="store_true", help="and what it was trained from")
    gc = command("gc", _gc, "Lists old versions that nothing needs; --remove removes them.")
    gc.add_argument("--keep-last", type=int, default=3, metavar="N")
    gc.add_argument("--remove", action="store_true")
    return parser


@tells_errors
def main() -> int:
    """Entry point; the exit status is 1 when the command failed."""
    wanted = _parser().parse_args()
    wanted.act(load_settings(), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
