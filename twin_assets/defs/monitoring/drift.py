"""Drift: the persona's writing, what is asked, how it is answered and what it costs, against the release."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np

from twin_assets.core.datasets.store import read_manifest
from twin_assets.core.errors import TwinError
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import EmbeddedChunk, SplitDocument
from twin_assets.core.release.lineage import model_chain
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import Lake
from twin_assets.defs.shared.common import MONITORING, OWNERS, personas
from twin_assets.defs.shared.metadata import image, sample_table
from twin_assets.defs.shared.resources import Platform
from twin_assets.evaluation.grounding.questions import read_questions
from twin_assets.evaluation.report.page import report_key
from twin_assets.evaluation.results import EvaluationReport
from twin_assets.evaluation.voice.persona_meter import persona_instrument
from twin_assets.evaluation.voice.stylometry import windows
from twin_assets.feature.instruct.build import may_be_learnt
from twin_assets.inference.twin.request_log import RequestRecord, read_requests
from twin_assets.monitoring.drift.cost import watch_cost
from twin_assets.monitoring.drift.plots import drift_plot, has_plot
from twin_assets.monitoring.drift.report import FAMILIES, DriftReport, Family, Signal
from twin_assets.monitoring.drift.report import drift_report as make_report
from twin_assets.monitoring.drift.requests import LEVEL_DAYS, VoiceWindow, voice_windows, watch_requests
from twin_assets.monitoring.drift.writing import document_vectors, watch_writing
from twin_assets.monitoring.scores.live_voice import Reading, kind_of
from twin_assets.monitoring.scores.records import ScoredRequest
from twin_assets.monitoring.scores.scored import read_scored

# Days of requests whose texts are looked at: those of the level, of the last week, and of this one.
TEXT_DAYS = LEVEL_DAYS + 14
MAX_PROMPTS = 2000
# A version may serve for long, and its level is older still; the newest rows of these days are looked at.
SCORED_DAYS, MAX_SCORED = 120, 50_000
CHECKS: dict[Family, str] = {
    "persona": "persona_writes_as_in_training", "traffic": "traffic_is_as_before_the_release",
    "quality": "answers_are_as_good_as_released", "cost": "days_cost_what_they_used_to",
}  # fmt: skip


@dg.asset(
    deps=["scored_requests"],
    partitions_def=personas,
    group_name=MONITORING,
    owners=OWNERS,
    kinds={"python"},
    code_version="2",
)
def drift_report(
    context: dg.AssetExecutionContext,
    platform: Platform,
    corpus_split: list[SplitDocument],
    embeddings: list[EmbeddedChunk],
) -> dg.MaterializeResult[DriftReport]:
    """What has changed since the release, each thing with a test, a sentence and a plot. Sensors ask for a rebuild
    and send alerts from it."""
    persona, settings, now = platform.persona(context.partition_key), platform.settings, platform.settings.now
    model = platform.ledger(persona.name).production()
    vectors: dict[str, list[list[float]]] = defaultdict(list)
    for chunk in embeddings:
        vectors[chunk.doc_id].append(chunk.vector)
    # What isn't learnt from is no drift, and its words are in no sentence here.
    trained_on = may_be_learnt(trained_from(platform, persona.name, model), persona)
    learnt = may_be_learnt(corpus_split, persona)
    writing, signals = watch_writing(trained_on, learnt, document_vectors(vectors), settings.seed)
    scored = read_scored(platform.lake, persona.name, (now - timedelta(days=SCORED_DAYS)).date(), MAX_SCORED)
    requests = _recent(platform.lake, persona.name, now)
    signals += watch_requests(
        scored,
        now,
        model,
        _similarity(platform, persona, requests),
        _voice(context, platform, persona, corpus_split, requests, scored),
        _voice_level(platform.lake, persona.name, model),
        platform.thresholds,
    )
    signals += watch_cost(scored, now, settings.alert_cost_factor, settings.alert_cost_usd)
    report = make_report(signals, len(scored), now, model, writing)
    return dg.MaterializeResult(value=report, metadata=_metadata(report))


def trained_from(platform: Platform, persona: str, model: str | None) -> list[SplitDocument]:
    """The corpus that a model version was trained from; empty where nothing is known of it any more."""
    if model is None:
        return []
    try:
        chain, _ = model_chain(platform.registry, model)
        version = next(v.lineage.datasets["instruct"] for v in chain if "instruct" in v.lineage.datasets)
        corpus = read_manifest(platform.lake, persona, "instruct", version).parents["corpus_split"]
        return FeatureStore(platform.lake).load(
            "corpus_split", persona, list[SplitDocument], f"{corpus}.parquet"
        )
    except (TwinError, KeyError, StopIteration):
        return []


def _recent(lake: Lake, persona: str, now: datetime) -> list[RequestRecord]:
    since = now - timedelta(days=TEXT_DAYS)
    return [r for r in read_requests(lake, persona, since.date()) if since <= r.time <= now]


def _similarity(platform: Platform, persona: Persona, requests: list[RequestRecord]) -> dict[str, float]:
    """How near each question's nearest question of the evaluation is: their cosine, negatives as 0."""
    prompts = [(r.request_id, r.question) for r in requests if r.kind == "answer" and r.question][
        -MAX_PROMPTS:
    ]
    questions = [q.question for q in read_questions(persona.questions) if not q.unanswerable]
    if not prompts or not questions:
        return {}
    different = sorted({prompt for _, prompt in prompts if prompt})
    embed = platform.embedder.embed_kept
    nearest = (embed(different) @ embed(questions).T).max(axis=1)
    cosines = dict(zip(different, np.clip(nearest, 0.0, 1.0).tolist(), strict=True))
    return {request_id: cosines[prompt] for request_id, prompt in prompts if prompt}


def _voice(
    context: dg.AssetExecutionContext,
    platform: Platform,
    persona: Persona,
    corpus: list[SplitDocument],
    requests: list[RequestRecord],
    scored: list[ScoredRequest],
) -> list[VoiceWindow]:
    """Windows of what was written; where anything was read as language, of what may speak."""
    reading = Reading(scored)
    written: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for r in requests:
        if (
            r.answer
            and r.outcome == "answered"
            and kind_of(r) == "write"
            and (not reading or reading.may_speak(r))
        ):
            written[r.model].append((r.time, r.answer))
    if not written:
        return []
    instrument = persona_instrument(persona, corpus, platform.lake, platform.settings.impostors_dir)
    if instrument is None:
        context.log.warning(
            "no voice is watched: there is too little of the author's writing, or of other people's"
        )
        return []
    return voice_windows(written, windows, instrument.positions)


def _voice_level(lake: Lake, persona: str, model: str | None) -> tuple[float, float] | None:
    """The voice figure and the lower end of its interval, as evaluated before the release; None where it had none, as in
    reports that were stored before there was one."""
    key = report_key(persona, model, "json") if model else None
    if key is None or not lake.exists(key):
        return None
    figure = EvaluationReport.model_validate_json(lake.read(key)).systems["candidate"].voice.figure
    if figure is None or figure.value is None or figure.low is None:
        return None
    return figure.value, figure.low


def _metadata(report: DriftReport) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "drifted": report.drifted,
        "requests": report.requests,
        "model": report.model or "none",
        "new_documents": report.writing.documents,
        "new_words_share": round(report.writing.share, 4),
        "findings": dg.MetadataValue.md("\n".join(f"- {f}" for f in report.findings)),
        "signals": sample_table(
            report.signals, ["family", "name", "drifted", "before", "after", "since", "evidence"], n=len(report.signals)
        ),
    }  # fmt: skip
    return metadata | {
        f"plot_{f}": image(drift_plot(report.signals, f), f) for f in FAMILIES if has_plot(report.signals, f)
    }


def _check(family: Family, name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=drift_report, name=name, description=f"No {family} signal has drifted.")
    def check(drift_report: DriftReport) -> dg.AssetCheckResult:
        """Warns: what drifted is told as an alert, and blocks nothing."""
        signals = drift_report.of(family)
        bad = [s for s in signals if s.drifted]
        return dg.AssetCheckResult(
            passed=not bad,
            severity=dg.AssetCheckSeverity.WARN,
            description=" ".join(map(_told, bad)) or f"No {family} signal has drifted.",
            metadata={s.name: _told(s) for s in signals},
        )

    return check


def _told(signal: Signal) -> str:
    return f"{signal.sentence}; {signal.evidence}." if signal.evidence else f"{signal.sentence}."


checks = [_check(family, name) for family, name in CHECKS.items()]
