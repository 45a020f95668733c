"""`twin impostors`: other people's writing, which the voice metric tells a persona from."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from twin_assets.cli.base import command, group, read_settings
from twin_assets.core.errors import TwinError

# As for a source in error: done with what is stored.
IN_PART = 3

app = group("Keeps the writing of other people, under open licences, that voices are told from.")


@command(
    app, "twin impostors fetch", "twin impostors fetch matklad brandur", "twin impostors fetch --table ours.yaml"
)  # fmt: skip
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these writers of the table; all without it.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A YAML list of writers of your own, like the packaged one.", dir_okay=False),
    ] = None,
) -> None:
    """Fetches blogs whose licence allows it into TWIN_IMPOSTORS_DIR, or the lake, each with its attribution.

    Sites are asked as politely as a persona's own. What cannot be fetched leaves what was there before.
    """
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.feature.crawl.writers import TABLE, fetch_writer, keep_in_lake, read_writers

    writers = read_writers(table or TABLE)
    known = {writer.name for writer in writers}
    if unknown := sorted(set(names or []) - known):
        raise TwinError(
            f"The table of writers has no {', '.join(unknown)}.", f"name some of: {', '.join(sorted(known))}."
        )
    settings, failed = read_settings(), 0
    chosen = [writer for writer in writers if not names or writer.name in names]
    with tempfile.TemporaryDirectory(prefix="twin-impostors-") as made:
        into = settings.impostors_dir or Path(made)
        for writer in chosen:
            found = fetch_writer(settings, writer, into, lambda line: None)
            if found.error is None and settings.impostors_dir is None:
                keep_in_lake(open_lake(settings), into / writer.name)
            failed += found.error is not None
            typer.echo(
                f"✗ {writer.name}: {found.error}" if found.error
                else f"✓ {writer.name} ({writer.licence}): {found.pieces} pieces, {found.words:,} words"
            )  # fmt: skip
    if failed:
        raise typer.Exit(1 if failed == len(chosen) else IN_PART)
