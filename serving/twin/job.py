"""One planned request, and who writes its answer: the twin, or the reference model in its stead."""

import copy
from dataclasses import dataclass, field
from typing import Any

from twin_assets.core.persona.definition import Persona
from twin_assets.inference.generation.fallback import FALLBACK, Fallback, FallbackGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.twin.answer import Plan, Twin
from twin_assets.inference.twin.brief import Brief
from twin_assets.settings import Settings


@dataclass
class Job:
    """One request that is planned: what to write, for whom, and under which id."""

    persona: Persona
    twin: Twin
    plan: Plan
    asked: str
    request_id: str
    sampling: Sampling
    brief: Brief | None = None
    key: str | None = None
    user: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    declined: tuple[Twin, Plan] | None = None  # how it stood before the reference model was to answer

    def __post_init__(self) -> None:
        self.expected = self.twin.generator.model  # in production when the request came

    def told(self, name: str, otherwise: Any) -> Any:
        """`tokens` read and written, `finish_reason` or `cost` (US dollars) of an answer that has ended."""
        return otherwise if self.plan.refusal is not None else getattr(self.twin.generator, name, otherwise)


class FallbackPolicy:
    """Gives jobs to the reference model, where there is one (TWIN_FALLBACK_MODEL) and its budget is not spent."""

    def __init__(self, settings: Settings) -> None:
        self._beyond = settings.fallback_beyond
        self._fallback = Fallback(settings) if settings.fallback_model else None

    def take_beyond(self, job: Job) -> None:
        """Where that is wished, it answers what the twin would decline: without a source."""
        before = job.twin, job.plan
        if self._beyond and job.plan.refusal is not None and self._take(job):
            job.plan = job.plan.model_copy(update={"refusal": None, "citations": []})
            job.declined = before

    def instead(self, job: Job) -> bool:
        """Change the job when its writer is down; False when there is nobody else.

        When it is the reference model that is down, the twin declines after all.
        """
        if job.declined is not None:
            (job.twin, job.plan), job.declined = job.declined, None
            return True
        return FALLBACK not in job.plan.degraded and self._take(job)

    def _take(self, job: Job) -> bool:
        if self._fallback is None or not self._fallback.affordable:
            return False
        job.twin = copy.copy(job.twin)
        job.twin.generator = FallbackGenerator(self._fallback)
        job.plan = job.plan.model_copy(update={"degraded": [*job.plan.degraded, FALLBACK]})
        return True
