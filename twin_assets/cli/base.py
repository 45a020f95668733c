"""What every command shares: how it ends when it can't be done, its examples, and arguments that several have.

Commands import what they need when they run: `twin --help` and completion in a shell must not wait for torch or Dagster.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.models import ArgumentInfo

from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from twin_assets.settings import Settings


# Packages that don't come with every extra of pyproject.toml, by the first one that brings them.
_EXTRA_OF = {
    "fastapi": "serve", "mcp": "serve", "scrapy": "read", "unstructured": "read", "pypandoc": "read", "torch": "llm",
    "transformers": "llm", "peft": "llm", "gguf": "llm", "sentence_transformers": "llm", "dagster": "pipeline",
    "dagster_dbt": "pipeline", "dagster_aws": "pipeline", "daft": "pipeline", "apprise": "pipeline", "axolotl": "train",
    "optuna": "train", "lm_eval": "pipeline", "ray": "scale", "kubernetes": "k8s", "psycopg2": "serve", "dagster_postgres": "pipeline",
}  # fmt: skip


def not_installed(module: str) -> TwinError:
    """What to say where a package of an extra is missing; `module` as it is imported. Raises KeyError for any other."""
    extra = _EXTRA_OF[module.partition(".")[0]]
    return TwinError(
        f"This takes {module}, which isn't installed here.", f"pip install 'llm-twin-platform[{extra}]'."
    )


class TellsErrors(TyperGroup):
    """A TwinError of any command is printed to standard error, without a traceback, and gives exit status 1. So is that the
    command takes what another extra brings."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TwinError as error:
            typer.echo(error, err=True)
            raise typer.Exit(1) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _EXTRA_OF:
                raise
            typer.echo(not_installed(str(error.name)), err=True)
            raise typer.Exit(1) from None


def group(about: str, kind: type[TellsErrors] = TellsErrors) -> typer.Typer:
    """A command of commands. A fault of ours shows a plain traceback, without the values of variables: some are secret."""
    return typer.Typer(
        cls=kind,
        help=about,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


class Helpful(TyperCommand):
    """Its help says what its arguments are: click 8.5 has a help of arguments itself, and empties the one typer set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        told = getattr(self.callback, "__annotations__", {})
        for parameter in self.params:
            for info in getattr(told.get(parameter.name), "__metadata__", ()):
                if isinstance(info, ArgumentInfo) and isinstance(parameter, TyperArgument):
                    parameter.help = info.help


def command(
    app: typer.Typer, *examples: str, panel: str | None = None, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function a command of `app`, with examples at the end of its help."""
    shown = "\n\n".join(["[bold]Examples[/bold]", *(f"$ {example}" for example in examples)])
    return app.command(name, cls=Helpful, epilog=shown, rich_help_panel=panel)


def read_settings() -> "Settings":
    """The settings of this process. Raises TwinError naming each that can't be used, without its value."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from twin_assets.settings import load_settings

    try:
        return load_settings()
    except ValidationError as error:
        wrong = "; ".join(f"{setting_name(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
    except SettingsError as error:  # what should be JSON is none
        wrong = str(error)
    raise TwinError(
        f"There are settings that can't be used: {wrong}.",
        "mend them in the environment or in .env; docs/settings.md says what each may be.",
    )


def setting_name(field: str) -> str:
    """How the environment names a setting."""
    return field if field.startswith("TWIN_") else f"TWIN_{field.upper()}"


@contextmanager
def sigterm_is_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does. By itself it ends Python on the spot, and programs that the command started, a
    training say, in a session of their own, go on. A second one does that: an exception may get lost in a callback."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler can be set, nor does a signal arrive
        return
    before = signal.getsignal(signal.SIGTERM)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def may_be_stopped(hint: str) -> Iterator[None]:
    """Ctrl-C ends the command with status 130 and a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; {hint}")
        raise typer.Exit(130) from None


def complete_personas(incomplete: str) -> list[str]:
    """Names of personas for a shell; none where the settings can't be read: the command itself says why."""
    from twin_assets.core.persona.definition import persona_names

    try:
        names = persona_names(read_settings().personas_dir)
    except TwinError:
        return []
    return [name for name in names if name.startswith(incomplete)]


PersonaName = Annotated[
    str,
    typer.Argument(help="Name of a persona; `twin personas` lists them.", autocompletion=complete_personas),
]
OnlyPersona = Annotated[
    str | None, typer.Option("--persona", help="Only of this persona.", autocompletion=complete_personas)
]
ModelTag = Annotated[
    str,
    typer.Argument(
        help="A model version, such as twin-ada-dpo:f3a1d279f275; `twin registry show` lists them."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
