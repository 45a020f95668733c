"""The command line of erasure; see the package."""

import argparse
import sys

from twin_assets.core.command_line import tells_errors
from twin_assets.core.errors import TwinError
from twin_assets.core.storage.lake import open_lake
from twin_assets.inference.twin.request_log import user_hash
from twin_assets.monitoring import erasure
from twin_assets.settings import load_settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twin_assets.monitoring.erasure", description=erasure.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("persona")
    parser.add_argument("--request", help="id of a request, as X-Request-ID had it")
    parser.add_argument("--document", metavar="DOC_ID", help="one document, from raw to index, for good")
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
        removed = erasure.remove_texts(lake, given.persona, given.texts_older_than)
        print(f"texts removed from {removed} rows")
        return 0
    if given.document:
        print(erasure.erase_document(settings, lake, given.persona, given.document).model_dump_json())
        return 0
    if given.user and not given.key:
        raise TwinError("A user is known within a key.", "give --key too.")
    user = user_hash(given.key, given.user) if given.user else None
    print(erasure.erase(settings, lake, given.persona, given.request, user, given.key).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
