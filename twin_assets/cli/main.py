"""`twin`: the one command of the platform. Each part of it stands in a file of its own."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer

from twin_assets.cli import data, demo, impostors, keys, pipeline, registry, release, settings
from twin_assets.cli.base import command, group, not_installed, read_settings, sigterm_is_ctrl_c
from twin_assets.cli.doctor import command as doctor

TRY, WORK, LOOK_AFTER, INSTALL = "Try it", "Your twin", "Models and data", "This installation"

app = group(
    "Turns one person's writing into an LLM twin, serves it, and rebuilds it at any time.\n\n"
    "First `twin demo`, then `twin up`. For your own: write personas/<name>.yaml, then `twin run <name>`.\n\n"
    "Exit status: 0 done; 1 it can't be done, and standard error says why and what to do; 2 wrong usage; 3 done with what "
    "is stored, while a source is in error; 130 stopped with Ctrl-C or SIGTERM."
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twin {version('llm-twin-platform')}")
        raise typer.Exit


@app.callback()
def _twin(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.with_resource(sigterm_is_ctrl_c())


demo.add_to(app, TRY)
pipeline.add_to(app, WORK)


@command(app, "twin up", "TWIN_UI_PASSWORD=… twin up", "TWIN_TWIN_PORT=8080 twin up", panel=WORK)
def up() -> None:
    """Starts Dagster, the LLM service and the twin's API with its web page; Ctrl-C stops everything.

    The addresses are printed once all of it is ready. Other ports: TWIN_TWIN_PORT, TWIN_LLM_PORT, TWIN_DAGSTER_PORT.
    """
    if find_spec("dagster") is None:
        raise not_installed("dagster")
    from serving.up import run_until_stopped

    run_until_stopped(read_settings())


app.add_typer(release.app, name="release", rich_help_panel=WORK)
app.add_typer(registry.app, name="registry", rich_help_panel=LOOK_AFTER)
data.add_to(app, LOOK_AFTER)
app.add_typer(impostors.app, name="impostors", rich_help_panel=LOOK_AFTER)
settings.add_to(app, INSTALL)
doctor.add_to(app, INSTALL)


@command(app, "twin init", "twin init && dagster instance migrate", panel=INSTALL)
def init() -> None:
    """Makes the home of this installation, with Dagster's settings in it.

    Settings that you wrote there yourself are left alone. `twin up`, `twin run` and `twin demo` do this by themselves.
    """
    from twin_assets.core.storage.dagster_home import ensure_dagster_home

    settings = read_settings()
    ensure_dagster_home(settings)
    typer.echo(f"Dagster's home is {settings.dagster_home}")


@command(app, "twin check", "TWIN_LAKE_URL=s3://bucket/prefix twin check", panel=INSTALL)
def check() -> None:
    """Looks whether the lake, and the bucket of models if there is one, do what the platform needs of them.

    On S3: that it is reached, knows the key and has the bucket, and that it refuses to overwrite what is to be new. A store
    that ignores this condition is refused, since two writers of the release ledger would lose each other's events unseen.
    """
    from twin_assets.cli.doctor.looks import lake

    for finding in lake(read_settings()):
        typer.echo(finding.says)


app.add_typer(keys.app, name="keys", rich_help_panel=INSTALL)
