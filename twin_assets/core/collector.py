"""Python's garbage collector, for programs that import much: torch, transformers and Axolotl make some two million objects
that live as long as the program."""

import atexit
import gc

_YOUNGEST = 50_000  # objects made before the youngest are looked at; Python's own 700 is for small programs


def look_seldom() -> None:
    """Call before the imports: the collector looks seldom while they run, and not at all at the program's end.

    A process that imports Axolotl starts and ends some five seconds sooner for it: at its end Python would look through
    all that was imported for circles, only to give the memory back a moment before the system takes it.
    """
    gc.set_threshold(_YOUNGEST, 20, 100)
    atexit.register(gc.freeze)
