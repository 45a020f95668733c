"""Takes requests out of everything that was kept of them: by id, by who asked, or by the age of their texts.

    python -m twin_assets.inference.erasure runa --request 3f2a…
    python -m twin_assets.inference.erasure runa --user "ann@example.org" --key 0a1b2c3d4e5f
    python -m twin_assets.inference.erasure runa --texts-older-than 30

An object that loses rows is written under a new name before the old one goes: an interrupted erasure is finished by
asking again, and mirrors and the warehouse see that it changed. How the log changes is in `log_days`.
"""

import argparse
import sys
from datetime import UTC, date, datetime, timedelta

import duckdb

from twin_assets.core.command_line import tells_errors
from twin_assets.core.errors import TwinError
from twin_assets.core.lake import Lake, open_lake
from twin_assets.inference.erasure_feedback import ErasedFeedback, erase_feedback
from twin_assets.inference.log_days import rewrite_day
from twin_assets.inference.monitor import ScoredRequest
from twin_assets.inference.request_log import RequestRecord, iter_requests, log_day, log_days, user_hash
from twin_assets.inference.scored import FOLDER as SCORES
from twin_assets.inference.scored import iter_scored, read_part, write_scores
from twin_assets.settings import Settings, load_settings

# Of the warehouse; each has the columns persona and request_id.
TABLES = ("requests", "stg_requests", "stg_scores", "stg_feedback")


class Erased(ErasedFeedback):
    """What is gone: rows of the log, of the scores, reactions with what was made of them, and rows of the warehouse.

    `warehouse` is None when the warehouse was in use: its next build takes out what the lake no longer has.
    """

    requests: int
    scores: int
    warehouse: int | None


def erase(
    settings: Settings, lake: Lake, persona: str, request_id: str | None = None, user: str | None = None,
    key: str | None = None,
) -> Erased:  # fmt: skip
    """Take out the requests that fit all that is given: an id, a user (as `user_hash` writes it), an API key's id.

    A row that is logged right now may come a second later; asking again takes it out too. Raises TwinError
    when nothing is given.
    """
    wanted = {"request_id": request_id, "user": user, "key": key}
    wanted = {name: value for name, value in wanted.items() if value}
    if not wanted:
        raise TwinError("Nothing says whose requests to erase.", "give a request id, a user or a key.")

    def fits(row: RequestRecord | ScoredRequest) -> bool:
        return all(getattr(row, name) == value for name, value in wanted.items())

    ids = {row.request_id for row in iter_requests(lake, persona) if fits(row)}
    ids |= {row.request_id for row in iter_scored(lake, persona) if fits(row)}
    ids |= {request_id} if wanted.keys() == {"request_id"} and request_id else set()
    # The log goes last: as long as it is there, an interrupted erasure finds the same ids again.
    return Erased(
        **dict(erase_feedback(settings, lake, persona, ids, key if wanted.keys() == {"key"} else None)),
        warehouse=_erase_from_warehouse(settings, persona, ids),
        scores=_erase_scores(lake, persona, ids),
        requests=_erase_from_log(lake, persona, ids),
    )


def remove_texts(lake: Lake, persona: str, older_than_days: int, today: date | None = None) -> int:
    """Take the texts out of the log's rows of days that are longer past; counts stay. How many rows had some."""
    first_kept = f"{(today or datetime.now(UTC).date()) - timedelta(days=older_than_days)}"

    removed = 0
    for day, names in log_days(lake, persona).items():
        found = log_day(lake, persona, day, names)
        if day < first_kept and (found.loose or (found.last and not found.last.bare)):
            removed += rewrite_day(lake, persona, day, RequestRecord.without_texts, pack=True)
    return removed


def _erase_from_log(lake: Lake, persona: str, ids: set[str]) -> int:
    def kept(row: RequestRecord) -> RequestRecord | None:
        return None if row.request_id in ids else row

    return sum(rewrite_day(lake, persona, day, kept) for day in log_days(lake, persona))


def _erase_scores(lake: Lake, persona: str, ids: set[str]) -> int:
    erased = 0
    for key in list(lake.keys(f"{SCORES}/{persona}")):
        rows = read_part(lake, key)
        kept = [row for row in rows if row.request_id not in ids]
        if len(kept) < len(rows):
            if kept:
                write_scores(lake, persona, key.split("/")[-2], kept)
            lake.delete(key)
            erased += len(rows) - len(kept)
    return erased


def _erase_from_warehouse(settings: Settings, persona: str, ids: set[str]) -> int | None:
    if not settings.warehouse_path.is_file():
        return 0
    try:
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            there = {
                row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()
            }
            erased = 0
            for table in (name for name in TABLES if name in there):
                counts = connection.execute(
                    f"delete from {table} where persona = ? and list_contains(?, request_id)",  # noqa: S608
                    [persona, sorted(ids)],
                ).fetchone()
                erased += counts[0] if counts else 0
            connection.execute("checkpoint")
            return erased
    except duckdb.IOException:
        return None  # another process has it open


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m twin_assets.inference.erasure", description=__doc__)
    parser.add_argument("persona")
    parser.add_argument("--request", help="id of a request, as X-Request-ID had it")
    parser.add_argument("--key", help="id of the API key that asked, or `page`, `this machine`, `anyone`")
    parser.add_argument("--user", help="the `user` that the key's requests named; needs --key")
    parser.add_argument("--texts-older-than", type=int, metavar="DAYS", help="remove only the texts")
    return parser


@tells_errors
def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 with the reason when it can't be done."""
    given, settings = _parser().parse_args(arguments), load_settings()
    lake = open_lake(settings)
    if given.texts_older_than is not None:
        print(f"texts removed from {remove_texts(lake, given.persona, given.texts_older_than)} rows")
        return 0
    if given.user and not given.key:
        raise TwinError("A user is known within a key.", "give --key too.")
    user = user_hash(given.key, given.user) if given.user else None
    print(erase(settings, lake, given.persona, given.request, user, given.key).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
