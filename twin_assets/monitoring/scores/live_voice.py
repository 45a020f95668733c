"""The voice of what production wrote, pooled by version and day: an answer alone is too short to have one.

Only what reads as language has a voice: averaged nonsense is nearer to an author's habits than the author's own text. Kept
are figures of the windows, and no text.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal

import numpy as np

from twin_assets.core.records import Record
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake, keys_since
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import MIN_WINDOWS, VoiceMeter
from twin_assets.evaluation.voice.stylometry import WINDOW, windows, word_count
from twin_assets.inference.grounding.quotations import without_quotations
from twin_assets.inference.twin.request_log import RequestRecord, day_objects
from twin_assets.monitoring.scores.live_quality import Quality, quality_of
from twin_assets.monitoring.scores.records import ModelVoice, ScoredRequest
from twin_assets.monitoring.scores.scored import read_day

FOLDER = "live_voices"
# Of a day, version and kind: about 80 windows, whose mean has a small enough error.
MOST_WORDS = 20_000
# A text of which fewer of its first passages read as language is noise.
NOISE = 0.5
Kind = Literal["write", "answer"]


class DayVoice(Record):
    """The windows of what a version wrote on a day (UTC). `places` are where they stand from other people (0) to the author
    (1), neither end a limit; `margins` are the measure of before, of days that were scored before there was a figure and of
    personas with too few other writers for one. Neither for fewer than 250 words, nor for texts that don't read as language.
    `reads` is the share of passages that do, None where none could be read; `noise` says that they were too few;
    `why_none` why this persona has neither measure."""

    day: str
    model: str
    kind: Kind
    words: int
    margins: list[float]
    places: list[float] = []
    reads: float | None = None
    noise: bool = False
    why_none: str | None = None

    @property
    def figure(self) -> float | None:
        """The mean place in [0, 1]; None with too few words to say."""
        return float(np.clip(np.mean(self.places), 0.0, 1.0)) if len(self.places) >= MIN_WINDOWS else None

    @property
    def margin(self) -> float | None:
        """The mean by the measure of before, never beside a figure; None with too few words to say."""
        if self.places or len(self.margins) < MIN_WINDOWS:
            return None
        return sum(self.margins) / len(self.margins)


class Reading:
    """Which texts may have a voice, by how those of the sample read: each day, version and kind taken together."""

    def __init__(self, scored: Iterable[ScoredRequest]) -> None:
        groups: dict[tuple[str, str, Kind], list[ScoredRequest]] = defaultdict(list)
        self._noise = set[tuple[str, datetime]]()
        for one in scored:
            kind = kind_of(one)
            if kind is None or one.sense_share is None:
                continue
            if is_noise(one):
                self._noise.add((one.request_id, one.time))
            if one.weight > 0:
                groups[_day(one), one.model, kind].append(one)
        self._qualities = {of: quality_of(of[1], rows) for of, rows in groups.items()}

    def __bool__(self) -> bool:
        """Whether anything was read at all."""
        return bool(self._qualities)

    def of(self, day: str, model: str, kind: Kind) -> Quality | None:
        """How a version's texts of a day read; None where none was read."""
        return self._qualities.get((day, model, kind))

    def may_speak(self, row: RequestRecord) -> bool:
        """Whether a text is of a version that read as language that day, and is not itself known to be noise."""
        kind = kind_of(row)
        found = kind and self.of(_day(row), row.model, kind)
        return found is not None and not found.noise and (row.request_id, row.time) not in self._noise


def is_noise(one: ScoredRequest) -> bool:
    """Whether most of what was read of a text is no language."""
    return one.sense_share is not None and one.sense_share < NOISE


def kind_of(row: RequestRecord | ScoredRequest) -> Kind | None:
    """What voice it can be held against; None for replies and drafts, which carry the words of others."""
    if row.prompt_kind.startswith("write"):
        return "write"
    return "answer" if row.prompt_kind == "answer" else None


def _day(row: RequestRecord | ScoredRequest) -> str:
    return f"{row.time:%Y-%m-%d}"


def day_voices(
    day: str,
    rows: Iterable[RequestRecord],
    meter: VoiceMeter | None,
    instrument: VoiceInstrument | None = None,
    reading: Reading | None = None,
) -> list[DayVoice]:
    """The voice of each version, texts and answers apart; the first MOST_WORDS words of each. With an instrument its places,
    else the meter's margins, of all texts, or with `reading` of those that may speak."""
    texts: dict[tuple[str, Kind], list[str]] = defaultdict(list)
    counts: dict[tuple[str, Kind], int] = defaultdict(int)
    for row in rows:
        kind = kind_of(row)
        if row.answer and row.outcome == "answered" and kind and counts[row.model, kind] < MOST_WORDS:
            own = without_quotations(row.answer)
            counts[row.model, kind] += word_count([own])
            texts[row.model, kind] += [own] if reading is None or reading.may_speak(row) else []
    voices = []
    for (model, kind), written in sorted(texts.items()):
        cut = windows(written)
        read = None if reading is None else reading.of(day, model, kind)
        voices.append(
            DayVoice(
                day=day,
                model=model,
                kind=kind,
                words=counts[model, kind],
                margins=meter.margins(cut).tolist() if cut and meter and instrument is None else [],
                places=instrument.positions(cut).tolist() if cut and instrument else [],
                reads=None if read is None else read.reads,
                noise=read is not None and read.noise,
            )
        )
    return voices


def add_voices(
    lake: Lake,
    persona: str,
    day: str,
    meter: VoiceMeter | None,
    instrument: VoiceInstrument | None = None,
    read: bool = False,
    why_none: str | None = None,
) -> None:
    """Measure a day anew from all its log objects; `read` says that its scores tell what reads as language, `why_none` why
    there is neither meter nor instrument. Without these three nothing is kept."""
    if meter is None and instrument is None and why_none is None:
        return
    erased = erased_list(lake, persona)
    rows = (row for _, logged in day_objects(lake, persona, day) for row in erased.without(logged))
    reading = Reading(read_day(lake, persona, day)) if read else None
    voices = [
        one.model_copy(update={"why_none": why_none})
        for one in day_voices(day, rows, meter, instrument, reading)
    ]
    lines = "".join(voice.model_dump_json() + "\n" for voice in voices)
    lake.write(f"{FOLDER}/{persona}/{day}.jsonl", lines.encode())


def read_voices(lake: Lake, persona: str, since: date | None = None) -> list[DayVoice]:
    """Measured days, oldest first, from the day `since` on."""
    keys = keys_since(lake, f"{FOLDER}/{persona}", since)
    return [
        DayVoice.model_validate_json(line)
        for key in keys
        for line in lake.read(key).decode().split("\n")
        if line
    ]


def pooled(days: Iterable[DayVoice], seed: int) -> list[ModelVoice]:
    """Days taken together: each version's figure with its interval, and the margin of days that have none."""
    groups: dict[tuple[str, Kind], list[DayVoice]] = defaultdict(list)
    for one in days:
        groups[one.model, one.kind].append(one)
    return [_pooled(model, kind, voices, seed) for (model, kind), voices in sorted(groups.items())]


def _pooled(model: str, kind: Kind, days: list[DayVoice], seed: int) -> ModelVoice:
    figured, before = [d for d in days if d.places], [d for d in days if d.margins and not d.places]
    places = np.array([place for one in figured for place in one.places])
    margins = np.array([margin for one in before for margin in one.margins])
    measured = (figured, places) if len(places) >= MIN_WINDOWS else (before, margins)
    none = len(measured[1]) < MIN_WINDOWS
    words = sum(one.words for one in (days if none else measured[0]))
    return ModelVoice(
        model=model,
        kind=kind,
        **_interval("figure", places, seed, (0.0, 1.0)),
        **_interval("margin", margins, seed),
        words=words,
        windows=len(measured[1]),
        note=_why_none(days, words) if none else None,
    )


def _interval(
    name: str, values: np.ndarray, seed: int, within: tuple[float, float] | None = None
) -> dict[str, float | None]:
    found: list[float | None] = [None, None, None]
    if len(values) >= MIN_WINDOWS:
        of = [float(values.mean()), *bootstrap(values, seed)]
        found = list(np.clip(of, *within).tolist() if within else of)
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _why_none(days: list[DayVoice], words: int) -> str:
    if why := next((one.why_none for one in days if one.why_none), None):
        return why
    if any(one.noise for one in days):
        return "what it wrote does not read as language, and nonsense has no voice"
    if words < MIN_WINDOWS * WINDOW:
        return f"{words:,} words of texts, too few to know its voice"
    return "its texts are too short, or too few of them read as language, to know its voice"
