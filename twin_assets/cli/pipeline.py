"""A persona's way from its sources to a candidate: who there is, what would be collected, collecting, and the whole walk."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin_assets.cli.base import (
    PersonaName,
    command,
    complete_personas,
    may_be_stopped,
    read_settings,
)
from twin_assets.cli.personas.command import app as personas
from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from twin_assets.core.persona.definition import Persona
    from twin_assets.settings import Settings

SOURCE_IN_ERROR = 3  # exit status: everything was made, of what is stored


def add_to(app: typer.Typer, panel: str) -> None:
    """Add these commands to the whole."""
    app.add_typer(personas, name="personas", rich_help_panel=panel)
    command(
        app,
        "twin collect --preview ~/Downloads/export.zip",
        "twin collect ada --preview export.zip --json",
        "twin collect ada",
        "twin collect ada --source medium --source web",
        panel=panel,
    )(collect)
    command(app, "twin run ada", 'twin run ada --approve-as "Ada" --reason "reads like me"', panel=panel)(run)


def run(
    persona: PersonaName,
    approve_as: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Approve a candidate that passes its gate, as this person."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why it is approved; the ledger keeps it.")
    ] = "approved on the command line",
) -> None:
    """Brings a persona's twin up to date: collects, and makes again what has changed since.

    A candidate that passes its gate waits for a person, unless --approve-as names one. Stopped, or failed, it goes on
    where it was. Exit status 3: all was made, of what is stored, while a source is in error.
    """
    from twin_assets.cli.runner import Runner, walk_log
    from twin_assets.core.storage.lake import open_lake
    from twin_assets.defs.shared.console import only_progress, say
    from twin_assets.defs.shared.quotas import held_by_quota

    settings = read_settings()
    _check_files(_chosen(settings, persona))  # what is wrong is said now, not after a training
    log_file = walk_log(settings, persona)
    typer.echo(f"What the tools print goes to {log_file}")
    with may_be_stopped("the same again goes on where it was"), only_progress(log_file):
        runner = Runner(settings, persona)
        if held := held_by_quota(settings, open_lake(settings), runner.instance, persona, trains=True):
            say(f"  ! {held.sentence}. It goes on, since you started it")
        fine = runner.materialize_stale()
        if fine and approve_as and runner.waits_for_approval():
            fine = runner.approve(approve_as, reason)
        failed = runner.failed_sources()
        for step in failed:
            say(f"  ! {step.name} is in error, the rest went on without it: {step.problem}")
    raise typer.Exit(1 if not fine else SOURCE_IN_ERROR if failed else 0)


def _sources(incomplete: str) -> list[str]:
    from twin_assets.core.persona.definition import SOURCES

    return [source for source in SOURCES if source.startswith(incomplete)]


def collect(
    persona: Annotated[
        str | None,
        typer.Argument(
            help="Name of a persona; may be left out where there is only one.",
            autocompletion=complete_personas,
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only from this source; may be repeated.", autocompletion=_sources),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Say what a file, an archive or a folder would bring; nothing is stored.",
            exists=True,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --preview: print all of it as JSON.")] = False,
) -> None:
    """Collects what is new at a persona's sources, or says what an export would bring before anything is collected.

    Sources are asked only for what has changed. Exit status 3: a source could not be read to its end; what came is stored.
    """
    if preview is not None and source:
        raise typer.BadParameter("a preview reads the file alone: leave out --source", param_hint="--source")
    if as_json and preview is None:
        raise typer.BadParameter("only a preview is printed as JSON: add --preview PATH", param_hint="--json")
    settings = read_settings()
    chosen = _chosen(settings, persona)
    if preview is not None:
        _preview(chosen, preview, as_json)
    else:
        _collect(settings, chosen, source or [])


def _collect(settings: "Settings", persona: "Persona", sources: list[str]) -> None:
    declared = persona.sources()
    if unknown := [source for source in sources if source not in declared]:
        raise TwinError(
            f"{persona.name} declares no source {', '.join(unknown)} (declared: {', '.join(declared)}).",
            f"name one of those, or add it to personas/{persona.name}.yaml.",
        )
    from twin_assets.cli.runner import Runner, walk_log
    from twin_assets.defs.shared.console import only_progress

    log_file = walk_log(settings, persona.name)
    typer.echo(f"What the tools print goes to {log_file}")
    with may_be_stopped("the same again goes on where it was"), only_progress(log_file):
        runner = Runner(settings, persona.name)
        runner.collect(list(dict.fromkeys(sources)) or declared)
    raise typer.Exit(SOURCE_IN_ERROR if runner.failed_sources() else 0)


def _preview(persona: "Persona", path: Path, as_json: bool) -> None:
    from twin_assets.core.uploads.preview import preview_apart
    from twin_assets.feature.crawl.preview import as_text

    with tempfile.TemporaryDirectory(prefix="twin-preview-") as into:
        report = preview_apart(persona, path, path.name, Path(into))
    typer.echo(report.model_dump_json(indent=2) if as_json else as_text(report))


def _chosen(settings: "Settings", name: str | None) -> "Persona":
    from twin_assets.core.persona.definition import load_persona, persona_names

    names = persona_names(settings.personas_dir)
    if name is None and len(names) != 1:
        raise TwinError(
            f"Nothing says which persona, and there are {len(names)}.",
            f"name one of: {', '.join(names) or 'none yet, write personas/<name>.yaml'}.",
        )
    return load_persona(settings.personas_dir, name or names[0])


def _check_files(persona: "Persona") -> None:
    """Raises TwinError for files that the persona names for its evaluation, the last stage, and that can't be read."""
    from twin_assets.evaluation.grounding.questions import read_questions
    from twin_assets.evaluation.voice.impostors import read_impostors

    read_impostors(persona.impostors)
    read_questions(persona.questions)
