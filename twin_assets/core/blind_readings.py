"""What people chose who read two texts without knowing whose they are, and what may be concluded from it.

Of a pair of the kind `author` one text is the author's, and the reader says which: a right answer is the author's.
Of the kind `base` one is the candidate's and one its base model's with a prompt, and the reader says which is closer to
how the author writes: a right answer is the candidate's. Answers are only ever added, one a pair and reader. They hold
hashes of what was read, never a text.

Each answer is a bet (`core.betting`) that right and wrong are equally likely, as they are for whoever can't tell: sides
are drawn by chance. So a reader may stop whenever they like, and "they tell them apart" is false in at most one of
twenty readings. "They can't tell them apart" claims less: the share of right answers, of all pairs that could be made
like these, lies between `CLOSE` and its mirror image, with 95% confidence by a confidence sequence. That holds for
answers that are alike and independent; of several readers together it is about their mean.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from threading import Lock
from typing import Literal, get_args

from pydantic import ValidationError

from twin_assets.core.betting import share_interval, two_sided_e_value
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Record
from twin_assets.core.storage.lake import Lake
from twin_assets.core.storage.numbered import Numbered, NumberedLog

FOLDER = "blind_readings"
# Chance that somebody who can't tell is said to, and that a share is outside its interval.
ERROR = 0.05
# Half way between guessing and always being right: the customary threshold where there are two to choose from.
CLOSE = 0.75
# Right answers in a row with which one can tell: 2^8 / 9 is more than 20.
FEWEST = 8
# How far ahead answers are counted.
_AHEAD = 200
# An answer never changes, so each is read once a process: by where it lies. About 1 KB each.
MOST_KEPT = 50_000

Kind = Literal["author", "base"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Choice = Literal["left", "right", "skip"]
# More answers are right, or wrong, than guessing gives; it is known that hardly more are; or not enough was read.
Verdict = Literal["right", "wrong", "alike", "open"]


class AlreadyRead(TwinError):
    """This reader has answered a pair with one of these texts."""


class Reading(Numbered):
    """One answer. `reader` is what they were authenticated as; `texts` are hashes of both texts; `right` is None for a
    pair that was skipped, since the reader knew a text of it."""

    persona: str
    model: str
    reader: str
    pair_id: str
    kind: Kind
    texts: list[str]
    choice: Choice
    right: bool | None
    at: datetime


class Finding(Record):
    """What `right` of `answers` say. `low` and `high` bound the share of right answers with 95% confidence; `e_value` is
    the most that ever spoke against one half. `more` answers at this rate would settle it, of the first few at the least;
    None when it is settled, or would not be soon."""

    kind: Kind
    answers: int
    right: int
    e_value: float
    low: float
    high: float
    verdict: Verdict
    more: int | None


def finding(kind: Kind, right: Sequence[bool]) -> Finding:
    """What answers to pairs of one kind say, in their order. That they are told apart stands once it is found."""
    n, counts = len(right), list(accumulate(right, initial=0))
    e_values = [two_sided_e_value(counts[i], i, 0.5) for i in range(n + 1)]
    peak = max(range(n + 1), key=e_values.__getitem__)
    verdict = settled(counts[peak], peak)
    if verdict not in ("right", "wrong"):
        verdict = settled(counts[n], n)
    low, high = share_interval(counts[n], n, ERROR)
    return Finding(
        kind=kind,
        answers=n,
        right=counts[n],
        e_value=e_values[peak],
        low=low,
        high=high,
        verdict=verdict,
        more=_more(counts[n], n) if verdict == "open" else None,
    )


def settled(right: float, n: int) -> Verdict:
    """What `right` of `n` answers say by themselves."""
    if two_sided_e_value(right, n, 0.5) >= 1 / ERROR:
        return "right" if right * 2 > n else "wrong"
    inside = n > 0 and 1 - CLOSE < right / n < CLOSE
    beyond = inside and min(two_sided_e_value(right, n, share) for share in (1 - CLOSE, CLOSE))
    return "alike" if beyond >= 1 / ERROR else "open"


def _more(right: int, n: int) -> int | None:
    """Answers until there is a verdict, if they go on as they did, their share taken a little nearer to one half. The
    first few show no share yet: of those, how many there must be at the least."""
    if n < FEWEST:
        return FEWEST - n
    share = (right + 1) / (n + 2)
    ahead = (more for more in range(1, _AHEAD + 1) if settled(right + share * more, n + more) != "open")
    return next(ahead, None)


def findings(some: Iterable[Reading], model: str) -> dict[Kind, Finding]:
    """What the readings of a model version say, by kind; those that were skipped say nothing."""
    said = sorted((r for r in some if r.model == model and r.right is not None), key=lambda r: r.at)
    return {kind: finding(kind, [bool(r.right) for r in said if r.kind == kind]) for kind in KINDS}


def gate_problem(some: Iterable[Reading], model: str, least: float) -> str | None:
    """Why a version may not be approved where a profile's gate asks for blind readers, if so: the share of pairs of the
    kind `base` in which they chose it is not known to be above `least`. It says no more than how many were read, so that
    nobody who still reads learns whose texts they chose."""
    found = findings(some, model)["base"]
    if found.low > least:
        return None
    return (
        f"Blind readers have not yet found {model} closer to the author than its base model with a prompt: the lower end of "
        f"how often they do must be above {least:.0%}, after {found.answers} answers it is not."
    )


class _Known:
    """What this process has read, by where it lies: at most MOST_KEPT, shared by its threads."""

    def __init__(self) -> None:
        self._lock, self._kept = Lock(), dict[str, Reading]()

    def get(self, place: str) -> Reading | None:
        with self._lock:
            return self._kept.get(place)

    def keep(self, place: str, one: Reading) -> Reading:
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[place] = one
        return one

    def forget_others(self, folder: str, there: set[str]) -> None:
        """A number that somebody took out by hand is given again."""
        with self._lock:
            for gone in [one for one in self._kept if one.startswith(f"{folder}/") and one not in there]:
                del self._kept[gone]


_KNOWN = _Known()


def readings(lake: Lake, persona: str, reader: str | None = None) -> list[Reading]:
    """Answers of one reader, or of all, about any version: one listing, and what this process has not read yet. Raises
    TwinError when one is damaged."""
    folder = _folder(persona, reader) if reader else f"{FOLDER}/{persona}"
    keys = list(lake.keys(folder))
    _KNOWN.forget_others(lake.uri(folder), set(map(lake.uri, keys)))
    return [one for key in keys if (one := _read(lake, key)) is not None]


def _read(lake: Lake, key: str) -> Reading | None:
    """None for one that was taken away since it was listed."""
    place = lake.uri(key)
    if (known := _KNOWN.get(place)) is not None:
        return known
    try:
        return _KNOWN.keep(place, Reading.model_validate_json(lake.read(key)))
    except KeyError:
        return None
    except ValidationError:
        raise TwinError(
            f"The blind reading {key} is damaged.", "bring it back from a backup, or remove it."
        ) from None


def add_reading(
    lake: Lake,
    persona: str,
    model: str,
    reader: str,
    *,
    pair_id: str,
    kind: Kind,
    texts: list[str],
    choice: Choice,
    right: bool | None,
) -> Reading:
    """Store an answer, whoever else answers at the same time. Raises AlreadyRead when this reader has answered a pair
    with one of its texts, of whichever version."""
    log = NumberedLog(lake, _folder(persona, reader), Reading)
    while True:
        before = readings(lake, persona, reader)
        if any(not set(texts).isdisjoint(r.texts) for r in before):
            raise AlreadyRead(
                "A text of this pair was read already: each counts once for a reader.",
                "look at the next one.",
            )
        given = Reading(
            number=max((r.number for r in before), default=0) + 1,
            persona=persona,
            model=model,
            reader=reader,
            pair_id=pair_id,
            kind=kind,
            texts=texts,
            choice=choice,
            right=right,
            at=max([datetime.now(UTC), *(r.at for r in before)]),
        )
        if log.add(given):
            return _KNOWN.keep(lake.uri(log.key(given.number)), given)


def _folder(persona: str, reader: str) -> str:
    return f"{FOLDER}/{persona}/{text_hash(reader)}"


def sentence(found: Finding, who: str = "you") -> str:
    """The finding for people. `who` is `you`, or in the plural such as `3 readers`."""
    n, right, can = found.answers, found.right, who[:1].upper() + who[1:]
    long_run = f"with 95% certainty between {found.low:.0%} and {found.high:.0%} in the long run"
    chance = "which guessing would not give"
    match found.kind, found.verdict:
        case _, "open":
            return _open(found, who)
        case "author", "right":
            return f"{can} tell them apart: {right} of {n} right, {chance}."
        case "author", "wrong":
            return f"{can} tell them apart, but take the twin for the author: only {right} of {n} right, {chance}."
        case "author", _:
            return f"{can} can't tell them apart after {n} pairs: {right} right, {long_run}, where guessing gives 50%."
        case _, "right":
            return f"{can} find the twin closer than its base model with a prompt: in {right} of {n} pairs, {chance}."
        case _, "wrong":
            return f"{can} find the base model with a prompt closer than the twin: in {n - right} of {n} pairs, {chance}."
        case _:
            return f"{can} find neither closer after {n} pairs: the twin in {right}, {long_run}."


def _open(found: Finding, who: str) -> str:
    if not found.answers:
        return f"Not enough yet: {FEWEST} answers can be."
    told = f"{who} gave {found.answers} answer{'s' if found.answers > 1 else ''}"
    if found.kind == "author":
        told += f", {found.right} right"
    about = "at least" if found.answers < FEWEST else "about"
    more = f"{about} {found.more}" if found.more else f"more than {_AHEAD}"
    return f"Not enough yet: {told}; {more} more."
