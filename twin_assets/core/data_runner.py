"""Work on many rows, on this machine or on the nodes of a Ray cluster, again where a node was lost.

Two kinds: a pure Python function of one row (`map_rows`, by Ray's tasks), and what Daft computes itself (`plan_rows`). A Python
function does not go through Daft: it would run in the threads of one process a node, one core of it, or in processes that start
anew with each plan, and an import of the platform or of a model takes seconds.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from daft import Expression

Runner = Literal["native", "ray"]
T = TypeVar("T")
R = TypeVar("R")

# How often a node may be lost with the same rows.
MOST_LOSSES = 2


def map_rows(
    function: Callable[[T], R],
    rows: Iterable[T],
    runner: Runner | None = "native",
    *,
    partition: int,
    uses_all_cores: bool = False,
    threads_as_here: bool = False,
) -> Iterator[R]:
    """`function` of each row, in the order of the rows, which are taken as results are asked for.

    On this machine (`native`) it is called here, row by row. On Ray (the cluster that Ray finds, a local one otherwise) a
    task takes `partition` rows and a core, or a node's where the function `uses_all_cores` by itself; two tasks for each
    place are under way, so that this machine holds their rows and results and no others. The function is pickled once,
    and not at all without rows. Every node needs the platform. The last digits of a matrix product hang on how many threads
    share it: with `threads_as_here` a task has as many as this process, and as many cores, or a node's where that is fewer.
    None leaves it to `DAFT_RUNNER`. What the function raises comes out as it is, so that one bad row stops all:
    it should return what is wrong with a row. Where nodes are lost too often, Ray's error comes out.
    """
    if not on_ray(runner):
        yield from map(function, rows)
        return
    import ray

    rest = iter(rows)
    if not (part := list(islice(rest, partition))):
        return
    if not ray.is_initialized():
        ray.init()
    threads = _product_threads() if threads_as_here else None
    cores = _cores_of_a_node() if uses_all_cores else min(threads or 1, _cores_of_a_node())
    # A result that was lost with its node is made again too.
    task = ray.remote(_each).options(num_cpus=cores, max_retries=MOST_LOSSES)
    # What the function holds is sent to a node once, not with each task.
    shared = ray.put(function)
    under_way: deque[Any] = deque()
    while part:
        under_way.append(task.remote(shared, part, threads))
        if len(under_way) > 2 * ray.cluster_resources().get("CPU", 0) / cores:
            yield from _made(under_way.popleft())
        part = list(islice(rest, partition))
    while under_way:
        yield from _made(under_way.popleft())


def on_ray(runner: Runner | None) -> bool:
    """Whether `runner`, or Daft's own setting where it is None, is a cluster."""
    return (runner or os.environ.get("DAFT_RUNNER", "native")).lower() == "ray"


def _made(task: Any) -> Any:
    """A task's results. Raises what the function raised: Ray's own error says a traceback in the place of the message."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(task)
    except RayTaskError as error:
        raise error.cause from error


def _each(function: Callable[[T], R], rows: list[T], threads: int | None) -> list[R]:
    if threads is None:
        return [function(row) for row in rows]
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, "blas"):
        return [function(row) for row in rows]


def _product_threads() -> int:
    """Threads that share a matrix product of this process."""
    from threadpoolctl import threadpool_info

    return max((one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"), default=1)


def _cores_of_a_node() -> int:
    """Of the smallest node that has any, so that each such node takes one task."""
    import ray

    cores = (int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    return min(filter(None, cores), default=1)


def plan_rows(
    table: pa.Table,
    column: str,
    plan: "Callable[[Expression], Expression]",
    runner: Runner | None,
    *,
    partition: int,
) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """What Daft's `plan` makes of a column, as it comes: places in the table, int64 of shape (n,), and as many results.

    Each row comes once. A node, or a thread of this machine, takes `partition` rows at a time. `runner` is `native` (this
    machine) or `ray` (the cluster that Ray finds, a local one otherwise); None leaves it to Daft's own setting,
    `DAFT_RUNNER`. Raises RuntimeError where this process already uses the other runner, as Daft cannot change it, and
    Ray's error where nodes are lost too often.
    """
    _use(runner)
    done = np.zeros(len(table), bool)
    numbered = table.append_column("at", pa.array(np.arange(len(table))))
    for losses_left in reversed(range(MOST_LOSSES + 1)):
        try:
            # Copied only where some are done.
            left = numbered.filter(pa.array(~done)) if done.any() else numbered
            for places, results in _planned(left, column, plan, partition):
                done[places] = True
                yield places, results
            return
        except _node_lost():
            if not losses_left:
                raise


def _planned(
    table: pa.Table, column: str, plan: "Callable[[Expression], Expression]", partition: int
) -> Iterator[tuple[np.ndarray, pa.Array]]:
    import daft

    frame = daft.from_arrow([table.slice(at, partition) for at in range(0, len(table), partition)])
    for batch in frame.select(daft.col("at"), plan(daft.col(column)).alias("made")).to_arrow_iter():
        yield batch.column("at").to_numpy(), batch.column("made")


def _node_lost() -> tuple[type[Exception], ...]:
    """What Ray raises where a node is lost with what it had made, which Daft does not make again; nothing on one machine."""
    from daft import runners

    if runners.get_or_infer_runner_type() != "ray":
        return ()
    from ray.exceptions import RayError

    return (RayError,)


def _use(runner: Runner | None) -> None:
    if runner is None:
        return
    from daft import runners

    cause: Exception | None = None
    try:
        if runner == "ray":
            runners.set_runner_ray(noop_if_initialized=True)
        else:
            runners.set_runner_native()
    except Exception as error:
        # Daft refuses a second choice, the same one too.
        cause = error
    if (used := runners.get_or_infer_runner_type()) != runner:
        raise RuntimeError(
            f"Daft's runner in this process is {used!r} and cannot become {runner!r}. "
            "Fix: choose it before Daft's first use, or set DAFT_RUNNER."
        ) from cause
