"""The command line. Four verbs: check, keep, log, verify.

Exit codes, since that's what the night job reads:
  0 fine   1 can't read it   2 you've mistyped something
  3 stale  4 gappy           5 the log's been altered
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from . import __version__, store
from .checks import check_all
from .parse import UnreadableTable, parse_text

FINE, UNREADABLE, STALE, GAPPY, ALTERED = 0, 1, 3, 4, 5


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidelog", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (("check", "look at a table and say what's wrong with it"),
                       ("keep", "check a table, keep it if it's good, log it either way")):
        sub = verbs.add_parser(verb, help=text)
        sub.add_argument("file")
        sub.add_argument("--for", dest="wanted", type=date.fromisoformat, required=True,
                         help="the day you want. There's no default, on purpose")
        sub.add_argument("--harbours", type=int, default=43)
        sub.add_argument("--max-age", type=float, default=20.0, help="in hours")
        sub.add_argument("--now", type=_utc, help="pretend it's this time, for tests and arguments")
        if verb == "keep":
            sub.add_argument("--into", required=True, help="folder for the tables and the log")
            sub.add_argument("--who", default=getpass.getuser())
    for verb, text in (("log", "print the log, oldest first"), ("verify", "check every sum in it")):
        verbs.add_parser(verb, help=text).add_argument("folder")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if args.verb == "log":
        for entry in store.read_log(args.folder):
            print("{time}  saw: {saw}  did: {did}  {who}".format(**entry))
        return FINE
    if args.verb == "verify":
        bad = store.first_bad_line(args.folder)
        print("every line agrees" if bad is None else f"line {bad} doesn't agree with the one above it")
        return FINE if bad is None else ALTERED
    return look_at(args)


def look_at(args: argparse.Namespace) -> int:
    """check and keep are one road, and keep goes a bit further down it."""
    now = args.now or datetime.now(timezone.utc)
    table = text = None
    try:
        text = Path(args.file).read_text(encoding="utf-8")
        table = parse_text(text)
    except (UnreadableTable, UnicodeDecodeError, OSError) as why:
        code, lines = UNREADABLE, [f"unreadable: {args.file}: {why}"]
    else:
        problems = check_all(table, args.wanted, now, args.harbours, timedelta(hours=args.max_age))
        lines = [str(problem) for problem in problems]
        # Stale wins over gappy. There's no use counting the holes in the wrong day.
        kinds = {problem.kind for problem in problems}
        code = STALE if "stale" in kinds else GAPPY if kinds else FINE

    for line in lines:
        print(line, file=sys.stderr)
    if code == FINE:
        print(f"fine: {args.wanted}, {len(table.harbours)} harbours, issued {table.issued_at:%d %b %H:%M}Z")
    if args.verb == "keep":
        did = "refused it"
        if code == FINE:
            did = f"kept it as {store.keep_table(args.into, table, text).name}"
        saw = f"{args.file} for {args.wanted}: {lines[0] if lines else 'fine'}"
        store.write_line(args.into, saw, did, args.who, now)
    return code


def _utc(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=timezone.utc)


if __name__ == "__main__":
    sys.exit(main())
