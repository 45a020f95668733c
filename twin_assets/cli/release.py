"""`twin release`: what serves, and who decided it."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from twin_assets.cli.base import AsJson, PersonaName, command, group, read_settings
from twin_assets.core.errors import TwinError

if TYPE_CHECKING:
    from twin_assets.core.release.history import Event
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.settings import Settings

app = group(
    "Says what serves, and decides: approve, reject, deploy, roll back. The ledger keeps who, when and why."
)

Evaluation = Annotated[
    int, typer.Option(min=1, help="Number of the event decided on, as `twin release show` prints it.")
]
Reviewer = Annotated[str, typer.Option(help="Your name.")]
Reason = Annotated[str, typer.Option(help="Why; the ledger keeps it.")]


@command(app, "twin release show ada", "twin release show ada --json")
def show(persona: PersonaName, as_json: AsJson = False) -> None:
    """Says what serves, what waits for a person, and prints the ledger."""
    from twin_assets.core.release.canary import evaluate_canary

    settings, ledger = _ledger(persona)
    history = ledger.history()
    canary, waiting = history.canary(), history.waiting()
    verdict = evaluate_canary(ledger.lake, ledger.persona, history, settings, datetime.now(UTC))
    if as_json:
        told = {
            "production": history.production(), "before": history.predecessor(),
            "canary": canary.model_dump(mode="json") if canary else None, "watch": verdict.reason if verdict else None,
            "waiting": waiting.model_dump(mode="json") if waiting else None,
            "events": [event.model_dump(mode="json") for event in history.events],
        }  # fmt: skip
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo(f"production  {history.production() or 'none'}")
    if before := history.predecessor():
        typer.echo(f"before it   {before}")
    if canary:
        typer.echo(f"canary      {canary.model}, {canary.share:.0%} of the requests")
    if verdict:
        typer.echo(f"watch       {verdict.reason}")
    if waiting:
        typer.echo(f"waiting     {waiting.model}, evaluation {waiting.number}")
    for event in history.events:
        typer.echo(_line(event))


@command(app, 'twin release approve ada --evaluation 6 --reviewer Ines --reason "reads like her"')
def approve(persona: PersonaName, evaluation: Evaluation, reviewer: Reviewer, reason: Reason) -> None:
    """Approves a candidate that passed its gate; it is deployed by Dagster, or by `twin release deploy`."""
    _review("approve", persona, evaluation, reviewer, reason)


@command(app, 'twin release reject ada --evaluation 6 --reviewer Ines --reason "too short"')
def reject(persona: PersonaName, evaluation: Evaluation, reviewer: Reviewer, reason: Reason) -> None:
    """Rejects a candidate, or an approval that is not deployed yet."""
    _review("reject", persona, evaluation, reviewer, reason)


@command(app, "twin release deploy ada")
def deploy(persona: PersonaName) -> None:
    """Deploys what is approved, as Dagster's sensor does by itself."""
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release.approval import deploy as deploy_approved

    settings, ledger = _ledger(persona)
    event = deploy_approved(ledger, Registry(settings), settings)
    typer.echo(_line(event) if event else "no approval waits")


@command(app, 'twin release roll-back ada --reviewer Ines --reason "too short"')
def roll_back(persona: PersonaName, reviewer: Reviewer, reason: Reason) -> None:
    """Takes back the canary if one runs, else what is in production; the version before it serves again."""
    from twin_assets.core.release.approval import last_release

    settings, ledger = _ledger(persona)
    _decide(settings, ledger, "roll_back", last_release(ledger.history()), reviewer, reason)
    typer.echo(f"production is {ledger.production() or 'none'}")


def _ledger(persona: str) -> "tuple[Settings, Ledger]":
    from twin_assets.core.persona.definition import load_persona
    from twin_assets.core.release.ledger import Ledger
    from twin_assets.core.storage.lake import open_lake

    settings = read_settings()
    load_persona(settings.personas_dir, persona)
    return settings, Ledger(open_lake(settings), persona)


def _review(
    decision: Literal["approve", "reject"], persona: str, evaluation: int, reviewer: str, reason: str
) -> None:
    settings, ledger = _ledger(persona)
    about = next((event for event in ledger.events() if event.number == evaluation), None)
    if about is None:
        raise TwinError(
            f"The ledger has no event {evaluation}.",
            f"take a number that `twin release show {persona}` prints.",
        )
    _decide(settings, ledger, decision, about, reviewer, reason)


def _decide(
    settings: "Settings",
    ledger: "Ledger",
    decision: Literal["approve", "reject", "roll_back"],
    about: "Event",
    reviewer: str,
    reason: str,
) -> None:
    from twin_assets.core.models.registry import Registry
    from twin_assets.core.release.approval import Decision, decide
    from twin_assets.core.release.callers import system_user

    given = Decision(
        decision=decision, about=about.number, model=about.model, reviewer=reviewer, reason=reason
    )
    typer.echo(_line(decide(ledger, Registry(settings), settings, given, system_user())))


def _line(event: "Event") -> str:
    return f"{event.number:>4}  {event.at:%Y-%m-%d %H:%M}  {event.kind:<14}  {event.model}  {event.who}: {event.reason}"
