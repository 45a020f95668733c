"""What a model lost by being exported: the file beside the version that it was made of, on the same held-out writing."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.core.records import Message, Record, SplitDocument
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.contest.write import ContestWriter
from twin_assets.evaluation.grounding.questions import Retrieve
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.voice.compare import paired_gain
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.export.readers import WINDOW, Reader
from twin_assets.inference.generation.sampling import Sampling, following_seed

TASKS = 24  # as many as an evaluation begins with
WINDOWS = 24  # of held-out prose, for the perplexity
MINUTES = 15.0
# So many texts are written, and windows read, whatever the time: both sides the same, then the clock is looked at.
ROUND = 4
READING = 0.25  # of the time, at most
STARTS, START_TOKENS = ROUND, 24


class Reads(Record):
    """One side's figures. `voice` is the way from strangers (0) to the author (1) with its 95% interval, `sense` the share of
    `passages` that read as the author's do; None where it can't be said."""

    perplexity: float | None = None
    voice: float | None = None
    voice_low: float | None = None
    voice_high: float | None = None
    sense: float | None = None
    passages: int = 0


class Difference(Record):
    """The file's figure against the version's, of the same texts or windows in pairs, with its 95% interval."""

    value: float
    low: float
    high: float
    pairs: int


class ExportVerdict(Record):
    """`same_tokens` of the `prompts` are read as the same tokens; `same_starts` of `starts` texts begin with the same 24 tokens
    where the likeliest is always taken. Voice and sense are of `texts` by each side; the perplexity is over `windows` of 512
    tokens of held-out prose; `minutes` is what both took. `voice_more` is the file's voice less the version's, `perplexity_ratio` the file's perplexity over
    the version's: 1 is nothing lost. `note` says what could not be measured."""

    reader: str
    version: Reads
    exported: Reads
    prompts: int
    same_tokens: int
    starts: int
    same_starts: int
    texts: int
    windows: int
    voice_more: Difference | None = None
    perplexity_ratio: Difference | None = None
    minutes: float
    note: str = ""


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
    minutes: float = MINUTES,
) -> ExportVerdict:
    """Both write the same held-out prompts, as an evaluation sets them, `texts` at most, and read the same held-out prose.

    Reading and writing take about `minutes` at most: then fewer texts are judged by, but never under ROUND. `tokenizer` is the
    version's. Raises TwinError when nothing is held out.
    """
    train = [d for d in by.corpus if d.split == "train"]
    heldout = [d for d in by.corpus if d.split == "heldout"]
    tasks = write_tasks(heldout, train)[:texts]
    if not tasks:
        raise TwinError(
            "Nothing of the persona's writing is held out to judge by.", "collect more of it first."
        )
    begun = time.monotonic()
    sides = (version, exported)
    on_progress(f"judging by {len(tasks)} texts of each side, in {minutes:g} minutes at most")
    writer = ContestWriter(train, by.persona, by.profile, by.retrieve, by.seed)
    prompts = [writer.conversation(task, "twin", n) for n, task in enumerate(tasks)]
    served = [served_prompt(tokenizer, [m.model_dump() for m in prompt]) for prompt in prompts]
    pieces = windows_of(version, [d.voice_text for d in heldout if d.category != "code"])
    on_progress(f"the version and {exported.name} read {len(pieces)} windows of {WINDOW} tokens")
    losses = _losses(sides, pieces, begun + 60 * minutes * READING)
    greedy = Sampling(START_TOKENS, 0.0)
    first = time.monotonic()
    starts = [[one.text for one in side.generate(prompts[:STARTS], greedy)] for side in sides]
    pace = (time.monotonic() - first) / (len(starts[0]) * START_TOKENS)  # reading the prompts is in it
    longest = by.profile.answer_tokens
    on_progress(
        f"both write {len(prompts)} texts of up to {longest} tokens; at this pace up to {_told(pace * longest * len(prompts))}"
    )
    written = _write(sides, prompts, by, begun + 60 * minutes, on_progress)
    on_progress("voice and sense are measured")
    figures = [_reads(wrote, losses[:, side], by) for side, wrote in enumerate(written)]
    have_voice = all(figure.voice is not None for figure in figures)
    return ExportVerdict(
        reader=exported.name,
        version=figures[0],
        exported=figures[1],
        prompts=len(served),
        same_tokens=sum(version.tokens(text) == exported.tokens(text) for text in served),
        starts=len(starts[0]),
        same_starts=sum(ours == theirs for ours, theirs in zip(*starts, strict=True)),
        texts=len(written[0]),
        windows=len(losses),
        voice_more=_voice_more(written, by) if have_voice else None,
        perplexity_ratio=_ratio(losses, by.seed),
        minutes=(time.monotonic() - begun) / 60,
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


def _losses(sides: tuple[Reader, Reader], pieces: list[list[int]], until: float) -> np.ndarray:
    """Mean loss of each window by each side, shape (windows, 2), in nats a token: of ROUND windows, and on until it is `until`."""
    found: list[list[float]] = []
    for piece in pieces:
        if len(found) >= ROUND and time.monotonic() > until:
            break
        found.append([float(side.losses(piece).mean()) for side in sides])
    return np.array(found).reshape(-1, 2)


def _write(
    sides: tuple[Reader, Reader],
    prompts: list[list[Message]],
    by: Measures,
    until: float,
    on_progress: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """The texts of each side, ROUND prompts at a time, as many rounds as are over by `until` and one at least."""
    written: tuple[list[str], list[str]] = ([], [])
    begun = time.monotonic()
    for done in range(0, len(prompts), ROUND):
        sampling = Sampling(by.profile.answer_tokens, seed=following_seed(by.seed, done))
        for side, texts in zip(sides, written, strict=True):
            texts += [one.text for one in side.generate(prompts[done : done + ROUND], sampling)]
        count, spent = len(written[0]), time.monotonic() - begun
        left = len(prompts) - count
        on_progress(
            f"{count} of {len(prompts)} texts by both in {_told(spent)}"
            + (f", about {_told(spent / count * left)} to go" if left else "")
        )
        if left and time.monotonic() + spent / count * min(ROUND, left) > until:
            on_progress(f"the time is over: judged by {count} texts")
            break
    return written


def _reads(texts: list[str], losses: np.ndarray, by: Measures) -> Reads:
    read = by.sense.score(texts, by.profile.evaluation.passages, by.seed) if by.sense else None
    figure = by.voice.figure(texts, by.seed, read.reads if read else None) if by.voice else None
    return Reads(
        perplexity=float(np.exp(losses.mean())) if len(losses) else None,
        voice=figure.value if figure else None,
        voice_low=figure.low if figure else None,
        voice_high=figure.high if figure else None,
        sense=read.share if read else None,
        passages=read.passages if read else 0,
    )


def _voice_more(written: tuple[list[str], list[str]], by: Measures) -> Difference | None:
    if by.voice is None:
        return None
    gain = paired_gain(by.voice.share, written[1], written[0], by.seed)
    if gain.mean is None or gain.low is None or gain.high is None:
        return None
    return Difference(value=gain.mean, low=gain.low, high=gain.high, pairs=gain.pairs)


def _ratio(losses: np.ndarray, seed: int) -> Difference | None:
    """Windows are drawn with both their sides."""
    if not len(losses):
        return None
    apart = losses[:, 1] - losses[:, 0]
    low, high = bootstrap(apart, seed)
    return Difference(value=math.exp(apart.mean()), low=math.exp(low), high=math.exp(high), pairs=len(apart))


def _told(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
