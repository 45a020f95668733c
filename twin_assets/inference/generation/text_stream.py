"""Turns tokens into text as they come: whole characters only, and nothing of a stop string or of a thought."""

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"  # what a decoder writes for a character whose bytes aren't all there
# As Qwen 3 and 3.5 and SmolLM3, Mistral's, and Gemma 4 mark them.
_PAIRS = {"<think>": "</think>", "[THINK]": "[/THINK]", "<|channel>": "<channel|>"}
# Harmony (gpt-oss) gives every message a channel, named between the first two; `final` alone is the answer.
_CHANNEL, _MESSAGE = "<|channel|>", "<|message|>"
_OTHERS = (_CHANNEL, "<|start|>", "<|end|>", "<|call|>", "<|constrain|>")
_ANSWER = "final"
_LOOKED_BACK = 4  # tokens: what a prompt that opens a thought has after its mark is at most white space
# The same where a tokenizer has no single token for it: told by the text, at its beginning alone.
_SPELLED = ("<think>", "</think>")


class TextStream:
    """The text of one answer. Space at its beginning and end is left out, and what a model thinks before it answers.

    `stopped` is true once a stop string was written; the text ends before it.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...] = (), prompt: Sequence[int] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._thoughts = Thoughts(tokenizer, prompt)
        self._tokens: list[int] = []
        self._shown = 0  # tokens before which everything is in `_held` or was given
        self._held = ""
        self._begun = False
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain now."""
        hidden = self._thoughts.hides(token)
        self._thoughts.take(token)
        if hidden:
            return ""
        self._tokens.append(token)
        if (fresh := self._fresh()).endswith(_BROKEN):
            return ""
        self._shown = len(self._tokens)
        self._held += fresh
        return "" if self._thinks() else self._given(self._settled())

    def hides(self, token: int) -> bool:
        """Whether the token, were it the next one, would be no part of the text."""
        return self._thoughts.hides(token)

    @property
    def begun(self) -> bool:
        """Whether there is more than space, given or held back."""
        return self._begun or bool(self._held.strip() and not self._thinks())

    def rest(self) -> str:
        """What was held back, once no more tokens come; without half a character, or a thought that did not end."""
        if self._thinks() and self._held.lstrip().startswith(_SPELLED[0]):
            return ""
        held = "" if self.stopped else self._held + self._fresh().rstrip(_BROKEN)
        return held.rstrip() if self._begun else held.strip()

    def _thinks(self) -> bool:
        """Whether the text so far is a thought, or may become one; one that has ended is taken out."""
        opens, closes = _SPELLED
        if self._begun or not (held := self._held.lstrip()):
            return False
        if held.startswith(opens):
            _, closed, after = held.partition(closes)
            if not closed:
                return True
            self._held = after
            return False
        return opens.startswith(held)

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


class Thoughts:
    """Which tokens of one text are what a reasoning model thinks before it answers, or their marks. A tokenizer without such
    marks has none."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int] = ()) -> None:
        """`prompt` may have opened a thought already."""
        self._tokenizer = tokenizer
        self._opens = {t for mark in _PAIRS if (t := _token(tokenizer, mark)) is not None}
        self._closes = {t for mark in _PAIRS.values() if (t := _token(tokenizer, mark)) is not None}
        self._message = _token(tokenizer, _MESSAGE)
        self._between: set[int] = set()
        if self._message is not None and _token(tokenizer, _CHANNEL) is not None:
            self._between = {t for mark in _OTHERS if (t := _token(tokenizer, mark)) is not None}
        ends = {self._message} if self._message is not None and self._between else set()
        self._marks = self._opens | self._closes | self._between | ends
        self._named: list[int] = []  # the channel, while it is being named
        self._thinking = self._opened_by(prompt[-_LOOKED_BACK:])

    def hides(self, token: int) -> bool:
        """Whether the token, were it the next one, would be no part of the answer."""
        return self._thinking or token in self._marks

    def take(self, token: int) -> None:
        """Go on after the token."""
        if token in self._opens:
            self._thinking = True
        elif token in self._closes:
            self._thinking = False
        elif token in self._between:
            self._thinking, self._named = True, []
        elif token == self._message and self._between:
            self._thinking = not str(self._tokenizer.decode(self._named)).strip().startswith(_ANSWER)
        elif self._thinking and self._between and len(self._named) <= _LOOKED_BACK:
            self._named.append(token)

    def _opened_by(self, last: Sequence[int]) -> bool:
        for token in reversed(last):
            if token in self._opens:
                return True
            if token in self._marks or str(self._tokenizer.decode([token])).strip():
                return False
        return False


def _token(tokenizer: Any, mark: str) -> int | None:
    """The mark's token; None where it is not one."""
    token = tokenizer.convert_tokens_to_ids(mark)
    return token if isinstance(token, int) and tokenizer.convert_ids_to_tokens(token) == mark else None
