"""The systems that are compared: who writes, with which prompt, and what is kept of it."""

import time
from collections.abc import Callable

from twin_assets.core.hashing import fingerprint
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.records import Message
from twin_assets.core.storage.kept import KeptValues
from twin_assets.evaluation.choosing import Chooser
from twin_assets.evaluation.contest.write import Prompting, System
from twin_assets.evaluation.grounding.qa_eval import passage_texts
from twin_assets.inference.generation.engine import MAX_ROWS as BATCH
from twin_assets.inference.generation.local import Generation, LocalGenerator
from twin_assets.inference.generation.sampling import ANSWERING, WRITING, Manner

NEXT_SEED = 1000  # between the first and the second text of one request

Write = Callable[[list[list[Message]], int], list[Generation]]


class Writers:
    """Models by tag, each loaded once, whose texts are kept: a session that ends goes on where it was. A text's `seconds` are its
    share of its batch's."""

    def __init__(
        self,
        registry: Registry,
        profile: Profile,
        kept: KeptValues[str],
        seed: int,
        say: Callable[[str], None],
        weights: str = "",
    ) -> None:
        """`weights` names others than an engine takes by itself, as the registry's options have them."""
        self._registry, self._profile, self._kept, self._seed, self._say = registry, profile, kept, seed, say
        self._weights = [weights] if weights else []
        self._open: dict[str, LocalGenerator] = {}
        self.written: dict[str, list[Generation]] = {}

    def system(self, role: str, tag: str, prompting: Prompting, writing: Manner = WRITING) -> System:
        """As the evaluation has it, one text a request."""
        return self._system(
            role, tag, prompting, lambda manner: lambda c, n: self.write(tag, c, n, manner), writing
        )

    def best_of(self, role: str, tag: str, count: int, choose: Chooser) -> System:
        """The best of so many texts by `choose`, of which the first is the one that `system` has."""

        def chosen(manner: Manner) -> Write:
            def write(conversations: list[list[Message]], tokens: int) -> list[Generation]:
                drawn = [
                    self.write(tag, conversations, tokens, manner, number * NEXT_SEED)
                    for number in range(count)
                ]
                best = []
                for conversation, *texts in zip(conversations, *drawn, strict=True):
                    asked = manner == ANSWERING
                    place = choose([t.text for t in texts], passage_texts(conversation[-1]), asked).chosen
                    best.append(texts[place].model_copy(update={"seconds": sum(t.seconds for t in texts)}))
                return best

            return write

        return self._system(role, tag, "twin", chosen)

    def _system(
        self,
        role: str,
        tag: str,
        prompting: Prompting,
        write: Callable[[Manner], Write],
        writing: Manner = WRITING,
    ) -> System:
        def recorded(manner: Manner) -> Write:
            def of(conversations: list[list[Message]], tokens: int) -> list[Generation]:
                found = write(manner)(conversations, tokens)
                self.written.setdefault(role, []).extend(found)
                return found

            return of

        return System(tag, recorded(writing), prompting, 0.0, recorded(ANSWERING))

    def write(
        self,
        tag: str,
        conversations: list[list[Message]],
        tokens: int,
        manner: Manner,
        further: int = 0,
    ) -> list[Generation]:
        """A text for each conversation, in their order; `further` is added to their seeds."""
        seeds = [self._seed + further + at for at in range(len(conversations))]
        keys = [
            fingerprint(
                [
                    tag,
                    [m.model_dump() for m in c],
                    tokens,
                    manner.repetition_penalty,
                    manner.temperature,
                    seed,
                    *self._weights,
                ]
            )
            for c, seed in zip(conversations, seeds, strict=True)
        ]
        known = self._kept.find(keys)
        missing = [at for at, key in enumerate(keys) if key not in known]
        for first in range(0, len(missing), BATCH):
            part = missing[first : first + BATCH]
            start, model = time.monotonic(), self._model(tag)
            handles = [
                model.start(
                    model.fit(conversations[at], self._profile.answer_tokens),
                    manner.sampling(tokens, seeds[at]),
                    bounded=False,
                )
                for at in part
            ]
            texts = [handle.result() for handle in handles]
            share = (time.monotonic() - start) / len(part)
            new = {
                keys[at]: Generation(
                    text=text, tokens_in=len(h.prompt), tokens_out=h.tokens_out,
                    finish_reason=h.finish_reason or "stop", seconds=share,
                ).model_dump_json()
                for at, h, text in zip(part, handles, texts, strict=True)
            }  # fmt: skip
            self._kept.keep(new)
            known |= new
            self._say(
                f"{tag}: {min(first + BATCH, len(missing))} of {len(missing)} texts, {share:.1f} s each"
            )
        return [Generation.model_validate_json(known[key]) for key in keys]

    def _model(self, tag: str) -> LocalGenerator:
        if tag not in self._open:
            self._open[tag] = LocalGenerator.of(self._registry, tag)
        return self._open[tag]
