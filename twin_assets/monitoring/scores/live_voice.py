"""The voice of what production wrote, pooled by version and day: an answer alone is too short to have one.

Kept are the margins of the windows, and no text.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Literal

from twin_assets.core.records import Record
from twin_assets.core.storage.erased import erased_list
from twin_assets.core.storage.lake import Lake
from twin_assets.evaluation.bootstrap import bootstrap
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import MIN_WINDOWS, VoiceMeter
from twin_assets.evaluation.voice.stylometry import windows, word_count
from twin_assets.inference.twin.request_log import RequestRecord, day_objects
from twin_assets.monitoring.scores.records import ModelVoice

FOLDER = "live_voices"
# Of a day, version and kind: about 80 windows, whose mean has a small enough error.
MOST_WORDS = 20_000
Kind = Literal["write", "answer"]


class DayVoice(Record):
    """The windows of what a version wrote on a day (UTC), one margin each; none for fewer than 250 words. `places` are
    where the same windows stand from other people (0) to the author (1), neither end a limit; none without an instrument."""

    day: str
    model: str
    kind: Kind
    words: int
    margins: list[float]
    places: list[float] = []

    @property
    def margin(self) -> float | None:
        """The mean; None with too few words to say."""
        return sum(self.margins) / len(self.margins) if len(self.margins) >= MIN_WINDOWS else None


def kind_of(row: RequestRecord) -> Kind | None:
    """What voice it can be held against; None for replies and drafts, which carry the words of others."""
    if row.prompt_kind.startswith("write"):
        return "write"
    return "answer" if row.prompt_kind == "answer" else None


def day_voices(
    day: str, rows: Iterable[RequestRecord], meter: VoiceMeter, instrument: VoiceInstrument | None = None
) -> list[DayVoice]:
    """The voice of each version, texts and answers apart; the first MOST_WORDS words of each."""
    texts: dict[tuple[str, Kind], list[str]] = defaultdict(list)
    counts: dict[tuple[str, Kind], int] = defaultdict(int)
    for row in rows:
        kind = kind_of(row)
        if row.answer and row.outcome == "answered" and kind and counts[row.model, kind] < MOST_WORDS:
            texts[row.model, kind].append(row.answer)
            counts[row.model, kind] += word_count([row.answer])
    return [
        DayVoice(
            day=day,
            model=model,
            kind=kind,
            words=counts[model, kind],
            margins=meter.margins(cut).tolist() if (cut := windows(written)) else [],
            places=instrument.positions(cut).tolist() if cut and instrument else [],
        )
        for (model, kind), written in sorted(texts.items())
    ]


def add_voices(
    lake: Lake, persona: str, day: str, meter: VoiceMeter, instrument: VoiceInstrument | None = None
) -> None:
    """Measure a day anew from all its log objects."""
    erased = erased_list(lake, persona)
    rows = (row for _, logged in day_objects(lake, persona, day) for row in erased.without(logged))
    voices = day_voices(day, rows, meter, instrument)
    lines = "".join(voice.model_dump_json() + "\n" for voice in voices)
    lake.write(f"{FOLDER}/{persona}/{day}.jsonl", lines.encode())


def read_voices(lake: Lake, persona: str, since: date | None = None) -> list[DayVoice]:
    """Measured days, oldest first, from the day `since` on."""
    first = f"{FOLDER}/{persona}/{since or ''}"
    keys = [key for key in lake.keys(f"{FOLDER}/{persona}") if key >= first]
    return [
        DayVoice.model_validate_json(line)
        for key in keys
        for line in lake.read(key).decode().split("\n")
        if line
    ]


def pooled(days: Iterable[DayVoice], seed: int) -> list[ModelVoice]:
    """Days taken together: each version's margin with its interval, None with fewer than two windows."""
    groups: dict[tuple[str, Kind], list[DayVoice]] = defaultdict(list)
    for one in days:
        groups[one.model, one.kind].append(one)
    return [_pooled(model, kind, voices, seed) for (model, kind), voices in sorted(groups.items())]


def _pooled(model: str, kind: Kind, days: list[DayVoice], seed: int) -> ModelVoice:
    import numpy as np

    margins = np.array([margin for one in days for margin in one.margins])
    words = sum(one.words for one in days)
    if len(margins) < MIN_WINDOWS:
        return ModelVoice(model=model, kind=kind, margin=None, words=words, windows=len(margins))
    low, high = bootstrap(margins, seed)
    places = np.array([place for one in days for place in one.places])
    figure: tuple[float | None, ...] = (None, None, None)
    if len(places) >= MIN_WINDOWS:
        figure = tuple(np.clip([places.mean(), *bootstrap(places, seed)], 0.0, 1.0).tolist())
    return ModelVoice(
        figure=figure[0],
        figure_low=figure[1],
        figure_high=figure[2],
        model=model,
        kind=kind,
        margin=float(margins.mean()),
        margin_low=low,
        margin_high=high,
        words=words,
        windows=len(margins),
    )
