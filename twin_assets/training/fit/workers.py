"""Several processes that train one model, one a GPU, one a Ray worker, or some on a CPU, and how they share a batch."""

from collections.abc import Callable
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.fit.machine import Machine


def worker_count(job: TrainingJob, machine: Machine) -> int:
    """Processes that will train this job: the Ray workers, or one for each GPU of the machine, or its CPU workers."""
    return job.ray.workers if job.ray else machine.gpus or job.cpu_workers


def least_at_once(config: dict[str, Any]) -> int:
    """KTO pairs each prompt with the text of another row of its batch, so it needs two."""
    return 2 if config.get("rl") == "kto" else 1


def share_batch(
    config: dict[str, Any], workers: int, fits: Callable[[int], bool] | None = None
) -> dict[str, int]:
    """micro_batch_size and gradient_accumulation_steps with which `workers` learn from as many rows a step
    as one would: where a job runs must not change what is learnt.

    A worker takes as many rows at once as fit, at least `least_at_once`; without `fits`, no more than the config says.
    Raises TwinError when the rows of a step can't be shared evenly.
    """
    micro, steps = int(config["micro_batch_size"]), int(config.get("gradient_accumulation_steps") or 1)
    each, left_over = divmod(micro * steps, workers)
    if left_over:
        raise TwinError(
            f"A step of {micro * steps} rows can't be shared evenly by {workers} workers.",
            "take a number that divides micro_batch_size × gradient_accumulation_steps: TWIN_RAY_WORKERS, or on "
            "one machine CUDA_VISIBLE_DEVICES or TWIN_TRAINING_CPU_WORKERS.",
        )
    whole = [size for size in range(least_at_once(config), each + 1) if each % size == 0]
    if not whole:
        raise TwinError(
            "KTO compares the rows that a worker takes at once, and a step has one for each worker.",
            "train with fewer workers, or raise micro_batch_size × gradient_accumulation_steps.",
        )
    at_once = max((size for size in whole if (fits(size) if fits else size <= micro)), default=whole[0])
    return {"micro_batch_size": at_once, "gradient_accumulation_steps": each // at_once}
