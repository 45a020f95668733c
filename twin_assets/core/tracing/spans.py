"""Spans of a request that is traced; one that isn't has none, and costs a look at a variable.

A service begins a request's first span (`export.py`), and whatever runs below it adds its own by `span` and `spanned`. The
current span is in a context variable, as OpenTelemetry has it; a generator that is read by several threads takes its own
along (`below`). Names and attributes are those of OpenTelemetry's conventions for generative AI, and `twin.*` beside them.
"""

from asyncio import CancelledError
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, Protocol, TypeVar

Kind = Literal["internal", "client", "server"]
Attribute = str | bool | int | float | Sequence[str] | Sequence[float] | None
Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Span(Protocol):
    """One span that is open. `texts` says whether it may hold what was asked and written; its children have it from it."""

    texts: bool

    def child(self, name: str, kind: Kind = "internal") -> "Span":
        """A span that begins now, below this one."""
        ...

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes; those that are None are left out."""
        ...

    def fail(self, error: BaseException) -> None:
        """It went wrong: by the kind of the error alone, since its words may be anybody's."""
        ...

    def end(self) -> None: ...

    def headers(self) -> dict[str, str]:
        """What tells another service that it works below this span: W3C's `traceparent`."""
        ...


_current: ContextVar[Span | None] = ContextVar("span", default=None)
_nothing: AbstractContextManager[None] = nullcontext()


def current_span() -> Span | None:
    """The innermost span that is open here; None where nothing is traced."""
    return _current.get()


def span(name: str, kind: Kind = "internal") -> AbstractContextManager[Span | None]:
    """A span for the block, below the current one; None where nothing is traced."""
    parent = _current.get()
    return _nothing if parent is None else _open(parent.child(name, kind))


def spanned(
    name: str, pieces: Generator[Piece, None, Result], kind: Kind = "internal"
) -> Generator[Piece, None, Result]:
    """The same pieces, made below a span of their own; `pieces` itself where nothing is traced."""
    parent = _current.get()
    return pieces if parent is None else below(parent.child(name, kind), pieces)


@contextmanager
def ending(own: Span) -> Iterator[Span]:
    """A span that ends with the block. An error is told by its kind; whoever stops listening is none."""
    try:
        yield own
    except (GeneratorExit, CancelledError):
        own.note({"twin.left": True})
        raise
    except BaseException as error:
        own.fail(error)
        raise
    finally:
        own.end()


def whole(first: Span | None) -> AbstractContextManager[Span | None]:
    """A request's first span for the block."""
    return _nothing if first is None else _open(first)


@contextmanager
def begun(first: Span | None) -> Iterator[None]:
    """A request's first span for a block that it outlives: it ends here only where the block raises."""
    if first is None:
        yield
        return
    token = _current.set(first)
    try:
        yield
    except BaseException as error:
        first.fail(error)
        first.end()
        raise
    finally:
        _current.reset(token)


def below(own: Span | None, pieces: Generator[Piece, None, Result]) -> Generator[Piece, None, Result]:
    """The same pieces, made below a span, which ends with them; it must be read once at least."""
    return pieces if own is None else _below(own, pieces)


def _below(own: Span, pieces: Generator[Piece, None, Result]) -> Generator[Piece, None, Result]:
    with ending(own):
        try:
            while True:
                token = _current.set(own)
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                finally:
                    _current.reset(token)  # whoever reads may be in another context at the next one
                yield piece
        finally:
            token = _current.set(own)
            try:
                pieces.close()
            finally:
                _current.reset(token)


@contextmanager
def _open(own: Span) -> Iterator[Span]:
    with ending(own):
        token = _current.set(own)
        try:
            yield own
        finally:
            _current.reset(token)
