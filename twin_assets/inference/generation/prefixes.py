"""What prompts of a version begin with in common, read once: a persona's system turn, and the writing samples in it.

As prefix caching in vLLM (Kwon et al., SOSP 2023), by whole prompts instead of blocks: prompts of one version differ in what
is asked, which comes last. What they share is found out by comparing them, so that nobody has to say where it ends.
"""

import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

# Fewer tokens take no longer to read than to copy.
MIN_TOKENS = 48
# Kept by one engine, of all versions together. Of SmolLM2-135M a token takes 23 kB, of an 8B model 131 kB.
MAX_TOKENS = 4096
MAX_PREFIXES = 4  # of one version


class Prefix(NamedTuple):
    """Tokens and what the model made of them: for each layer a key and a value, shape (1, heads, tokens, size)."""

    tokens: tuple[int, ...]
    layers: list[tuple[Any, Any]]


class Prefixes:
    """The prefixes of an engine's versions, the least used going first. Used by the engine's thread alone."""

    def __init__(self, most: int = MAX_TOKENS) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, ...], tuple[weakref.ref[Any], Prefix]] = OrderedDict()
        self._last: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()

    @property
    def tokens(self) -> int:
        """How many are kept."""
        return sum(len(prefix.tokens) for _, prefix in self._kept.values())

    def known(self, version: Hashable, prompts: Sequence[list[int]]) -> Prefix | None:
        """The longest that all of these prompts begin with and none ends with."""
        self._kept = OrderedDict(kept for kept in self._kept.items() if kept[1][0]() is not None)
        begun = [
            (len(prefix.tokens), key)
            for key, (owner, prefix) in self._kept.items()
            if owner() is version and all(_begins(prompt, prefix.tokens) for prompt in prompts)
        ]
        if not begun:
            return None
        self._kept.move_to_end(max(begun)[1])
        return self._kept[max(begun)[1]][1]

    def worth_keeping(self, version: Hashable, prompts: Sequence[list[int]]) -> int:
        """How many tokens these prompts share with each other, and one alone with the one before it; 0 for few."""
        before = [] if len(prompts) > 1 else [last] if (last := self._last.get(version)) else []
        self._last[version] = prompts[-1]
        compared = [*before, *prompts]
        if len(compared) < 2:
            return 0
        shared = min(_common(compared[0], other) for other in compared[1:])
        # The last token's logits are wanted, so that one at least is read with its own prompt.
        shared = min(shared, min(map(len, prompts)) - 1, self._most)
        return shared if shared >= MIN_TOKENS else 0

    def keep(self, version: Any, prefix: Prefix) -> None:
        """Keep one, and let the least used go: of its version beyond MAX_PREFIXES, of all beyond the limit of tokens."""
        self._kept[(id(version), *prefix.tokens)] = weakref.ref(version), prefix
        own = [key for key, (owner, _) in self._kept.items() if owner() is version]
        for key in own[:-MAX_PREFIXES]:
            del self._kept[key]
        while self.tokens > self._most:
            self._kept.popitem(last=False)


def _begins(prompt: list[int], tokens: tuple[int, ...]) -> bool:
    return len(prompt) > len(tokens) and tuple(prompt[: len(tokens)]) == tokens


def _common(one: list[int], other: list[int]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
