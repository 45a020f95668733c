"""Whom a voice is told from: the persona's named impostors, fetched writers, and prose that is on every machine.

A persona's own texts are never among them, under whatever name, and nobody of another language is: telling Japanese from
English would look like telling one person from another.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.persona.impostors import ATTRIBUTION
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.instrument import MIN_WRITERS
from twin_assets.evaluation.voice.package_prose import package_prose
from twin_assets.evaluation.voice.stylometry import WINDOW, tokens, word_count

# Of a writer's words, this share may stand in the persona's texts in runs of eight: quotations, not the same text.
MOST_SHARED = 0.03
# The author's commonest words, and which share of the author's use of them another writer of the language reaches.
COMMON, SAME_LANGUAGE = 100, 0.5
OTHER_LANGUAGE = "it is in another language"
# From so many windows of other people on, packages' prose makes the figure worse (docs/evaluation.md).
ENOUGH = 100
# Every third writer, by name, is told from only where a text is chosen or rewarded: who chooses does not judge.
EVERY = 3


@dataclass(frozen=True)
class Background:
    """People by name, and packages' maintainers where the people's texts are few. `left_out` says of others why."""

    people: dict[str, list[str]]
    packages: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def no_figure(self) -> str | None:
        """Why no figure of voice can be given at all: everybody who is known writes in another language."""
        others = sum(why == OTHER_LANGUAGE for why in self.left_out.values())
        if self.people or not others:
            return None
        return (
            f"there is no figure for this language: none of {others} other writers who are known writes in it, and who differ in "
            "language would look like other people; name folders of writers of the language under `impostors:`"
        )

    def rewarding(self) -> dict[str, list[str]]:
        """Whom a reward tells the author from. Raises TwinError with too few for it and for a judge who never was that reward."""
        rewards = {name: self.people[name] for name in sorted(self.people)[1::EVERY]}
        if len(rewards) < MIN_WRITERS:
            raise TwinError(
                f"GRPO's reward and its judge tell the author from different people, and {len(self.people)} other writers are known.",
                f"{EVERY * MIN_WRITERS - 1} are needed: name folders under `impostors:`, or run `twin impostors fetch`.",
            )
        return rewards

    def without(self, names: Container[str]) -> "Background":
        """Everybody else: by whom a judge tells the author from."""
        return replace(self, people={name: texts for name, texts in self.people.items() if name not in names})

    @property
    def weakness(self) -> str | None:
        """What a reader must know of a figure that rests on this; None if it is as good as what was measured."""
        if _windows(self.people) >= ENOUGH:
            return None
        return (
            f"it is told from little writing of {len(self.people)} other people, so that a stranger may stand far too high: "
            "`twin impostors fetch` mends that"
        )


def gather(
    names: Iterable[str], own: Sequence[str], named: dict[str, list[str]], folder: Path | None = None,
    packages: bool = True,
) -> Background:  # fmt: skip
    """Everybody the persona called one of `names`, with the texts `own`, can be told from.

    `named` are impostors that the persona chose; `folder` has a folder of Markdown or plain text for each further writer.
    Raises TwinError on a folder without either or that isn't UTF-8.
    """
    called = [name.casefold() for name in names if len(name) > 3]
    people: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    check, spoken = CopyCheck(list(own)), _Language(own)
    folders = sorted(p for p in folder.iterdir() if _is_writer(p)) if folder and folder.is_dir() else []
    named_and_fetched = [(name, "", texts) for name, texts in named.items()]
    named_and_fetched += [
        (path.name, _attribution(path), texts)
        for path in folders
        for texts in read_impostors([path]).values()
    ]

    def wanted(name: str, about: str, texts: Sequence[str]) -> bool:
        if any(one in f"{name} {about}".casefold() for one in called):
            left_out[name] = "it bears the persona's name"
        elif not spoken.is_of(texts):
            left_out[name] = OTHER_LANGUAGE
        elif check.report(list(texts)).copied_share > MOST_SHARED:
            left_out[name] = "it holds text of the persona's"
        return name not in left_out

    for name, about, texts in named_and_fetched:
        if name not in people and wanted(name, about, texts):
            people[name] = texts
    more = package_prose() if packages and _windows(people) < ENOUGH else {}
    chosen = {name: list(texts) for name, texts in more.items() if wanted(name, " ".join(texts), texts)}
    return Background(people, chosen, left_out)


def _windows(writers: dict[str, list[str]]) -> int:
    return sum(word_count(texts) // WINDOW for texts in writers.values())


class _Language:
    """Whether texts are in the language of others: by the use of these others' commonest words."""

    def __init__(self, own: Sequence[str]) -> None:
        counts = Counter(word for text in own for word in _words(text))
        self._common = {word for word, _ in counts.most_common(COMMON)}
        self._share = self._use(counts)

    def is_of(self, texts: Sequence[str]) -> bool:
        counts = Counter(word for text in texts[:20] for word in _words(text))
        return bool(counts) and self._use(counts) >= SAME_LANGUAGE * self._share

    def _use(self, counts: Counter[str]) -> float:
        return sum(counts[word] for word in self._common) / max(counts.total(), 1)


def _words(text: str) -> list[str]:
    return [token for token in tokens(text[:50_000]) if token[0].isalpha()]


def _is_writer(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _attribution(path: Path) -> str:
    """The author's line of an attribution; pieces' titles may name the persona and be another's."""
    try:
        return (path / ATTRIBUTION).read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    except OSError:
        return ""
