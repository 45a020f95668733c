"""Data of the views Experiments and Review: model versions, evaluations, and a person's decision."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from serving.access.dependencies import Asker, Config, PersonaName
from serving.access.needs import needs
from serving.errors import Forbidden, NotFoundError
from serving.protocol import Name
from twin_assets.core.blind_readings import readings
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Visibility, may_see
from twin_assets.core.release.approval import Decision, decide, expires, refused
from twin_assets.core.release.canary import evaluate_canary
from twin_assets.core.release.ledger import Event, EventKind, Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.evaluation.report.page import report_key, with_blind_readings
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.settings import Settings

# The report is a page of its own: it may draw, and neither run nor load anything.
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}
SUMMARY = {
    "candidate", "profile", "gain", "gain_low", "gain_high", "gain_pairs", "hit_rate", "mrr", "refusal_rate",
    "false_refusal_rate", "prompts", "questions", "upper_bound", "lower_bound", "visibility", "learnt_from", "advice",
    "gain_in", "gain_note", "voice_caution",
}  # fmt: skip

CLOSED_FIX = "log in, or use a key of that audience (`twin keys create --audience`)."

router = APIRouter()


@router.get("/ui/api/{persona}/models")
@needs("admin")
def models(persona: PersonaName, settings: Config) -> list[dict[str, Any]]:
    """Model versions of the persona and the base models under them, newest first."""
    versions, states = Registry(settings).list(), states_of(Ledger(open_lake(settings), persona).events())
    own = [v for v in versions if v.lineage.persona == persona]
    under = {v.lineage.parent for v in own} | {v.base.tag for v in own if v.base}
    return [
        v.model_dump(exclude={"path"}) | {"state": states.get(v.tag)}
        for v in versions
        if v in own or v.tag in under
    ]


@router.get("/ui/api/{persona}/review")
@needs("admin")
def review(persona: PersonaName, settings: Config, asker: Asker, model: Name | None = None) -> dict[str, Any]:
    """The versions that wait, serve and serve beside, the ledger, and the evaluation of `model`: by default of
    what waits, else of what is in production. A decision sends back the numbers of the events shown here."""
    lake = open_lake(settings)
    ledger = Ledger(lake, persona)
    history, now = ledger.history(), datetime.now(UTC)
    waiting, approved, production = history.waiting(), history.approved(), history.production()
    verdict = evaluate_canary(lake, persona, history, settings, now)
    problem = refused(history, approved, settings, now) if approved else None
    states = states_of(list(history.events))
    shown = (
        known_model(model, states)
        if model
        else waiting.model
        if waiting
        else approved.model
        if approved
        else production
    )
    return {
        "production": production,
        "released": next(reversed(history.releases()), None),
        "predecessor": history.predecessor(),
        "canary": history.canary(),
        "watch": verdict.reason if verdict else None,
        "waiting": waiting,
        "waits_until": expires(waiting, settings) if waiting else None,
        "expired": waiting is not None and expires(waiting, settings) < now,
        "approved": approved,
        "approval_problem": str(problem) if problem else None,
        "states": states,
        "plumbing": sorted(history.plumbing()),
        "events": history.events[::-1],
        "shown": shown,
        "evaluation": _evaluation(settings, persona, shown, asker.audience) if shown else None,
    }


@router.get("/ui/api/{persona}/report", response_class=HTMLResponse)
@needs("admin")
def report(persona: PersonaName, model: Name, settings: Config, asker: Asker) -> HTMLResponse:
    """The evaluation report as it was rendered when the version was evaluated, with what blind readers have said since. It
    quotes what was held out: Forbidden for who may not see that."""
    lake = open_lake(settings)
    key = report_key(persona, known_model(model, states_of(Ledger(lake, persona).events())), "html")
    if not lake.exists(key):
        raise NotFoundError(
            f"There is no evaluation report of {model!r}.", "materialise evaluation_report in Dagster."
        )
    stored = stored_report(settings, persona, model)
    if stored is not None and not asker.may_see(stored.visibility):
        raise Forbidden(
            f"This report quotes writing that is not for the audience {asker.audience!r}.", CLOSED_FIX
        )
    shown = with_blind_readings(lake.read(key), readings(lake, persona), model)
    return HTMLResponse(shown, headers=REPORT_HEADERS)


@router.post("/ui/api/{persona}/decisions")
@needs("admin")
def decisions(persona: PersonaName, given: Decision, settings: Config, asker: Asker) -> Event:
    """Write the decision into the ledger. An approved version is deployed by Dagster's sensor."""
    return decide(
        Ledger(open_lake(settings), persona), Registry(settings), settings, given, asker.authenticated
    )


def states_of(events: list[Event]) -> dict[str, EventKind]:
    """The last event's kind, by model version."""
    return {event.model: event.kind for event in events}


def known_model(model: str, states: dict[str, EventKind]) -> str:
    """The version, which is one of the persona's ledger. Raises NotFoundError: any other may be somebody else's."""
    if model not in states:
        raise NotFoundError(
            f"The ledger has no model {model[:120]!r}.", "take a version that the view names."
        )
    return model


def stored_report(settings: Settings, persona: str, model: str) -> EvaluationReport | None:
    """The evaluation of a version; None where none is stored."""
    lake, key = open_lake(settings), report_key(persona, model, "json")
    return EvaluationReport.model_validate_json(lake.read(key)) if lake.exists(key) else None


def _evaluation(settings: Settings, persona: str, model: str, audience: Visibility) -> dict[str, Any] | None:
    """Figures and samples; the figures alone for who may not see what they were written from."""
    evaluation = stored_report(settings, persona, model)
    if evaluation is None:
        return None
    shown = {"model", "voice", "samples"} if may_see(audience, evaluation.visibility) else {"model", "voice"}
    return evaluation.model_dump(include=SUMMARY) | {
        "systems": {
            role: {"samples": []}
            | result.model_dump(include=shown)
            | {"copied_share": result.copying.copied_share, "longest_words": result.copying.longest_words}
            for role, result in evaluation.systems.items()
        }
    }
