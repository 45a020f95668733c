"""The commands about whole personas."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin_assets.cli.base import AsJson, PersonaName, TellsErrors, command, read_settings
from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dagster as dg

    from twin_assets.core.release.marks import Paused
    from twin_assets.monitoring.erasure import Certificate
    from twin_assets.settings import Settings

app = typer.Typer(
    cls=TellsErrors,
    help="Lists the personas of this installation, pauses them, and exports or deletes a person wholly.\n\nA persona is one file, "
    "personas/<name>.yaml (TWIN_PERSONAS_DIR says where); docs/collection.md has every option.",
    epilog="[bold]Examples[/bold]\n\n$ twin personas\n\n$ twin personas --json\n\n$ twin personas --schema > personas/schema.json",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def personas(
    context: typer.Context,
    as_json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a persona's file instead.")
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from twin_assets.core.persona.definition import load_persona, persona_names, persona_schema

    if schema:
        typer.echo(persona_schema(), nl=False)
        return
    settings = read_settings()
    folder = settings.personas_dir
    names, rows = persona_names(folder), list[dict[str, Any]]()
    marks = _marks(settings) if names else {}
    for name in names:
        try:
            persona = load_persona(folder, name)
            rows.append(
                {
                    "name": name,
                    "full_name": persona.full_name,
                    "visibility": persona.visibility,
                    "sources": persona.sources(),
                }
            )
        except TwinError as error:
            rows.append({"name": name, "problem": str(error)})
        if mark := marks.get(name):
            rows[-1]["paused"] = mark.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            told = (
                row.get("problem") or f"{row['full_name']}, {row['visibility']}: {', '.join(row['sources'])}"
            )
            mark = marks.get(row["name"])
            typer.echo(f"{row['name']:<12}  {told}{f' ({mark.sentence})' if mark else ''}")
        if not rows:
            typer.echo(f"none yet: write {folder}/<name>.yaml")
    raise typer.Exit(1 if any("problem" in row for row in rows) else 0)


def _marks(settings: "Settings") -> "Mapping[str, Paused]":
    """Who is paused. A lake that can't be read keeps back no list of who there is."""
    from twin_assets.core.release.marks import PAUSED
    from twin_assets.core.storage.lake import open_lake

    try:
        return PAUSED.all(open_lake(settings))
    except TwinError as error:
        typer.echo(f"who is paused can't be read: {error}", err=True)
        return {}


By = Annotated[str | None, typer.Option(metavar="WHO", help="Who pauses, beside the account that it is.")]


@command(app, "twin personas pause ada", "twin personas pause ada --reason 'on leave until May' --by Ines")
def pause(
    name: PersonaName,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever sees it.")] = "",
    by: By = None,
) -> None:
    """Pauses a person: no schedule, sensor or automation works for them. What serves goes on serving.

    Runs that have begun or wait in the queue go on, texts go when their days are over, and what you start by hand works.
    """
    from twin_assets.core.persona.definition import persona_names
    from twin_assets.core.release.callers import said_to_be, system_user
    from twin_assets.core.release.marks import LOOK_SECONDS
    from twin_assets.core.release.marks import pause as mark
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    if name not in persona_names(settings.personas_dir):
        raise TwinError(f"There is no persona {name[:80]!r}.", "see `twin personas`.")
    told = mark(open_lake(settings), name, said_to_be(by, system_user()), reason)
    soon = f" within {LOOK_SECONDS:.0f} seconds" if settings.lake_url else ""
    typer.echo(
        f"{name} is {told.sentence}. Nothing crawls, builds, trains or evaluates for them by itself any more{soon}, and their alerts "
        f"are quiet. What serves goes on serving, and a run that you start works. To go on: twin personas resume {name}"
    )


@command(app, "twin personas resume ada")
def resume(name: PersonaName) -> None:
    """Lets a paused person go on: what was due meanwhile is done at the next look."""
    from twin_assets.core.release.marks import PAUSED
    from twin_assets.core.storage.lake import open_lake

    if not PAUSED.take(open_lake(read_settings()), name):
        raise TwinError(f"{name[:80]} is not paused.", "see `twin personas`.")
    typer.echo(f"{name} goes on.")


@command(app, "twin personas export ada ada.zip", "twin personas export ada ./ada --weights")
def export(
    name: PersonaName,
    target: Annotated[Path, typer.Argument(metavar="FOLDER|FILE.zip", help="A new folder, or a new zip.")],
    weights: Annotated[bool, typer.Option("--weights", help="Weights of whole models too.")] = False,
) -> None:
    """Gives a person what is theirs, in open formats: documents, datasets, adapters, texts, requests, and the persona's file.

    manifest.json has each file with its hash, and says what is left out and why. No keys are in it. docs/monitoring.md has more.
    """
    from twin_assets.core.release.callers import system_user
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.monitoring.erasure import export_person

    settings = read_settings()
    try:
        told = export_person(settings, open_lake(settings), name, target, system_user(), weights)
    except OSError as error:
        raise TwinError(
            f"{target} can't be written: {error.strerror}.", "make room, or name another place."
        ) from None
    size = sum(file.bytes for file in told.files)
    typer.echo(f"{target}: {len(told.files)} files of {name}, {size / 1e6:.1f} MB, and manifest.json")
    for one in told.left_out:
        typer.echo(f"left out: {one.what}: {one.why}")


@command(
    app,
    "twin personas delete ada",
    "twin personas delete ada --yes --by 'Ines, for the data protection officer' --certificate ada.json",
)
def delete(
    name: PersonaName,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the certificate there too.", dir_okay=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for the name to be typed.")] = False,
    by: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Who deletes; the certificate keeps it beside the account."),
    ] = None,
) -> None:
    """Deletes a person from every place, for good, and prints a certificate as JSON: what went, and what can't be taken back.

    Models, index, runs and the persona's file go too. Stopped, or where a place was in use, the same again goes on where it
    was: exit status 1. The certificate is kept in the lake. docs/monitoring.md says what stays.
    """
    from twin_assets.cli.runner import open_instance
    from twin_assets.core.release.callers import said_to_be, system_user
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.defs.monitoring.person import PersonInDagster
    from twin_assets.monitoring.erasure import delete_person, refuse_running, refuse_unknown

    settings = read_settings()
    if certificate is not None and not certificate.absolute().parent.is_dir():
        raise TwinError(
            f"There is no folder {certificate.absolute().parent}.", "make it, or name another FILE."
        )
    lake = open_lake(settings)
    with open_instance(settings) as instance:
        graph = PersonInDagster(instance, name, _definitions)
        refuse_unknown(settings, lake, name, graph)
        refuse_running(name, graph)
        if not yes:
            _confirm(name)
        told = delete_person(settings, lake, name, said_to_be(by, system_user()), graph)
    text = told.model_dump_json(indent=2)
    typer.echo(text)
    if certificate is not None:
        certificate.write_text(f"{text}\n", encoding="utf-8")
    if told.finished_at is None:
        raise TwinError(
            f"{name} is not deleted wholly: {_open(told)}.", "end what uses it, and delete again."
        )


def _definitions() -> "dg.Definitions":
    from twin_assets.definitions import defs

    return defs


def _open(told: "Certificate") -> str:
    used = [place for place, count in told.places.items() if count is None]
    found = [f"{count} {kind}" for kind, count in told.checked.items() if count]
    return "; ".join([*([f"in use or not reached: {', '.join(used)}"] if used else []), *found])


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise TwinError("Nobody is here to confirm that a person is deleted for good.", "add --yes.")
    if (
        typer.prompt(f"This deletes {name} from every place, for good. Type the name to go on", err=True)
        != name
    ):
        raise TwinError("That is not the name: nothing was deleted.", f"type {name}, or add --yes.")
