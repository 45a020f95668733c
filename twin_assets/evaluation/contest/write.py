"""The writing that voices are measured on: everybody writes about the same topics, each in its own prompt format."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from twin_assets.core.models.profiles import EvaluationSize, Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import (
    baseline_system_message,
    shown_passages,
    strip_special_tokens,
    system_message,
    user_message,
)
from twin_assets.core.records import Message, Passage, SplitDocument
from twin_assets.core.text.tokens import estimated_tokens, first_tokens
from twin_assets.evaluation.grounding.qa_eval import QaItem, bare_question
from twin_assets.evaluation.grounding.questions import Retrieve
from twin_assets.evaluation.voice.compare import Gain
from twin_assets.evaluation.voice.stylometry import windows
from twin_assets.evaluation.write_tasks import WriteTask
from twin_assets.inference.generation.local import Generation

# More tasks follow the first, a few at a time, until those whose texts are paired with the candidate's have written enough
# windows. Simpler systems write the first tasks only: they are shown beside it and not compared text by text.
MORE_TASKS, MOST_ROUNDS = 8, 3
# Two systems between which a gain is measured go on to so many times their first texts at most.
MOST_PILOTED = 5
# What system text, task and chat marks take of the context.
FIXED_TOKENS = 120

# `twin` is asked as the service asks; `baseline` is shown writing samples and passages, `prompted` only samples,
# `bare` nothing but the task.
Prompting = Literal["twin", "baseline", "prompted", "bare"]


@dataclass(frozen=True)
class System:
    """A model and how it is prompted; `generate` writes one text of at most so many tokens for each conversation.

    `answer` writes answers to questions, as the service does where there are passages; `generate` without it.
    `usd_per_hour` is what its hardware costs, 0 if nobody said.
    """

    model: str
    generate: Callable[[list[list[Message]], int], list[Generation]]
    prompting: Prompting
    usd_per_hour: float = 0.0
    answer: Callable[[list[list[Message]], int], list[Generation]] | None = None

    @property
    def answers(self) -> Callable[[list[list[Message]], int], list[Generation]]:
        """What writes its answers to questions."""
        return self.answer if self.answer and self.sees_passages else self.generate

    @property
    def sees_passages(self) -> bool:
        return self.prompting in ("twin", "baseline")


@dataclass
class Written:
    """What one system wrote, in the order of the tasks, and the seconds it took."""

    generations: list[Generation] = field(default_factory=list)
    alone: list[Generation] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def texts(self) -> list[str]:
        return [g.text for g in self.generations]

    def add(
        self,
        write: Callable[[list[list[Message]], int], list[Generation]],
        conversations: list[list[Message]],
        tokens: int,
    ) -> None:
        start = time.monotonic()
        self.generations += write(conversations, tokens)
        self.seconds += time.monotonic() - start


def write_all(
    systems: dict[str, System],
    tasks: list[WriteTask],
    writer: "ContestWriter",
    tokens: int,
    size: EvaluationSize,
    on_progress: Callable[[str], None],
) -> tuple[list[WriteTask], dict[str, Written]]:
    """Tasks that were set, and what was written by role; one system at least is shown passages."""
    most = MOST_ROUNDS * size.tasks
    written = {role: Written() for role in systems}
    done = 0
    while True:
        batch = tasks[done : min(done + (MORE_TASKS if done else size.tasks), most)]
        paired = [w for role, w in written.items() if systems[role].sees_passages]
        if not batch or min(len(windows(w.texts)) for w in paired) >= size.windows:
            break
        for role, system in systems.items():
            if done and not system.sees_passages:
                continue
            _write(role, system, written[role], batch, done, writer, tokens, on_progress)
        done += len(batch)
    return tasks[:done], written


def write_for_gain(
    systems: dict[str, System],
    written: dict[str, Written],
    tasks: list[WriteTask],
    done: int,
    gain: Gain,
    writer: "ContestWriter",
    profile: Profile,
    on_progress: Callable[[str], None],
) -> list[WriteTask]:
    """Let all of `systems` go on after their first `done` texts until the `gain` between them is told as closely as the profile
    wants; the tasks that are set then. Texts are added to `written`."""
    within = profile.evaluation.gain_within
    pairs = gain.pairs_needed(within) if within else None
    if pairs is None or pairs <= gain.pairs:
        return tasks[:done]
    most = min(math.ceil(done * pairs / gain.pairs), done * MOST_PILOTED)
    further = tasks[done:most]
    if further:
        on_progress(
            f"the gain is told from {gain.pairs} pairs of texts; {pairs} would tell it within {within}: "
            f"{len(further)} texts more are written"
        )
        for role, system in systems.items():
            _write(role, system, written[role], further, done, writer, profile.answer_tokens, on_progress)
    return tasks[:most]


def _write(
    role: str,
    system: System,
    written: Written,
    tasks: list[WriteTask],
    done: int,
    writer: "ContestWriter",
    tokens: int,
    on_progress: Callable[[str], None],
) -> None:
    on_progress(f"{role} ({system.model}) writes {len(tasks)} texts")
    conversations = [writer.conversation(task, system.prompting, done + n) for n, task in enumerate(tasks)]
    written.add(system.generate, conversations, tokens)


class ContestWriter:
    """Sets tasks and questions: the same one in the prompt format of each kind of system."""

    def __init__(
        self, train: list[SplitDocument], persona: Persona, profile: Profile, retrieve: Retrieve, seed: int
    ) -> None:
        self._persona, self._profile, self._retrieve, self._seed = persona, profile, retrieve, seed
        self._passages: dict[str, list[Passage]] = {}
        self._samples = {
            "write_post": [d.voice_text for d in train if d.category == "post"],
            "write_article": [d.voice_text for d in train if d.category == "article"],
        }

    def passages(self, task: WriteTask) -> list[Passage]:
        """What retrieval gives for a task from the training side, as prompts show it: the same to each system."""
        if task.topic not in self._passages:
            found = self._retrieve(
                strip_special_tokens(task.topic), self._profile.passages, {"split": "train"}
            )
            self._passages[task.topic] = shown_passages(found, self._profile.passage_tokens)
        return self._passages[task.topic]

    def conversation(self, task: WriteTask, prompting: Prompting, number: int) -> list[Message]:
        if prompting == "bare":
            return [user_message(task.prompt, topic=task.topic)]
        topic = strip_special_tokens(task.topic)
        passages = [] if prompting == "prompted" else self.passages(task)
        asked = user_message(task.prompt, passages, topic=topic)
        if prompting == "twin":
            return [system_message(self._persona), asked]
        texts = [p.text for p in passages]
        return [self._shown_samples(self._samples[task.prompt], texts, number), asked]

    def question(self, item: QaItem, prompting: Prompting, number: int) -> list[Message]:
        """A question; the twin is asked exactly as the service asks it."""
        if prompting == "twin":
            return item.plan.conversation
        if prompting == "bare":
            return [bare_question(item)]
        passages = [] if prompting == "prompted" else item.passages
        asked = bare_question(item) if prompting == "prompted" else item.plan.conversation[-1]
        return [self._shown_samples(self._samples["write_post"], passages, number), asked]

    def _shown_samples(self, known: list[str], passages: list[str], number: int) -> Message:
        """As much of the author's writing of a kind as the context holds, others for each task."""
        profile = self._profile
        token_budget = profile.context_tokens - profile.answer_tokens - FIXED_TOKENS
        token_budget -= sum(map(estimated_tokens, passages))
        known = known or [t for texts in self._samples.values() for t in texts]
        random = np.random.default_rng([self._seed, number])
        shown: list[str] = []
        for at in random.permutation(len(known)):
            if token_budget < profile.passage_tokens:
                break
            shown.append(first_tokens(known[at], token_budget))
            token_budget -= estimated_tokens(shown[-1])
        return baseline_system_message(self._persona, shown)
