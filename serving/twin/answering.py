"""Answers requests: `answer` and `stream` read down from a request to its log row; below them is what they stand on."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import httpx
from fastapi import Request

from serving import telemetry
from serving.errors import NotFoundError, NothingReleased
from serving.metrics.state import StateMetrics, Waits, open_alerts_of
from serving.readiness import Readiness
from serving.twin.instruments import Instruments
from serving.twin.request import TwinRequest
from serving.twin.tracing import first_span, keep_texts, tell
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import Thresholds, thresholds_of
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.llm.client import open_litellm
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.answer_options import AnswerOptions
from twin_assets.core.persona.definition import Persona, load_persona, persona_names
from twin_assets.core.prompts.templates import strip_special_tokens
from twin_assets.core.records import Passage, Visibility, most_closed
from twin_assets.core.release.history import History
from twin_assets.core.release.known import KnownLedgers
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.tracing import open_tracer
from twin_assets.core.tracing.spans import begun, below, whole
from twin_assets.core.vectors import open_store
from twin_assets.inference.generation.connections import RenewedConnections
from twin_assets.inference.generation.fallback import FallbackPolicy, Writers
from twin_assets.inference.generation.remote import EngineUnavailable, RemoteGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.generation.structured.grammar import check_schema
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.ideas.desk import IdeaDesk
from twin_assets.inference.links.read import LinkedText, RecentLinks, linked_passages
from twin_assets.inference.retrieval.condense import condenser
from twin_assets.inference.retrieval.resilient_store import (
    FIX,
    Breaker,
    ResilientVectorStore,
    RetrievalUnavailable,
)
from twin_assets.inference.retrieval.retriever import RetrievalResult, open_retriever
from twin_assets.inference.twin.answer import RETRIEVAL, Answer, Citation, Linked, Plan, Twin, sampling_of
from twin_assets.inference.twin.cost import price_of
from twin_assets.inference.twin.log_writer import FLUSH_SECONDS, RequestLog
from twin_assets.inference.twin.request_log import Outcome, RequestRecord
from twin_assets.inference.twin.request_lookup import DAYS, RequestLookup
from twin_assets.inference.twin.threads import Threads, ThreadTurn
from twin_assets.inference.twin.writing import Writing
from twin_assets.settings import Settings

PROBE_SECONDS = 3.0
# Requests within so long share one look at the persona's file and at the ledger. Every look lets other threads have the
# interpreter, and on S3 it is a request of its own.
LOOK_SECONDS = 1.0
# Beside every text of a version whose size only proves that the platform runs.
PLUMBING = "A plumbing test wrote this: it proves that the platform runs, and its words are noise."

logger = logging.getLogger("serving")


class Standing(NamedTuple):
    """A persona, its version in production, and its versions that write noise, which a canary may be."""

    persona: Persona
    production: str | None
    plumbing: frozenset[str]


class Bench(NamedTuple):
    """Where a request's texts are made: the persona with its versions as in `Standing`, its passages, those of the request's
    own links, and its way to the engine."""

    persona: Persona
    production: str | None
    plumbing: frozenset[str]
    twin: Twin
    linked: Linked
    engine: RemoteGenerator


class Planned(NamedTuple):
    """A request, and what its answer is written from and by."""

    request: TwinRequest
    persona: Persona
    plan: Plan
    writers: Writers
    sampling: Sampling
    options: AnswerOptions
    plumbing: frozenset[str]

    @property
    def notice(self) -> str | None:
        """What a reader must know of whoever writes, as far as it is known by now."""
        return PLUMBING if self.writers.current and self.writers.model in self.plumbing else None


@dataclass
class Ending:
    """What of a streamed answer is known when its pieces have ended; both are the answer's."""

    unsupported_links: list[str]
    thread_kept: bool | None = None


class StreamedAnswer(NamedTuple):
    """An answer that is being written; empty `pieces` only say so. `ending` is filled when they have ended, and `close` ends
    the writing for a reader who has left."""

    writing: Writing
    degraded: list[str]
    pieces: Iterator[str]
    close: Callable[[], None]
    ending: Ending
    notice: Callable[[], str | None]


class AnswerService:
    """Of one process. Everything that it needs is opened when first asked for, and anew after it failed."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, open_lake(settings)
        self.log = RequestLog(self.lake, declared=lambda name: name in self._names())
        self._lookup = RequestLookup(self.lake)
        self.price = price_of(settings)
        self.profile = load_profile(settings.profile)  # parsing it takes longer than routing an answer
        self._stores: dict[str, ResilientVectorStore] = {}
        away = settings.vector_store == "weaviate"  # files have no server that could be
        self._breaker = Breaker(settings.weaviate_search_timeout if away else None)
        self.ledgers = KnownLedgers(self.lake, settings.ledger_hours)
        self._lock = threading.Lock()
        self._connections = RenewedConnections(settings.llm_url, settings.llm_timeout)
        self._links = RecentLinks(settings.link_private_hosts)
        self._standing = lru_cache(maxsize=64)(self._look)
        self._warm()
        self.fallback = FallbackPolicy(settings)
        self.instruments = Instruments(settings, self.lake)
        self.tracer = open_tracer(settings, "twin_service")
        self.readiness = Readiness(
            {
                "lake": self.ledgers.check_lake,
                "ledger": self.ledgers.check,
                "llm": self._ask_engine,
                "retrieval": self._check_stores,
            }
        )
        if settings.planner_model:
            open_litellm()  # takes seconds, which the first caller should not wait

    def answer(self, request: TwinRequest) -> Answer:
        """The whole answer, logged under the request's id. Raises TwinError when there is none."""
        with whole(first_span(self.tracer, request)):
            return self._answered(request)

    def _answered(self, request: TwinRequest) -> Answer:
        planned = self._planned(request)
        writing = self._writing(planned)
        try:
            answer = writing.whole()
        except TwinError:
            self._log(planned, writing, "failed", "")
            raise
        kept = self._log(planned, writing, answer.outcome, answer.text)
        told = {
            "request_id": request.request_id,
            "seed": request.seed,
            "notice": planned.notice,
            "thread_kept": kept,
        }
        return answer.model_copy(update=told)

    def stream(self, request: TwinRequest) -> StreamedAnswer:
        """The answer in pieces. The first is there already when this returns, so that an engine that is down is an error
        with its status, and no broken stream."""
        own, ending = first_span(self.tracer, request), Ending([])
        with begun(own):
            planned = self._planned(request)
            writing = self._writing(planned)
        pieces = below(own, self._pieces(planned, writing, ending))
        first = list(islice(pieces, 1))
        degraded = planned.plan.degraded + planned.writers.degraded
        return StreamedAnswer(
            writing, degraded, chain(first, pieces), pieces.close, ending, lambda: planned.notice
        )

    def search(self, name: str, query: str, k: int, audience: Visibility) -> RetrievalResult:
        """The `k` passages nearest to a question, as answers are searched for, whole. Raises NotFoundError and RetrievalUnavailable."""
        embedder = load_embedder(self.settings.embedder)
        persona, store = self.persona(name), self.store(name)
        retriever = open_retriever(self.settings, persona, store, embedder, audience)
        return retriever.find(strip_special_tokens(query), k)

    def _writing(self, planned: Planned) -> Writing:
        """What makes the answer, with what chooses and checks it where that is wished."""
        options = planned.options
        chooses = (options.best_of or 1) > 1
        return Writing(
            planned.plan,
            planned.writers,
            planned.sampling,
            options,
            self.instruments.chooser(planned.persona, self.profile) if chooses else None,
            self.facts if options.tends_facts and planned.plan.question else None,
        )

    def _planned(self, request: TwinRequest) -> Planned:
        """The request with its passages in a prompt, and who is to write the answer. Raises NotFoundError, NothingReleased,
        and what reading a link and retrieval raise.

        One `user` is answered by the same version every time, also while a canary runs.
        """
        if request.response_format and self.settings.llm_model is None:
            # A foreign engine may keep to schemas that ours can't, and says itself which it can't.
            check_schema(request.response_format.schema)
        bench = self.bench(request)
        plan = self._plan(bench.twin, request, bench.linked)
        writers = self.fallback.writers(bench.engine, plan.refusal is not None)
        options = self.options(bench.persona, request)
        sampling = replace(
            sampling_of(plan, request.temperature, request.seed, request.max_tokens),
            stop=request.stop,
            top_p=request.top_p,
            presence_penalty=request.presence_penalty,
            frequency_penalty=request.frequency_penalty,
            response_format=request.response_format,
        )
        if request.repetition_penalty is not None:
            sampling = replace(sampling, repetition_penalty=request.repetition_penalty)
        return Planned(request, bench.persona, plan, writers, sampling, options, bench.plumbing)

    def options(self, persona: Persona, request: TwinRequest) -> AnswerOptions:
        """What is done to make the request's text better."""
        options = persona.answers.over(self.profile.answers)
        return options if request.best_of is None else options.model_copy(update={"best_of": request.best_of})

    def bench(self, request: TwinRequest) -> Bench:
        """Who is asked, and what their texts are made from. Raises NotFoundError, NothingReleased, and what reading a link raises."""
        name, s = request.persona, self.settings
        persona, production, plumbing = self._standing(name, int(time.monotonic() / LOOK_SECONDS))
        keep_texts(persona)
        if production is None and s.llm_model is None:
            raise NothingReleased(
                f"{name!r} has nothing in production.", "approve an evaluated candidate, or run `twin demo`."
            )
        embedder = load_embedder(s.embedder)
        retriever = open_retriever(s, persona, self.store(name), embedder, request.audience)
        engine = self.engine(request, production)
        condense = condenser(persona.retrieval, engine, s.llm_model is not None)
        twin = Twin(
            persona, self.profile, retriever.retrieve, retriever.find, self.thresholds, condense=condense
        )
        read = [self._links.read(url) for url in request.links]

        def linked(about: str, k: int, tokens: int) -> list[Passage]:
            return linked_passages(about, read, k, tokens, embedder)

        return Bench(persona, production, plumbing, twin, linked, engine)

    def _plan(self, twin: Twin, request: TwinRequest, linked: Linked) -> Plan:
        """Raises RetrievalUnavailable for a question while the store is away, and for all else where the settings say so."""
        try:
            if request.brief is None:
                return twin.plan_answer(request.text, linked=linked, before=request.before)
            return self.allowed(twin.plan_brief(request.brief, linked))
        except RetrievalUnavailable:
            telemetry.WITHOUT_PASSAGES.labels("refused").inc()
            raise

    def allowed(self, plan: Plan) -> Plan:
        """A plan of a text that may be written. Raises RetrievalUnavailable for one without its passages, where the settings refuse that."""
        if RETRIEVAL in plan.degraded:
            if self.settings.without_passages == "refuse":
                raise RetrievalUnavailable(plan.note or "The vector store is away.", FIX)
            telemetry.WITHOUT_PASSAGES.labels("without_passages").inc()
        return plan

    @cached_property
    def thresholds(self) -> Thresholds:
        """Of the embedder of the settings. Raises TwinError until it is calibrated."""
        return thresholds_of(self.lake, load_embedder(self.settings.embedder))

    @cached_property
    def ideas(self) -> IdeaDesk:
        """Finds what a persona could write about. Raises TwinError until the embedder is calibrated."""
        return IdeaDesk(self.lake, load_embedder(self.settings.embedder), self.thresholds)

    def read_link(self, url: str) -> LinkedText:
        """What a link leads to. Raises LinkRefused and LinkUnreachable."""
        return self._links.read(url)

    @cached_property
    def facts(self) -> FactDesk:
        """Holds answers to their passages. Raises TwinError until the embedder is calibrated."""
        return FactDesk(load_embedder(self.settings.embedder), self.thresholds)

    def engine(self, request: TwinRequest, production: str | None) -> RemoteGenerator:
        """A request's own way to the engine."""
        s = self.settings
        key = s.llm_api_key.get_secret_value() if s.llm_api_key else "none"
        # Our LLM service is asked by persona, so that a release in the middle of a request is no error. It is told a name
        # of the caller, whose failures are one vote on the version; no foreign engine learns of our callers.
        caller = None if s.llm_model else text_hash(request.caller)
        return RemoteGenerator(
            s.llm_url,
            s.llm_model or request.persona,
            key,
            production,
            request.user,
            caller,
            self._connections,
            ours=s.llm_model is None,
        )

    def _pieces(self, planned: Planned, writing: Writing, ending: Ending) -> Generator[str, None, None]:
        """The pieces, logged at their end, however that comes; `ending` is filled then."""
        parts: list[str] = []
        outcome: Outcome = "failed"
        try:
            with closing(writing.pieces()) as pieces:
                for piece in pieces:
                    parts.append(piece)
                    yield piece
            outcome = writing.outcome
        finally:
            text = "".join(parts)
            if writing.outcome != "refused":
                ending.unsupported_links += planned.plan.unsupported_links(text)
            ending.thread_kept = self._log(planned, writing, outcome, text)

    def _log(self, planned: Planned, writing: Writing, outcome: Outcome, text: str) -> bool | None:
        """Log the request, and keep it in the thread that it names; whether that was done, None where it names none."""
        request, persona, plan, writers = planned[:4]
        (tokens_in, tokens_out), steps = writers.tokens, writing.steps_ms
        price = self.price(tokens_in, tokens_out, steps.get("generate", 0.0))
        row = RequestRecord(
            request_id=request.request_id,
            time=datetime.now(UTC),
            persona=persona.name,
            model=writers.model,
            prompt_kind=plan.prompt_kind,
            retrieved=[c.chunk_id for c in plan.citations],
            scores=[c.score for c in plan.citations],
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            steps_ms=steps,
            outcome=outcome,
            prompt=request.text,
            answer=text,
            key=request.caller,
            user=request.user_id,
            cost=price if writers.cost is None else writers.cost,
            canary=self.is_canary(writers),
            visibility=most_closed(c.visibility for c in plan.citations),
            brief=request.brief,
            choice=writing.choice,
            checks=writing.checks,
            understood_as=plan.understood_as,
        )
        self.note(row, persona, plan.degraded + writers.degraded)
        return self._keep(request.thread, persona, row, writing.citations) if request.thread else None

    def _keep(self, thread: str, persona: Persona, row: RequestRecord, citations: list[Citation]) -> bool:
        """Never raises: an answer is given also while the lake can't be written."""
        fields = row.model_dump(include=set(ThreadTurn.model_fields))
        turn = ThreadTurn(**fields, citations=citations)
        try:
            return Threads(self.lake, persona, turn.key, turn.user).add(thread, turn)
        except (TwinError, OSError):
            logger.exception("a turn of %s could not be added to its thread", persona.name)
            return False

    def note(self, row: RequestRecord, persona: Persona, degraded: list[str]) -> None:
        """Log a request that has ended, and count it."""
        self.log.append(row, persona.log_text)
        telemetry.count(row)
        tell(row, degraded)
        for part in degraded:
            telemetry.DEGRADED.labels(part).inc()
        telemetry.LOST_ROWS.set(self.log.lost)
        telemetry.WAITING_ROWS.set(self.log.waiting)

    def is_canary(self, writers: Writers) -> bool:
        ours = self.settings.llm_model is None and not writers.degraded
        return ours and writers.model != writers.expected

    def _warm(self) -> None:
        """Load now what the first question would wait seconds for: the embedder, the store's library, indices."""
        embedder = load_embedder(self.settings.embedder)
        vector = embedder.embed_question("warm")
        for name in persona_names(self.settings.personas_dir):
            try:
                self.store(name).search("warm", vector, 1, embedder=embedder.fingerprint)
            except TwinError as error:  # no index yet, or a store that is down: each request says so itself
                logger.info("%s is not searched in advance: %s", name, error.problem)

    def close(self) -> None:
        """Write what the request log still holds."""
        self.readiness.close()
        self.log.close()
        if self.tracer:
            self.tracer.close()
        for store in self._stores.values():
            store.forget()

    def production(self) -> dict[str, str | None]:
        """Version in production by persona; None where there is none."""
        return {name: self._production(name) for name in persona_names(self.settings.personas_dir)}

    def askable(self) -> dict[str, str]:
        """Who answers, by persona that can be asked: its version in production, or another engine's model."""
        engine = self.settings.llm_model
        return {name: model for name, tag in self.production().items() if (model := tag or engine)}

    def _production(self, name: str) -> str | None:
        return self._history(name).production()

    def state_metrics(self) -> StateMetrics:
        """What waits for a person or is wrong, as Prometheus asks for it."""
        return StateMetrics(self._waiting, lambda: open_alerts_of(self.lake, self._names()))

    def _waiting(self) -> Iterator[Waits]:
        for name in self._names():
            if event := self._history(name).waiting():
                yield Waits(name, event.model, event.at)

    def _names(self) -> list[str]:
        return persona_names(self.settings.personas_dir)

    def _history(self, name: str) -> History:
        return self.ledgers.history(name)

    def persona(self, name: str) -> Persona:
        """The persona of that name, as its file has it now. Raises NotFoundError."""
        names = persona_names(self.settings.personas_dir)
        if name not in names:
            raise NotFoundError(
                f"There is no persona {name[:80]!r} (known: {', '.join(names)}).", "use one of those names."
            )
        written = (self.settings.personas_dir / f"{name}.yaml").stat().st_mtime_ns
        return _persona(self.settings.personas_dir, name, written)

    def _look(self, name: str, turn: int) -> Standing:
        persona, history = self.persona(name), self._history(name)
        return Standing(persona, history.production(), history.plumbing())

    def store(self, name: str) -> ResilientVectorStore:
        """The persona's store; kept, since one on a server has a connection."""
        with self._lock:
            return self._stores.setdefault(
                name, ResilientVectorStore(lambda: open_store(self.settings, name), self._breaker)
            )

    def request_of(self, persona: str, request_id: str, caller: str) -> RequestRecord:
        """The logged request of that id that the caller asked. Raises NotFoundError."""
        if logged := self.log.recent(persona, request_id, caller):
            return logged
        for wait in (
            0.0,
            1.5 * FLUSH_SECONDS,
        ):  # another worker may have answered, and not have written it yet
            time.sleep(wait)
            if logged := self._lookup.find(persona, request_id, caller):
                return logged
        raise NotFoundError(
            f"You have asked {persona!r} no request {request_id[:80]!r}.",
            f"give the request_id of an answer that you got, with the same key, within {DAYS} days.",
        )

    def _check_stores(self) -> None:
        """Raises what is wrong with the store of a persona that is served, and that somebody asked for not long ago."""
        days = self.settings.weaviate_sleep_days
        for name in self.askable():
            store = self.store(name)
            if not store.sleeps(None if days is None else days * 86_400):
                store.check()

    def _ask_engine(self) -> None:
        key = self.settings.llm_api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        try:
            answer = httpx.get(f"{self.settings.llm_url}/models", headers=headers, timeout=PROBE_SECONDS)
        except httpx.HTTPError as error:
            raise EngineUnavailable(
                f"no answer ({type(error).__name__})", "start it, or set TWIN_LLM_URL."
            ) from None
        if answer.status_code in (401, 403):
            raise EngineUnavailable(
                f"refuses our key ({answer.status_code})", "set TWIN_LLM_API_KEY as it has it."
            )
        if answer.status_code >= 500:
            raise EngineUnavailable(f"answered {answer.status_code}", "see its log.")


def answer_service(request: Request) -> AnswerService:
    """The answers of the process. Endpoints call it: as a dependency FastAPI would look it up and await it each time."""
    answers: AnswerService = request.app.state.answers
    return answers


@lru_cache
def _persona(folder: Path, name: str, written: int) -> Persona:
    """Kept until the file is written anew."""
    return load_persona(folder, name)
