"""Replays three weeks of production in a minute, through the real path: request log, scoring, drift, alerts, refresh.

Only the clock is not real (TWIN_REPLAY_NOW), and no model is asked. Days are pushed one by one, looked at in the
evening, and what the sensors do is written down.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from demo.replay_traffic import (
    BAD,
    BAD_FROM,
    BAD_UNTIL,
    DAYS,
    FIRST,
    PERSONA,
    SECOND,
    SECOND_FROM,
    WRITES_OTHERWISE,
    Traffic,
    demo_corpus,
    other_writing,
)
from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.models.registry import Lineage, Registry
from twin_assets.core.persona.definition import Persona, load_persona
from twin_assets.core.records import Chunk, EmbeddedChunk, Message, Record, SplitDocument, to_table
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.row_file import table_version
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.definitions import defs
from twin_assets.defs.shared.common import MONITORING
from twin_assets.defs.shared.resources import Platform, build_resources
from twin_assets.evaluation.report.page import report_key
from twin_assets.evaluation.results import EvaluationReport, SystemResult
from twin_assets.evaluation.voice.copying import CopyReport
from twin_assets.evaluation.voice.meter import VoiceScore
from twin_assets.evaluation.voice.persona_meter import persona_instrument, persona_meter
from twin_assets.evaluation.voice.stylometry import windows
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.inference.twin.log_writer import RequestLog
from twin_assets.monitoring.alerts.lifecycle import Batch, batches
from twin_assets.monitoring.drift.report import DriftReport
from twin_assets.settings import ROOT

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LOOK_AT_HOUR = 23.75
_GRAPH = [one for one in defs.assets or [] if isinstance(one, dg.AssetsDefinition)]
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class Seen(Record):
    """What a replayed day brought: what was told, and the rebuild that was asked for."""

    day: int
    at: datetime
    message: Batch | None
    rebuilds: list[str]


class Replay:
    """A replay in `home`, whose alerts go where `overrides` (settings) say. `instance` is Dagster's."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, **overrides: Any) -> None:
        instance.add_dynamic_partitions("personas", [PERSONA])
        self.instance, self.home = instance, home
        # Without a model; and what it serves are sentences in no order, which don't read as language.
        given = {"home": str(home), "personas_dir": str(ROOT / "personas"), "reference_model": "none"}
        self.overrides = given | overrides
        self.platform = self._resources(MONDAY)["platform"]
        self.tags: dict[str, str] = {}
        self.released: set[str] = set()
        self._fill()

    def run(self, on_day: Callable[[Seen], None] = lambda seen: None) -> list[Seen]:
        """All days; `on_day` gets each when it is over."""
        found = []
        for day in range(DAYS):
            self._release(day)
            if day == WRITES_OTHERWISE:
                self._store_corpus([*demo_corpus(), *other_writing()])
            self._push(day)
            seen = self._look(day)
            found.append(seen)
            on_day(seen)
        return found

    def marts(self) -> dict[str, list[dict[str, Any]]]:
        """Build the warehouse's marts and the report of the last days; the newest answer of `requests`, all of `releases`."""
        here = {"scored_requests", "drift_report", "feedback_pairs"}
        with (self.home / "dbt.log").open("w") as log, redirect_stdout(log):
            dg.materialize(
                _GRAPH,
                selection=dg.AssetSelection.groups(MONITORING) - dg.AssetSelection.assets(*here),
                run_config=QUIET,
                partition_key=PERSONA,
                instance=self.instance,
                resources=self._resources(self._evening(DAYS - 1)),
            )
        with duckdb.connect(str(self.platform.settings.warehouse_path), read_only=True) as connection:
            newest = connection.sql(
                "from requests where outcome = 'answered' order by time desc limit 1"
            ).to_arrow_table()
            releases = connection.sql("from releases order by proposed_at, model").to_arrow_table()
        return {"requests": newest.to_pylist(), "releases": releases.to_pylist()}

    def report(self) -> DriftReport:
        """The last drift report."""
        found: DriftReport = FeatureStore(self.platform.lake).load("drift_report", PERSONA, DriftReport)
        return found

    def _push(self, day: int) -> None:
        log = RequestLog(self.platform.lake, lambda: self._evening(day))
        for row in self.traffic.day(day, MONDAY):
            log.append(row.model_copy(update={"model": self.tags[row.model]}))
        log.close()

    def _look(self, day: int) -> Seen:
        now = self._evening(day)
        resources = self._resources(now)
        known = len(batches(self.platform.lake, PERSONA))
        dg.materialize(
            _GRAPH,
            selection=dg.AssetSelection.assets("scored_requests", "drift_report"),
            run_config=QUIET,
            partition_key=PERSONA,
            instance=self.instance,
            resources=resources,
        )
        requests = self._tick("rebuild_when_due", resources["platform"]).run_requests or []
        self._tick("send_alerts", resources["platform"])
        for request in requests:
            self._launch(request)
        told = batches(self.platform.lake, PERSONA)[known:]
        return Seen(
            day=day, at=now, message=told[0] if told else None, rebuilds=[str(r.run_key) for r in requests]
        )

    def _evening(self, day: int) -> datetime:
        return MONDAY + timedelta(days=day, hours=LOOK_AT_HOUR)

    def _tick(self, name: str, platform: Platform) -> Any:
        repository = defs.get_repository_def()
        with (
            dg.partition_loading_context(dynamic_partitions_store=self.instance),
            dg.build_sensor_context(
                instance=self.instance, resources={"platform": platform}, repository_def=repository
            ) as context,
        ):
            return repository.get_sensor_def(name).evaluate_tick(context)

    def _launch(self, request: dg.RunRequest) -> None:
        """Record the run as started, as the daemon would; crawling is no part of the replay."""
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        self.instance.create_run_for_job(job_def=defs.resolve_job_def("collect"), tags=tags)

    def _resources(self, now: datetime) -> dict[str, Any]:
        return build_resources(self.overrides | {"replay_now": now.isoformat()})

    def _release(self, day: int) -> None:
        ledger = Ledger(self.platform.lake, PERSONA)
        if day == BAD_UNTIL:
            ledger.append(self.tags[BAD], "rolled_back", "replay", "the alerts said so")
        released = {0: FIRST, SECOND_FROM: SECOND, BAD_FROM: BAD}.get(day)
        if released:
            tag = self.tags[released]
            ledger.append(tag, "proposed", "replay", "new candidate")
            ledger.append(tag, "evaluated", "replay", "passed", passed=True)
            ledger.append(tag, "approved", "replay", "fine")
            ledger.append(tag, "deployed", "replay", "fine")

    def _fill(self) -> None:
        """Corpus, index, a dataset, three model versions without weights, and the voice they were released with."""
        settings, lake = self.platform.settings, self.platform.lake
        persona, embedder = load_persona(settings.personas_dir, PERSONA), load_embedder(settings.embedder)
        corpus = demo_corpus()
        embedded = self._store_corpus(corpus)
        assert persona.questions is not None
        self.traffic = Traffic(corpus, embedded, embedder, persona.questions, settings.seed)
        dataset = self._dataset(corpus)
        voice = self._voice_at_release(corpus, persona)
        for number, name in enumerate((FIRST, SECOND, BAD)):
            self.tags[name] = self._version(number, dataset)
            report = _evaluation(self.tags[name], voice)
            lake.write(report_key(PERSONA, self.tags[name], "json"), report.model_dump_json().encode())

    def _store_corpus(self, corpus: list[SplitDocument]) -> list[EmbeddedChunk]:
        """What collecting and the corpus stage would have left: documents, chunks and their vectors."""
        embedder, store = self.platform.embedder, FeatureStore(self.platform.lake)
        chunks = chunk_documents(corpus, embedder.count_tokens)
        embedded = embed_chunks(chunks, embedder, self.platform.settings.cache_dir).chunks
        store.write("corpus_split", PERSONA, corpus, list[SplitDocument])
        store.write("chunks", PERSONA, chunks, list[Chunk])
        store.write("embeddings", PERSONA, embedded, list[EmbeddedChunk])
        return embedded

    def _dataset(self, corpus: list[SplitDocument]) -> str:
        rows = [
            InstructRow(
                row_id=d.doc_id,
                doc_id=d.doc_id,
                task="write_post",
                split=d.split,
                messages=[
                    Message(role="user", content="Write."),
                    Message(role="assistant", content=d.voice_text),
                ],
            )
            for d in corpus
        ]
        parents = {"corpus_split": table_version(to_table(corpus, SplitDocument))}
        return write_dataset(
            self.platform.lake,
            PERSONA,
            "instruct",
            rows,
            parents=parents,
            prompts="p",
            dropped={},
            seed=17,
            license="CC-BY-4.0",
            visibility="public",
            summary="Of the replay.",
        ).version

    def _version(self, number: int, dataset: str) -> str:
        folder = self.home / "replay" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        lineage = Lineage(
            persona=PERSONA,
            stage="dpo",
            profile="nano",
            datasets={"instruct": dataset},
            config_hash="replay",
            code_version="1",
            seed=number,
            prompts="p",
        )
        return (
            Registry(self.platform.settings).save(folder, lineage, created_at=MONDAY - timedelta(days=1)).tag
        )

    def _voice_at_release(self, corpus: list[SplitDocument], persona: Persona) -> VoiceScore:
        """What an evaluation of the good versions would have measured."""
        meter = persona_meter(persona, corpus)
        instrument = persona_instrument(
            persona, corpus, self.platform.lake, self.platform.settings.impostors_dir
        )
        assert meter is not None
        assert instrument is not None
        written = [self.traffic._text(self.traffic._own, 160) for _ in range(60)]
        assert windows(written)
        return meter.score(written, 17).model_copy(update={"figure": instrument.figure(written, 17)})


def _evaluation(tag: str, voice: VoiceScore) -> EvaluationReport:
    result = SystemResult(
        model=tag, voice=voice, copying=CopyReport(copied_share=0.0, longest_words=0, longest=""), samples=[]
    )
    return EvaluationReport(
        persona=PERSONA,
        candidate=tag,
        profile="nano",
        upper_bound=voice,
        lower_bound=voice,
        systems={"candidate": result},
        real_sample="",
        gain=None,
        gain_low=None,
        gain_high=None,
        hit_rate=None,
        mrr=None,
        refusal_rate=None,
        false_refusal_rate=None,
        prompts=0,
        questions=0,
        seed=17,
    )


@contextmanager
def replay_in(home: Path, **overrides: Any) -> Iterator[Replay]:
    """A replay below `home`, with a Dagster instance in memory."""
    home.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Replay(home, instance, **overrides)
