"""`twin keys`: who may ask the API."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from twin_assets.cli.base import AsJson, command, complete_personas, group, read_settings
from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from serving.access.keys import ApiKey

app = group(
    "Makes, lists and revokes API keys. While there are none, and no TWIN_UI_PASSWORD, only this machine may ask."
)


def _actions(incomplete: str) -> list[str]:
    from serving.access.keys import ACTIONS

    return [action for action in ACTIONS if action.startswith(incomplete)]


def _known_actions(given: list[str] | None) -> list[str] | None:
    from serving.access.keys import ACTIONS

    if unknown := set(given or []) - set(ACTIONS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is none of {', '.join(ACTIONS)}")
    return given


@command(
    app,
    'twin keys create "newsletter bot" --persona ada --action write --action read --per-minute 20',
    'twin keys create "my circle" --persona ada --audience connections',
)
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    persona: Annotated[
        list[str] | None,
        typer.Option(
            help="For this persona; may be repeated. All without it.", autocompletion=complete_personas
        ),
    ] = None,
    action: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do; may be repeated: read, chat, write, links, library, feedback, publish, admin. "
            "Without it all but library, publish and admin.",
            callback=_known_actions,
            autocompletion=_actions,
        ),
    ] = None,
    per_minute: Annotated[
        float | None,
        typer.Option(min=0, help="Requests a minute; the service's own limit without it, 0 for none."),
    ] = None,
    audience: Annotated[
        Literal["public", "connections", "private"],
        typer.Option(help="The most closed writing that its holder is shown."),
    ] = "public",
    as_json: AsJson = False,
) -> None:
    """Makes a key and prints it, once: only a hash of it is kept."""
    from serving.access.keys import DEFAULT_ACTIONS, EVERYONE, Keys
    from twin_assets.core.persona.definition import persona_names
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    names = persona_names(settings.personas_dir)
    if unknown := set(persona or []) - set(names):
        raise TwinError(
            f"There is no persona {', '.join(sorted(unknown))}.",
            f"name one of: {', '.join(names) or 'none yet'}.",
        )
    actions: list[Any] = action or list(DEFAULT_ACTIONS)
    token, key = Keys(open_lake(settings)).create(name, persona or [EVERYONE], actions, per_minute, audience)
    if as_json:
        typer.echo(json.dumps({"key": token} | _facts(key), indent=2))
        return
    typer.echo(
        f"{token}\n\nKey {key.id}, audience {key.audience}. It is shown only now; keep it where secrets are kept."
    )


@command(app, "twin keys list", "twin keys list --json", name="list")
def list_keys(as_json: AsJson = False) -> None:
    """Lists every key, oldest first, without the keys themselves."""
    from serving.access.keys import Keys
    from twin_assets.core.storage.lake import open_lake

    keys = Keys(open_lake(read_settings()))
    if as_json:
        damaged = [{"id": key_id, "damaged": True} for key_id in keys.damaged()]
        typer.echo(json.dumps([_facts(key) for key in keys.all()] + damaged, indent=2))
        return
    for key in keys.all():
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "good"
        scopes = f"{','.join(key.personas)}  {','.join(key.actions)}  {key.audience}"
        typer.echo(f"{key.id}  {state}  {key.name}  {scopes}")
    for key_id in keys.damaged():
        typer.echo(f"{key_id}  damaged: it lets nobody in; revoke it and make a new one")


@command(app, "twin keys revoke 3f2a9c0d1e4b")
def revoke(key_id: Annotated[str, typer.Argument(help="Its id, as `twin keys list` shows it.")]) -> None:
    """Ends a key for good, everywhere, within two seconds."""
    from serving.access.keys import Keys
    from twin_assets.core.storage.lake import open_lake

    typer.echo(f"Key {Keys(open_lake(read_settings())).revoke(key_id).id} is revoked.")


def _facts(key: "ApiKey") -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"hash"})
