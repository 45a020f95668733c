"""Python's garbage collector, for programs that import much: of torch, transformers and Axolotl it follows some 660,000
objects, which live as long as the program."""

import atexit
import gc

# For gc.set_threshold. Python's own, from 700 new objects on, are for small programs.
SELDOM = (50_000, 20, 100)


def look_seldom() -> None:
    """Call before the imports: the collector looks seldom while they run, and not at all at the program's end.

    A process that imports Axolotl starts and ends some five seconds sooner for it: at its end Python would look through
    all that was imported for circles, only to give the memory back a moment before the system takes it.
    """
    gc.set_threshold(*SELDOM)
    atexit.register(gc.freeze)
