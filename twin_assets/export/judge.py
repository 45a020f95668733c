"""What a model lost by being exported: the file beside the version that it was made of, on the same held-out writing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message, Record, SplitDocument
from twin_assets.evaluation.contest.write import ContestWriter
from twin_assets.evaluation.grounding.questions import Retrieve
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.export.readers import WINDOW, Reader
from twin_assets.inference.generation.sampling import Sampling

TASKS = 24  # as many as an evaluation begins with
WINDOWS = 24  # of held-out prose, for the perplexity
STARTS, START_TOKENS = 4, 24


class Reads(Record):
    """One side's figures. `voice` is the way from strangers (0) to the author (1) with its 95% interval, `sense` the share of
    passages that read as the author's do; None where it can't be said."""

    perplexity: float | None = None
    voice: float | None = None
    voice_low: float | None = None
    voice_high: float | None = None
    sense: float | None = None


class ExportVerdict(Record):
    """`same_tokens` of the `prompts` are read as the same tokens; `same_starts` of `starts` texts begin with the same 24 tokens
    where the likeliest is always taken. The perplexity is over `windows` of 512 tokens of held-out prose. `note` says what
    could not be measured."""

    reader: str
    version: Reads
    exported: Reads
    prompts: int
    same_tokens: int
    starts: int
    same_starts: int
    windows: int
    note: str = ""

    @property
    def perplexity_ratio(self) -> float | None:
        """Of the exported file over the version: 1 is nothing lost."""
        if self.version.perplexity is None or self.exported.perplexity is None:
            return None
        return self.exported.perplexity / self.version.perplexity


@dataclass(frozen=True)
class Measures:
    """What a version is judged by: its persona's writing, and what an evaluation of it measures with. `missing` says why
    a figure can't be had."""

    persona: Persona
    profile: Profile
    corpus: Sequence[SplitDocument]
    retrieve: Retrieve
    voice: VoiceInstrument | None
    sense: SenseMeter | None
    seed: int
    missing: str = ""


def judge_export(
    version: Reader,
    exported: Reader,
    tokenizer: Any,
    by: Measures,
    on_progress: Callable[[str], None],
    texts: int = TASKS,
) -> ExportVerdict:
    """Both write the same held-out prompts, as an evaluation sets them, `texts` at most, and read the same held-out prose.

    `tokenizer` is the version's. Raises TwinError when nothing is held out.
    """
    train = [d for d in by.corpus if d.split == "train"]
    heldout = [d for d in by.corpus if d.split == "heldout"]
    tasks = write_tasks(heldout, train)[:texts]
    if not tasks:
        raise TwinError(
            "Nothing of the persona's writing is held out to judge by.", "collect more of it first."
        )
    writer = ContestWriter(train, by.persona, by.profile, by.retrieve, by.seed)
    prompts = [writer.conversation(task, "twin", n) for n, task in enumerate(tasks)]
    served = [served_prompt(tokenizer, [m.model_dump() for m in prompt]) for prompt in prompts]
    on_progress(f"{exported.name} reads {len(served)} prompts")
    pieces = windows_of(version, [d.voice_text for d in heldout if d.category != "code"])
    begun = [
        [one.text for one in reader.generate(prompts[:STARTS], Sampling(START_TOKENS, 0.0))]
        for reader in (version, exported)
    ]
    return ExportVerdict(
        reader=exported.name,
        version=_reads(version, "the version", pieces, prompts, by, on_progress),
        exported=_reads(exported, "the exported file", pieces, prompts, by, on_progress),
        prompts=len(served),
        same_tokens=sum(version.tokens(text) == exported.tokens(text) for text in served),
        starts=len(begun[0]),
        same_starts=sum(ours == theirs for ours, theirs in zip(*begun, strict=True)),
        windows=len(pieces),
        note=by.missing,
    )


def windows_of(reader: Reader, texts: Sequence[str]) -> list[list[int]]:
    """Whole windows of texts, as tokens, at most WINDOWS, from as many texts as possible."""
    cut = [
        [tokens[n : n + WINDOW] for n in range(0, len(tokens) - WINDOW + 1, WINDOW)]
        for tokens in map(reader.tokens, texts)
    ]
    rounds = max(map(len, cut), default=0)
    return [windows[n] for n in range(rounds) for windows in cut if n < len(windows)][:WINDOWS]


def perplexity(reader: Reader, pieces: list[list[int]]) -> float | None:
    """Of all tokens but each window's first; None without a window."""
    if not pieces:
        return None
    return float(np.exp(np.concatenate([reader.losses(piece) for piece in pieces]).mean()))


def _reads(
    reader: Reader,
    side: str,
    pieces: list[list[int]],
    prompts: list[list[Message]],
    by: Measures,
    on_progress: Callable[[str], None],
) -> Reads:
    on_progress(f"{side} writes {len(prompts)} texts")
    sampling = Sampling(by.profile.answer_tokens, seed=by.seed)
    texts = [one.text for one in reader.generate(prompts, sampling)]
    read = by.sense.score(texts, by.profile.evaluation.passages, by.seed) if by.sense else None
    figure = by.voice.figure(texts, by.seed, read.reads if read else None) if by.voice else None
    return Reads(
        perplexity=perplexity(reader, pieces),
        voice=figure.value if figure else None,
        voice_low=figure.low if figure else None,
        voice_high=figure.high if figure else None,
        sense=read.share if read else None,
    )
