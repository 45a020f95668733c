"""WebVTT and SRT: cues with their times and speakers, and a speaker's speech as paragraphs.

One reader for both, as forgiving as players are: a bad cue is left out and counted, the others stay.
"""

import html
import re
from dataclasses import dataclass
from itertools import pairwise

MAX_FILE_BYTES = 20_000_000
# A silence of so many seconds begins a paragraph.
PAUSE = 2.0

_TIMING = re.compile(
    r"^\s*((?:\d{1,3}:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,3})?)\s*-->\s*((?:\d{1,3}:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,3})?)(?:\s|$)"
)
_BLOCK = re.compile(r"^(?:NOTE|STYLE|REGION)(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"<[^<>\n]{1,200}>|\{\\[^{}\n]{1,60}\}")
_LABEL = re.compile(
    r"^\s*+(?:-\s*+)?(>>++)?\s*+([\[(]?)([^\W\d_][^:\[\]()<>\n]{0,48}?)([\])]?)\s?(?:\([^()\n]{1,20}\))?\s?[:：]\s+(?=\S)"
)
_NAME = re.compile(r"(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr)\.|[^\W\d_][\w'’.-]*")
_BRACKETED = re.compile(r"^\s*+(?:-\s*+)?[\[(]([^\W\d_][^\[\]()\n]{0,40})[\])](?:\s+(?=[^\s\[(♪])|\s*$)")
_NO_NAME = re.compile(
    r"music|applause|laugh|cheer|inaudible|crosstalk|silence|sound|singing|noise|sigh|gasp|cough|sniff|scream|beep|chatter|whisper|"
    r"musik|gelächter|applaus|música|risas|aplausos|musique|rires|applaudissements|musica|risate|applausi|muziek|gelach|музыка|смех",
    re.IGNORECASE,
)
_SOUND = re.compile(
    r"\[[^\[\]\n]{1,80}\]|[♪♫♬#][^♪♫♬\n]{0,200}[♪♫♬]|[♪♫♬]+|^\s*\([A-Z ,'-]{3,60}\)|^\s*\([^()\n]{1,60}\)\s*$|\*[^*\n]{3,40}\*$",
    re.MULTILINE,
)
_CHANGE = re.compile(r"^\s*>>+\s*", re.MULTILINE)
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\u0e00-\u0e7f]")


@dataclass(frozen=True)
class Cue:
    """Words from `start` to `end` (seconds). `speaker` is None where the file names nobody for them."""

    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True)
class Captions:
    """A file's cues. `voiced`: it tells speakers apart, be it without names; `bad` counts unreadable cues."""

    cues: list[Cue]
    voiced: bool
    bad: int

    def speakers(self) -> list[str]:
        """Names of the speakers, in the order in which they first speak."""
        return list(dict.fromkeys(cue.speaker for cue in self.cues if cue.speaker))


def read_captions(text: str, known: tuple[str, ...] = ()) -> Captions:
    """The cues of a file. Raises ValueError where there is not one.

    A prefix "Name: " tells a speaker when it comes twice, stands in capitals or after ">>", or is `known`.
    """
    lines = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    raw, bad = _cues(lines)
    if not raw:
        raise ValueError("no cue with a time (00:00:01.000 --> 00:00:02.000) in it")
    if any(_VOICE.search(body) for _, _, body in raw):
        cues = [cue for row in raw for cue in _voices(*row)]
        return Captions(_rolled(cues), True, bad)
    labels = _labels(raw, known)
    cues = []
    speaker: str | None = None
    changes = False
    for start, end, body in raw:
        for part in _parts(body, labels):
            name, words = _labelled(part, labels)
            if name:
                speaker = name
            elif _CHANGE.match(part):
                speaker, changes = None, True
            cues.append(Cue(start, end, _plain(_CHANGE.sub("", words)), speaker))
    return Captions(_rolled([cue for cue in cues if cue.text]), bool(labels) or changes, bad)


def speech(cues: list[Cue], own: set[str] | None) -> str:
    """What the speakers in `own` said (None: all), a paragraph until a pause or until somebody else speaks."""
    paragraphs: list[list[str]] = []
    before: Cue | None = None
    for cue in cues:
        if own is not None and cue.speaker not in own:
            before = None
            continue
        words = re.sub(r"\s*\n\s*", " ", cue.text).strip()
        if before is None or cue.start - before.end >= PAUSE:
            paragraphs.append([words])
        else:
            wide = _WIDE.match(paragraphs[-1][-1][-1:]) and _WIDE.match(words[:1])
            paragraphs[-1] += [words] if wide else [" ", words]
        before = cue
    return "\n\n".join("".join(parts) for parts in paragraphs)


def _cues(lines: list[str]) -> tuple[list[tuple[float, float, str]], int]:
    """Times and text of each cue, and how many had a broken time."""
    cues: list[tuple[float, float, str]] = []
    bad = at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        timing = _TIMING.match(line)
        if _BLOCK.match(line) and not timing:
            while at < len(lines) and lines[at].strip():
                at += 1
        elif not timing:
            bad += "-->" in line
            if "-->" in line:
                while at < len(lines) and lines[at].strip():
                    at += 1
        else:
            body: list[str] = []
            while at < len(lines) and "-->" not in lines[at]:
                if not lines[at].strip() and not _goes_on(lines, at):
                    break
                body.append(lines[at])
                at += 1
            if at < len(lines) and "-->" in lines[at] and body and re.fullmatch(r"\s*\d+\s*", body[-1]):
                body.pop()  # the next cue's number, without an empty line before it
            cues.append((_seconds(timing.group(1)), _seconds(timing.group(2)), "\n".join(body).strip()))
    return cues, bad


def _goes_on(lines: list[str], at: int) -> bool:
    """Whether after an empty line the cue's text goes on: no number, time or block follows."""
    following = [line for line in lines[at + 1 : at + 4] if line.strip()][:2]
    if following and following[0].strip().isdigit():
        return False
    return bool(following) and not any("-->" in line or _BLOCK.match(line) for line in following)


def _seconds(text: str) -> float:
    parts = [float(part) for part in text.replace(",", ".").split(":")]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _voices(start: float, end: float, body: str) -> list[Cue]:
    """A cue of several voices as one each; what stands before the first is nobody's."""
    pieces = _VOICE.split(body)
    rows = [(None, pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    return [
        Cue(start, end, words, html.unescape(name).strip() if name else None)
        for name, part in rows
        if (words := _plain(part))
    ]


def _labels(raw: list[tuple[float, float, str]], speakers: tuple[str, ...]) -> set[str]:
    """Prefixes that are speakers' names: alike in form to a name, and told as `read_captions` says."""
    counts: dict[str, int] = {}
    sure = {name.casefold() for name in speakers}
    labels: set[str] = set()
    for _, _, body in raw:
        lines = _bare(body)
        for number, line in enumerate(lines):
            label, bracketed = _LABEL.match(line), _BRACKETED.match(line)
            alone = bracketed is not None and bracketed.end() == len(line)
            if alone and not any(_plain(below) for below in lines[number + 1 :]):
                continue  # nothing is said below it in this cue: a sound
            name = label.group(3).strip() if label else bracketed.group(1).strip() if bracketed else ""
            if not _is_name(name):
                continue
            counts[name] = counts.get(name, 0) + 1
            marked = label and (label.group(1) or label.group(2) or (name.isupper() and len(name) > 2))
            if marked or name.casefold() in sure:
                labels.add(name)
    return labels | {name for name, count in counts.items() if count > 1}


def _is_name(text: str) -> bool:
    """Whether words have a name's form: few, with capitals (or in a script without), no sound's."""
    words = text.split()
    particles = ("de", "da", "van", "von", "der", "den", "bin", "al")
    return (
        0 < len(words) <= 5
        and not _NO_NAME.match(text)
        and all(_NAME.fullmatch(word) or word.isdigit() for word in words)
        and all(not word[:1].islower() or word in particles for word in words)
    )


def _labelled(line: str, labels: set[str]) -> tuple[str | None, str]:
    """The speaker whose name a line begins with, and the rest of it."""
    if (label := _LABEL.match(line)) and label.group(3).strip() in labels:
        return label.group(3).strip(), line[label.end() :]
    if (label := _BRACKETED.match(line)) and label.group(1).strip() in labels:
        return label.group(1).strip(), line[label.end() :]
    return None, line


def _bare(body: str) -> list[str]:
    return html.unescape(_TAG.sub("", body)).split("\n")


def _parts(body: str, labels: set[str]) -> list[str]:
    """A cue cut where within it the speaker changes."""
    parts: list[str] = []
    for line in _bare(body):
        if not parts or _labelled(line, labels)[0] or _CHANGE.match(line):
            parts.append(line)
        else:
            parts[-1] += f"\n{line}"
    return parts


def _plain(text: str) -> str:
    """Spoken words: no tags, no sounds; hesitations stay as they are."""
    shown = html.unescape(_TAG.sub("", text)).replace("\u200e", "").replace("\u200b", "")
    lines = (re.sub(r"[ \t\xa0]+", " ", _SOUND.sub(" ", line)).strip() for line in shown.split("\n"))
    return "\n".join(line.removeprefix("- ") for line in lines if line and line != "-")


def _rolled(cues: list[Cue]) -> list[Cue]:
    """Cues without what they repeat, where the file rolls: each shows the last one's line above its own.

    A file rolls when a quarter of its cues begin with the cue before or with its last line.
    """

    def repeats(before: Cue, after: Cue) -> bool:
        return after.start - before.end < 1 and (
            after.text.startswith(before.text) or after.text.split("\n")[0] == before.text.split("\n")[-1]
        )

    pairs = list(pairwise(cues))
    if len(cues) < 3 or sum(repeats(a, b) for a, b in pairs) < len(pairs) / 4:
        return cues
    rolled: list[Cue] = []
    shown: list[str] = []
    for cue in cues:
        lines = cue.text.split("\n")
        overlap = max(
            (n for n in range(min(len(lines), len(shown)) + 1) if not n or shown[-n:] == lines[:n]), default=0
        )
        fresh = lines[overlap:]
        if rolled and fresh and shown and not overlap and fresh[0].startswith(shown[-1] + " "):
            fresh[0] = fresh[0].removeprefix(shown[-1]).strip()  # a line that grows word by word
            shown[-1] = lines[0]
        shown = (shown + lines[overlap:])[-6:]
        if any(fresh):
            rolled.append(Cue(cue.start, cue.end, "\n".join(fresh), cue.speaker))
        elif rolled:
            last = rolled[-1]
            rolled[-1] = Cue(last.start, max(last.end, cue.end), last.text, last.speaker)
    return rolled
