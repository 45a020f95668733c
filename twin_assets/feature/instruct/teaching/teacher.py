"""A teacher LLM that writes instructions for the author's own passages: topics, questions, outlines, drafts.

It never writes an answer. Any model that LiteLLM reaches will do. Every answer is kept by model and prompt, so
a run that was stopped goes on without paying twice. Money is estimated before and counted while it runs.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from typing import Annotated

from pydantic import Field, ValidationError

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.llm.hosted import HostedModel, RequestFiltered, RequestTooLong, read_reply
from twin_assets.core.prompts.templates import render
from twin_assets.core.records import Record
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.text.tokens import estimated_tokens
from twin_assets.feature.instruct.teaching.lessons import Lesson, Teaching
from twin_assets.settings import Settings

AT_ONCE = 4
MALFORMED_ATTEMPTS, TYPICAL_TOKENS = 2, 350
# When the first so many answers are all cut off, so will the others be: the run stops before it pays for them.
CUT_OFF_AT_FIRST = 8
_REFUSAL = re.compile(
    r"^\W*(i\s?['’]?\s?a?m (?:very |really )?sorry|i can(?:no|['’])t|as an ai|i(?: am|['’]m) (?:unable|not able)|sorry, (?:but )?i)",
    re.IGNORECASE,
)
# An older mark, "refused", also stood for answers that were empty or cut off: those are asked for again.
_KEEP_REFUSED = "refused by the model"
_ASK_AGAIN = "refused"

Text = Annotated[str, Field(min_length=3, max_length=4_000)]


class SyntheticExample(Lesson):
    """What the teacher says of one passage."""

    topic: Annotated[str, Field(min_length=3, max_length=160)]
    question: Annotated[str, Field(min_length=5, max_length=400)]
    outline: Annotated[
        list[Annotated[str, Field(min_length=2, max_length=200)]], Field(min_length=2, max_length=8)
    ]
    draft: Text


class TeacherRequest(Record):
    """A passage and the title of what it is from. Its key is the hash of its text."""

    title: str
    text: str

    @property
    def key(self) -> str:
        return text_hash(self.text)


class PaidTeaching(Teaching):
    """A teacher's: `dropped` counts passages without a lesson. Estimate and cost are in US dollars."""

    estimate: float
    cost: float


class Teacher:
    """One teacher model with its cache and its budget."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._hosted, self._say = HostedModel(settings, "teacher"), say
        self.model, self._max_tokens = self._hosted.model, settings.teacher_max_tokens
        self._kept: KeptValues[str] = KeptValues(settings.cache_dir / "teacher.sqlite", "lessons")

    def teach(self, passages: list[TeacherRequest]) -> PaidTeaching:
        """A lesson for each passage, from the cache where it is there.

        Raises TwinError when the estimate is over the budget, when the budget is spent, and when the model
        refuses the key, does not exist, or is cut off in all of its first answers. What was answered until then is
        kept; what was cut off, filtered or empty is counted and asked for again by the next run.
        """
        requests = {p.key: p for p in passages}
        lessons: dict[str, SyntheticExample] = {}
        dropped: Counter[str] = Counter()
        prompts = [(p, render("teaching/passage", title=p.title, passage=p.text)) for p in requests.values()]
        answers = self._kept.find(self._hosted.key(prompt) for _, prompt in prompts)
        missing: list[tuple[TeacherRequest, str]] = []
        for passage, prompt in prompts:
            answer = answers.get(self._hosted.key(prompt), _ASK_AGAIN)
            if answer == _ASK_AGAIN:
                missing.append((passage, prompt))
            elif answer == _KEEP_REFUSED:
                dropped["teacher_refused"] += 1
            else:
                lessons[passage.key] = SyntheticExample.model_validate_json(answer)
        cached = len(requests) - len(missing)
        estimate = sum(self._hosted.cost(estimated_tokens(prompt), TYPICAL_TOKENS) for _, prompt in missing)
        self._say(f"teacher {self.model}: {len(missing)} to ask, {cached} known, about ${estimate:.2f}")
        self._hosted.check_estimate(estimate)
        self._ask_all(missing, lessons, dropped)
        return PaidTeaching(
            model=self.model,
            lessons=lessons,
            dropped=dict(dropped),
            asked=len(missing),
            cached=cached,
            estimate=round(estimate, 4),
            cost=round(self._hosted.spent, 6),
        )

    def _ask_all(
        self,
        missing: list[tuple[TeacherRequest, str]],
        lessons: dict[str, SyntheticExample],
        dropped: Counter[str],
    ) -> None:
        """Ask several at a time; keep each answer as soon as it is there."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = {pool.submit(self._ask, prompt): (passage, prompt) for passage, prompt in missing}
            try:
                for done, future in enumerate(as_completed(waiting), 1):
                    passage, prompt = waiting[future]
                    answer = future.result()
                    if isinstance(answer, SyntheticExample):
                        lessons[passage.key] = answer
                    else:
                        dropped[answer] += 1
                    if done == dropped["teacher_cut_off"] == CUT_OFF_AT_FIRST:
                        raise TwinError(
                            f"The first {done} answers of the teacher {self.model} were cut off at {self._max_tokens} "
                            "tokens; none was kept.",
                            f"{self._hosted.max_tokens_fix()}.",
                        )
                    if isinstance(answer, SyntheticExample) or answer == "teacher_refused":
                        value = (
                            answer.model_dump_json()
                            if isinstance(answer, SyntheticExample)
                            else _KEEP_REFUSED
                        )
                        self._kept.keep({self._hosted.key(prompt): value})
                    if done % 20 == 0 or done == len(missing):
                        self._say(f"teacher: {done} of {len(missing)}, ${self._hosted.spent:.2f} spent")
                if cut := dropped["teacher_cut_off"]:
                    self._say(
                        f"teacher: {cut} answers were cut off at {self._max_tokens} tokens and not kept: "
                        f"{self._hosted.max_tokens_fix()}"
                    )
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise

    def _ask(self, prompt: str) -> SyntheticExample | str:
        """A lesson, or the reason why there is none."""
        for _ in range(MALFORMED_ATTEMPTS):
            try:
                answer = self._hosted.complete(
                    prompt, self._max_tokens, 0.3, response_format={"type": "json_object"}
                )
            except RequestFiltered:
                return "teacher_filtered"
            except RequestTooLong:
                return "teacher_too_long"
            if answer is None:
                return "teacher_unavailable"
            reply = read_reply(answer)
            if reply.fault:
                return f"teacher_{reply.fault}"
            if _REFUSAL.match(reply.text):
                return "teacher_refused"
            try:
                return SyntheticExample.model_validate_json(_json_of(reply.text))
            except ValidationError:
                continue
        return "teacher_malformed"


def _json_of(text: str) -> str:
    """The JSON object in an answer, out of the fence and the chatter that models put round it."""
    decoder = json.JSONDecoder(strict=False)
    for brace in islice(re.finditer(r"\{\s*\"", text), 20):
        try:
            return json.dumps(decoder.raw_decode(text, brace.start())[0])
        except (ValueError, RecursionError):
            continue
    return text
