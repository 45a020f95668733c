"""Scores production's requests beside the service, from the request log: what is new, once, in batches.

Cheap rules are asked of every answer: a leak is rare, and must not fall through a sample. What costs a model
(groundedness) or needs long texts is measured on a sample, at most so many requests an hour and model version;
each counts for the `weight` requests that it stands for (Horvitz and Thompson 1952). Nothing here ever changes
an answer.

On a Ray cluster (`runner`) batches are scored on its nodes. The log is read, the sample decided and the scores stored here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from twin_assets.core.data_runner import Runner, map_rows
from twin_assets.core.embedding.embedder import KEPT_TEXTS, Embedder, remembering
from twin_assets.core.embedding.thresholds import OFFLINE_MINILM
from twin_assets.core.hashing import hash_share
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.records import Record
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.core.text.privacy import scan
from twin_assets.core.text.words import count_words
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import prose, windows
from twin_assets.inference.grounding.claims import Measure, claim_support, claims_of, support
from twin_assets.inference.grounding.quotations import without_quotations
from twin_assets.inference.twin.request_log import RequestRecord, day_objects, identity, log_days
from twin_assets.monitoring.scores.live_voice import add_voices, is_noise
from twin_assets.monitoring.scores.records import ScoredRequest, score_requests
from twin_assets.monitoring.scores.scored import StoredScore, last_scored_day, scored_in, write_scores
from twin_assets.monitoring.scores.toxicity import IsToxic

BATCH = 1000
# Log objects may appear a little after later ones, so the day before the last scored one is looked at again.
LOOK_BACK = timedelta(days=1)

Stratum = tuple[str, str]  # hour and model version
T = TypeVar("T")


class _Batch(NamedTuple):
    """Rows of the log, each with the name of its object, and of all passages those that the rows were given."""

    rows: list[tuple[str, RequestRecord]]
    passages: dict[str, str]


class ScoringRun(Record):
    """What one run scored: new requests, those of them in the sample, and days whose voice was measured."""

    scored: int = 0
    sampled: int = 0
    days: list[str] = []


class KeptMix:
    """`support` by an embedder that embeds no text twice: passages come back with every batch, and kept they cost a third.

    Sent to another process, as with every batch to a node, it has kept nothing: what is embedded together changes a vector a
    little (up to 1e-3 in bfloat16), and nodes have not seen the same batches.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._embed = remembering(embedder.embed, KEPT_TEXTS)

    def __reduce__(self) -> "tuple[type[KeptMix], tuple[Embedder]]":
        return KeptMix, (self._embedder,)

    def __call__(self, claims: list[str], passages: list[str]) -> np.ndarray:
        return support(claims, passages, self._embed)


@dataclass
class LiveScorer:
    """How requests are scored. `passages` maps chunk ids to texts; without `sense` it is not measured whether a text
    reads as language, and without an instrument a `meter` measures the voice, by the measure of before. A claim counts
    from `supported` on with this `measure`. `instrument` is asked for once there is something to measure: it takes seconds
    to fit. `no_voice` says why there is neither."""

    persona: Persona
    passages: dict[str, str]
    measure: Measure
    meter: VoiceMeter | None
    is_toxic: IsToxic
    sample_per_hour: int
    seed: int
    supported: float = OFFLINE_MINILM.supported
    sense: SenseMeter | None = None
    instrument: Callable[[], VoiceInstrument | None] = lambda: None
    no_voice: Callable[[], str | None] = lambda: None

    def __getstate__(self) -> dict[str, object]:
        """What other processes get: the instrument fitted here, as a fit takes seconds and may round otherwise there,
        and no passages, which come with each batch."""
        fitted = {"instrument": partial(_given, self.instrument()), "no_voice": partial(_given, None)}
        return vars(self) | {"passages": {}} | fitted

    def score(self, rows: list[RequestRecord], shares: dict[Stratum, float]) -> list[ScoredRequest]:
        """Scores of rows; `shares` says how much of each hour and version is in the sample."""
        toxic = iter(self.is_toxic([r.answer for r in rows if r.answer is not None]))
        found = [
            scored.model_copy(
                update=self._of_text(row, shares.get(stratum(row), 1.0))
                | {"toxic": None if row.answer is None else next(toxic)}
            )
            for row, scored in zip(rows, score_requests(rows, self.passages), strict=True)
        ]
        return self._with_voice(rows, self._with_sense(rows, found))

    def _with_sense(self, rows: list[RequestRecord], found: list[ScoredRequest]) -> list[ScoredRequest]:
        """All texts of the sample at once: a model reads them in batches."""
        texts = {
            at: without_quotations(row.answer)
            for at, (row, one) in enumerate(zip(rows, found, strict=True))
            if one.weight > 0 and row.answer and row.outcome == "answered"
        }
        if self.sense is None or not texts:
            return found
        for at, sense in zip(texts, self.sense.read(list(texts.values())), strict=True):
            if sense:
                found[at] = found[at].model_copy(update={f"sense_{name}": value for name, value in sense})
        return found

    def _of_text(self, row: RequestRecord, share: float) -> dict[str, object]:
        drawn = hash_share(f"{self.seed}/{row.request_id}/{row.time.isoformat()}")  # the same in every run
        chosen = drawn < share
        fields: dict[str, object] = {"weight": 1 / share if chosen else 0.0}
        if row.answer is None or row.outcome == "failed":
            return fields
        if row.personal_data is None:  # a row of an older log
            fields["personal_data"] = len(scan(row.answer))
        fields |= {
            "words": count_words(row.answer),
            "declined": row.outcome == "refused" or declines(row.answer, self.persona),
        }
        if chosen and row.outcome == "answered":
            fields |= self._grounding(row, row.answer) if row.kind == "answer" else {}
        return fields

    def _grounding(self, row: RequestRecord, answer: str) -> dict[str, object]:
        """Nothing where a passage isn't known any more, or came with the request: half the evidence would
        make a true claim look invented."""
        passages = [self.passages[i] for i in row.retrieved if i in self.passages]
        if not passages or len(passages) < len(row.retrieved):
            return {}
        claims = claims_of(prose(without_quotations(answer)))
        held = claim_support(claims, passages, self.measure) >= self.supported
        return {"claims": len(claims), "grounded_share": float(held.mean()) if claims else None}

    def _with_voice(self, rows: list[RequestRecord], found: list[ScoredRequest]) -> list[ScoredRequest]:
        """Of texts of the sample that are not noise."""
        for at, (row, one) in enumerate(zip(rows, found, strict=True)):
            if (
                one.weight > 0
                and row.answer
                and row.kind == "write"
                and row.outcome == "answered"
                and not is_noise(one)
            ):
                found[at] = one.model_copy(update=self._voice(row.answer))
        return found

    def _voice(self, answer: str) -> dict[str, object]:
        cut = windows([answer])
        if not cut:
            return {}
        if instrument := self.instrument():
            return {"voice_figure": instrument.share(cut)}
        return {"voice_margin": float(self.meter.margins(cut).mean())} if self.meter else {}


def _given(value: T) -> T:
    return value


def score_new(
    lake: Lake,
    scorer: LiveScorer,
    since: date | None = None,
    batch: int = BATCH,
    runner: Runner | None = "native",
) -> ScoringRun:
    """Score what the log holds and the scores don't, day by day; memory is bounded by the batches under way and by the
    identities of a day's requests.

    Looked at are days from `since` on; by default from the day before the last that has scores. `runner` is as in
    `map_rows`, with its errors; a node takes a batch at a time.
    """
    persona = scorer.persona.name
    if since is None and (last := last_scored_day(lake, persona)):
        since = last - LOOK_BACK
    run = ScoringRun()
    for day in log_days(lake, persona, since):
        run = _score_day(lake, scorer, day, batch, run, runner)
    return run


def _score_day(
    lake: Lake, scorer: LiveScorer, day: str, batch: int, run: ScoringRun, runner: Runner | None
) -> ScoringRun:
    persona = scorer.persona.name
    logs, scored_ids = scored_in(lake, persona, day)
    shares = _shares(_unknown(lake, persona, day, logs, scored_ids), scorer.sample_per_hour)
    batches = (
        _Batch(rows, _passages_of(rows, scorer.passages))
        for rows in _batches(_unknown(lake, persona, day, logs, scored_ids), batch)
    )
    scored = sampled = 0
    for stored in map_rows(
        partial(_scored, scorer, shares), batches, runner, partition=1, uses_all_cores=True
    ):
        write_scores(lake, persona, day, stored)
        scored, sampled = scored + len(stored), sampled + sum(one.weight > 0 for one in stored)
    if not scored:
        return run
    instrument = scorer.instrument()
    why_none = scorer.no_voice() if instrument is None and scorer.meter is None else None
    add_voices(lake, persona, day, scorer.meter, instrument, scorer.sense is not None, why_none)
    return ScoringRun(scored=run.scored + scored, sampled=run.sampled + sampled, days=[*run.days, day])


def _scored(scorer: LiveScorer, shares: dict[Stratum, float], batch: _Batch) -> list[StoredScore]:
    scores = replace(scorer, passages=batch.passages).score([row for _, row in batch.rows], shares)
    return [
        StoredScore(persona=scorer.persona.name, log=log, **dict(one))
        for (log, _), one in zip(batch.rows, scores, strict=True)
    ]


def _passages_of(rows: list[tuple[str, RequestRecord]], passages: dict[str, str]) -> dict[str, str]:
    return {i: passages[i] for _, row in rows for i in row.retrieved if i in passages}


def _unknown(
    lake: Lake, persona: str, day: str, logs: set[str], scored_ids: set[tuple[str, int]]
) -> Iterator[list[tuple[str, RequestRecord]]]:
    """Object by object, the rows of a day that aren't scored yet, with the object's name; not of `logs`, which are."""
    erased = erased_list(lake, persona)
    for name, rows in day_objects(lake, persona, day, without=logs):
        yield [(name, row) for row in erased.without(rows) if identity(row) not in scored_ids]


def _batches(
    objects: Iterable[list[tuple[str, RequestRecord]]], size: int
) -> Iterator[list[tuple[str, RequestRecord]]]:
    """Batches of about `size` rows. An object is never split: one that has scores has all of them."""
    batch: list[tuple[str, RequestRecord]] = []
    for rows in objects:
        batch += rows
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def stratum(row: RequestRecord) -> Stratum:
    """What is sampled apart: a canary with a twentieth of the traffic must not get a twentieth of the sample."""
    return f"{row.time:%Y-%m-%dT%H}", row.model


def _shares(objects: Iterable[list[tuple[str, RequestRecord]]], most: int) -> dict[Stratum, float]:
    counts = Counter(stratum(row) for rows in objects for _, row in rows)
    return {one: min(1.0, most / count) for one, count in counts.items()}
