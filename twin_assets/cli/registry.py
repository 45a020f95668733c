"""`twin registry`: the model versions of this installation, and the ways out of it and in."""

import json
from typing import Annotated, Literal

import typer

from twin_assets.cli.base import AsJson, ModelTag, OnlyPersona, PersonaName, command, group, read_settings

app = group("Says what models there are and where each comes from; pushes, pulls, and clears away old ones.")

WithParents = Annotated[bool, typer.Option("--parents", help="And what it was trained from.")]


@command(app, "twin registry show", "twin registry show --persona ada --json")
def show(persona: OnlyPersona = None, as_json: AsJson = False) -> None:
    """Lists the versions, newest first, each with its size and its state in the release ledger."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    lake = open_lake(settings)
    rows = [
        (version, Ledger(lake, version.lineage.persona).state(version.tag))
        for version in Registry(settings).list(persona)
    ]
    if as_json:
        listed = [version.model_dump(mode="json") | {"state": state} for version, state in rows]
        typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    for version, state in rows:
        typer.echo(
            f"{version.created_at:%Y-%m-%d %H:%M}  {version.tag}  {version.size_bytes / 1e6:.1f} MB"
            f"{f' on {version.base.tag}' if version.base else ''}  {state or ''}"
        )


@command(app, "twin registry which-data ada", name="which-data")
def which_data(persona: PersonaName) -> None:
    """Says, as JSON, which data trained what is in production."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release import lineage
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    typer.echo(lineage.which_data(Registry(settings), open_lake(settings), persona).model_dump_json(indent=2))


@command(app, "twin registry trace twin-ada-dpo:f3a1d279f275")
def trace(tag: ModelTag) -> None:
    """Says, as JSON, where a version comes from: datasets, documents, configuration, code, parents."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release import lineage
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    typer.echo(lineage.trace(Registry(settings), open_lake(settings), tag).model_dump_json(indent=2))


@command(
    app,
        "twin registry push twin-ada-dpo:f3a1d279f275 --to s3 --parents", "twin registry push twin-ada-dpo:f3a1d279f275 --to hub"
)  # fmt: skip
def push(
    tag: ModelTag,
    to: Annotated[Literal["hub", "s3"], typer.Option(help="The Hugging Face Hub, or TWIN_REGISTRY_URL.")],
    parents: WithParents = False,
) -> None:
    """Pushes a version to the hub or S3, as private as the persona."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.persona.definition import load_persona
    from twin_assets.core.release.push import push_version

    settings = read_settings()
    persona = Registry(settings).get(tag).lineage.persona
    visibility = load_persona(settings.personas_dir, persona).visibility if persona != "shared" else "private"
    for pushed, address in push_version(settings, tag, to, visibility, parents).items():
        typer.echo(f"{pushed}  {address}")


@command(app, "twin registry pull twin-ada-dpo:f3a1d279f275 --from s3 --parents")
def pull(
    tag: ModelTag,
    source: Annotated[
        Literal["hub", "s3"], typer.Option("--from", help="The Hugging Face Hub, or TWIN_REGISTRY_URL.")
    ],
    parents: WithParents = False,
) -> None:
    """Fetches a version from the hub or S3 into this registry, and checks that it is whole."""
    from twin_assets.core.release.push import pull_version

    for version in pull_version(read_settings(), tag, source, parents):
        typer.echo(f"{version.tag}  {version.path}")


@command(app, "twin registry gc", "twin registry gc --keep-last 5 --remove")
def gc(
    keep_last: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of each persona, stage and profile the newest N stay.")
    ] = 3,
    remove: Annotated[bool, typer.Option("--remove", help="Remove them; without it only say which.")] = False,
) -> None:
    """Says, as JSON, which old versions nothing needs, and why the others stay; --remove removes them."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release.garbage import collect_garbage
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    garbage = collect_garbage(Registry(settings), open_lake(settings), keep_last, not remove)
    typer.echo(garbage.model_dump_json(indent=2))
