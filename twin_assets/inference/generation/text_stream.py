"""Turns tokens into text as they come: whole characters only, and nothing of a stop string."""

from typing import Any

_BROKEN = "\ufffd"  # what a decoder writes for a character whose bytes aren't all there


class TextStream:
    """The text of one answer. Space at its beginning and end is left out.

    `stopped` is true once a stop string was written; the text ends before it.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._tokens: list[int] = []
        self._shown = 0  # tokens before which everything is in `_held` or was given
        self._held = ""
        self._begun = False
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain now."""
        self._tokens.append(token)
        if (fresh := self._fresh()).endswith(_BROKEN):
            return ""
        self._shown = len(self._tokens)
        self._held += fresh
        return self._given(self._settled())

    @property
    def begun(self) -> bool:
        """Whether there is more than space, given or held back."""
        return self._begun or bool(self._held.strip())

    def rest(self) -> str:
        """What was held back, once no more tokens come; without half a character."""
        held = "" if self.stopped else self._held + self._fresh().rstrip(_BROKEN)
        return held.rstrip() if self._begun else held.strip()

    def _fresh(self) -> str:
        # A token's text depends on the one before it (spaces), so it is decoded beside that one.
        context = self._tokens[max(self._shown - 1, 0) : self._shown]
        return self._decode([*context, *self._tokens[self._shown :]])[len(self._decode(context)) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _settled(self) -> int:
        """How many characters of what is held can't become part of a stop string or of the end's space."""
        stops = [self._held.index(s) for s in self._stop if s in self._held]
        self.stopped = bool(stops)
        begun = [
            len(self._held) - n for s in self._stop for n in range(1, len(s)) if self._held.endswith(s[:n])
        ]
        return len(self._held[: min(stops or begun, default=None)].rstrip())

    def _given(self, length: int) -> str:
        piece, self._held = self._held[:length], self._held[length:]
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        return piece
