"""Kept threads: the talks that a signed-in caller keeps with a persona. `stored` says how they lie in the lake."""

from twin_assets.inference.twin.threads.kept import Thread, ThreadPage, Threads, ThreadSummary
from twin_assets.inference.twin.threads.stored import ThreadFull, ThreadsNotKept, ThreadTurn, UnknownThread

__all__ = [
    "Thread",
    "ThreadFull",
    "ThreadPage",
    "ThreadSummary",
    "ThreadTurn",
    "Threads",
    "ThreadsNotKept",
    "UnknownThread",
]
