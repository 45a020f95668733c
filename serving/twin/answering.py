"""What answers requests: personas, their stores and models, one job at a time from plan to log row."""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import httpx
from fastapi import Request

from serving import telemetry
from serving.errors import NotFoundError, NothingReleased
from serving.readiness import Readiness
from serving.twin.job import FallbackPolicy, Job
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.llm.client import open_litellm
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import Persona, load_persona, persona_names
from twin_assets.core.records import Visibility, most_closed
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.vectors import open_store
from twin_assets.inference.generation.fallback import FALLBACK
from twin_assets.inference.generation.remote import EngineUnavailable, RemoteGenerator
from twin_assets.inference.retrieval.resilient_store import ResilientVectorStore
from twin_assets.inference.retrieval.retriever import open_retriever
from twin_assets.inference.twin.answer import Answer, Twin
from twin_assets.inference.twin.cost import price_of
from twin_assets.inference.twin.log_writer import FLUSH_SECONDS, RequestLog
from twin_assets.inference.twin.request_log import Outcome, RequestRecord
from twin_assets.inference.twin.request_lookup import DAYS, RequestLookup
from twin_assets.settings import Settings

PROBE_SECONDS = 3.0
# Requests within so long share one look at the persona's file and at the ledger. Every look lets other threads have the
# interpreter, and on S3 it is a request of its own.
LOOK_SECONDS = 1.0

logger = logging.getLogger("serving")


class AnswerService:
    """Of one process. Everything that it needs is opened when first asked for, and anew after it failed."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, open_lake(settings)
        self.log, self._lookup = RequestLog(self.lake), RequestLookup(self.lake)
        self.price = price_of(settings)
        self.profile = load_profile(settings.profile)  # parsing it takes longer than routing an answer
        self._stores: dict[str, ResilientVectorStore] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._lock = threading.Lock()
        self._standing = lru_cache(maxsize=64)(self._look)
        self._warm()
        self.stand_in = FallbackPolicy(settings)
        self.readiness = Readiness(
            {"lake": self.production, "llm": self._ask_engine, "retrieval": self._check_stores}
        )
        if settings.planner_model:
            open_litellm()  # takes seconds, which the first caller should not wait

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
        for store in self._stores.values():
            store.forget()

    def production(self) -> dict[str, str | None]:
        """Version in production by persona; None where there is none."""
        return {name: self._production(name) for name in persona_names(self.settings.personas_dir)}

    def _production(self, name: str) -> str | None:
        # Kept, since a ledger reads each of its events once.
        return self._ledgers.setdefault(name, Ledger(self.lake, name)).production()

    def persona(self, name: str) -> Persona:
        """The persona of that name, as its file has it now. Raises NotFoundError."""
        names = persona_names(self.settings.personas_dir)
        if name not in names:
            raise NotFoundError(
                f"There is no persona {name[:80]!r} (known: {', '.join(names)}).", "use one of those names."
            )
        written = (self.settings.personas_dir / f"{name}.yaml").stat().st_mtime_ns
        return _persona(self.settings.personas_dir, name, written)

    def twin(
        self, name: str, user: str | None = None, audience: Visibility = "public", caller: str = ""
    ) -> tuple[Persona, Twin]:
        """The persona of that name with its model, and with what of its index `audience` may see. Raises NotFoundError and
        NothingReleased.

        One `user` is answered by the same version every time, also while a canary runs; `caller` is whose vote it is when
        the version fails.
        """
        persona, production = self._standing(name, int(time.monotonic() / LOOK_SECONDS))
        if production is None and self.settings.llm_model is None:
            raise NothingReleased(
                f"{name!r} has nothing in production.", "approve an evaluated candidate, or run `twin demo`."
            )
        embedder = load_embedder(self.settings.embedder)
        retriever = open_retriever(self.settings, persona, self.store(name), embedder, audience)
        return persona, Twin(
            persona,
            self.profile,
            self._generator(name, production, user, caller),
            retriever.retrieve,
            retriever.find,
        )

    def _look(self, name: str, turn: int) -> tuple[Persona, str | None]:
        return self.persona(name), self._production(name)

    def store(self, name: str) -> ResilientVectorStore:
        """The persona's store; kept, since one on a server has a connection."""
        with self._lock:
            return self._stores.setdefault(
                name, ResilientVectorStore(lambda: open_store(self.settings, name))
            )

    def _generator(self, name: str, production: str | None, user: str | None, caller: str) -> RemoteGenerator:
        key = self.settings.llm_api_key.get_secret_value() if self.settings.llm_api_key else "none"
        # Our LLM service is asked by persona, so that a release in the middle of a request is no error.
        asked = self.settings.llm_model or name
        who = (
            None if self.settings.llm_model else text_hash(caller)
        )  # no foreign engine learns of our callers
        return RemoteGenerator(
            self.settings.llm_url, asked, key, production, self.settings.llm_timeout, user, who
        )

    def run(self, job: Job) -> Answer:
        """The whole answer, logged under the request's id. Raises TwinError when there is none."""
        self.stand_in.take_beyond(job)
        try:
            answer = self._answer(job)
        except TwinError:
            self._record(job, "failed", "", job.plan.steps_ms)
            raise
        self._record(job, answer.outcome, answer.text, answer.steps_ms, answer.tokens_in, answer.tokens_out)
        return answer.model_copy(update={"request_id": job.request_id, "seed": job.seed})

    def _answer(self, job: Job) -> Answer:
        try:
            return job.twin.run(job.plan, job.temperature, job.seed, job.max_tokens)
        except EngineUnavailable:
            if not self.stand_in.instead(job):
                raise
            return job.twin.run(job.plan, job.temperature, job.seed, job.max_tokens)

    def stream(self, job: Job) -> Iterator[str]:
        """The answer in pieces. The first is there already when this returns, so that an engine that is down
        is an error with its status, and no broken stream."""
        self.stand_in.take_beyond(job)
        pieces = self._pieces(job)
        try:
            first = next(pieces)
        except StopIteration:
            return iter(())
        return _again(first, pieces)

    def _pieces(self, job: Job) -> Iterator[str]:
        start, parts = time.monotonic(), []
        outcome: Outcome = "failed"
        try:
            for piece in self._written(job):
                parts.append(piece)
                yield piece
            outcome = "refused" if job.plan.refusal is not None else "answered"
        finally:
            steps = job.plan.steps_ms | {"generate": (time.monotonic() - start) * 1000}
            text = "".join(parts)
            job.facts["unsupported_links"] = [] if job.plan.refusal else job.plan.unsupported_links(text)
            self._record(job, outcome, text, steps, *job.told("tokens", (0, 0)))

    def _written(self, job: Job) -> Iterator[str]:
        begun = False
        try:
            for piece in job.twin.stream(job.plan, job.temperature, job.seed, job.max_tokens):
                begun = True
                yield piece
        except EngineUnavailable:
            if begun or not self.stand_in.instead(job):
                raise
            yield from job.twin.stream(job.plan, job.temperature, job.seed, job.max_tokens)

    def _record(
        self,
        job: Job,
        outcome: Outcome,
        text: str,
        steps: dict[str, float],
        tokens_in: int = 0,
        tokens_out: int = 0,
    ) -> None:
        persona, plan = job.persona, job.plan
        row = RequestRecord(
            request_id=job.request_id, time=datetime.now(UTC), persona=persona.name, model=job.twin.generator.model,
            prompt_kind=plan.prompt_kind, retrieved=[c.chunk_id for c in plan.citations],
            scores=[c.score for c in plan.citations], tokens_in=tokens_in, tokens_out=tokens_out, steps_ms=steps,
            outcome=outcome, prompt=job.asked, answer=text, key=job.key, user=job.user,
            cost=self._cost(job, tokens_in, tokens_out, steps), canary=self._is_canary(job),
            visibility=most_closed(c.visibility for c in plan.citations), brief=job.brief,
        )  # fmt: skip
        self.log.append(row, persona.log_text)
        telemetry.count(row)
        for part in plan.degraded:
            telemetry.DEGRADED.labels(part).inc()
        telemetry.LOST_ROWS.set(self.log.lost)
        telemetry.WAITING_ROWS.set(self.log.waiting)

    def _cost(self, job: Job, tokens_in: int, tokens_out: int, steps: dict[str, float]) -> float | None:
        paid: float | None = job.told("cost", None)  # the reference model knows its own price
        return paid if paid is not None else self.price(tokens_in, tokens_out, steps.get("generate", 0.0))

    def _is_canary(self, job: Job) -> bool:
        ours = self.settings.llm_model is None and FALLBACK not in job.plan.degraded
        return ours and job.twin.generator.model != job.expected

    def request_of(self, persona: str, request_id: str, caller: str) -> RequestRecord:
        """The logged request of that id that the caller asked. Raises NotFoundError."""
        if found := self.log.recent(persona, request_id, caller):
            return found
        for wait in (
            0.0,
            1.5 * FLUSH_SECONDS,
        ):  # another worker may have answered, and not have written it yet
            time.sleep(wait)
            if found := self._lookup.find(persona, request_id, caller):
                return found
        raise NotFoundError(
            f"You have asked {persona!r} no request {request_id[:80]!r}.",
            f"give the request_id of an answer that you got, with the same key, within {DAYS} days.",
        )

    def _check_stores(self) -> None:
        """Raises what is wrong with the store of a persona that is served."""
        for name, tag in self.production().items():
            if tag or self.settings.llm_model:
                self.store(name).check()

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


def some_seed(given: int | None) -> int:
    """The seed asked for, or a new one: the answer names it, so that it can be had again."""
    return secrets.randbelow(2**31) if given is None else given


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


@lru_cache
def _persona(folder: Path, name: str, written: int) -> Persona:
    """Kept until the file is written anew."""
    return load_persona(folder, name)
