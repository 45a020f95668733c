"""What is decided about a job at its launch, since it is a matter of hardware, and never hashed: the options of a GPU, and how
many rows the job's processes take at once."""

from dataclasses import dataclass
from typing import Any

from twin_assets.core.models.families import Architecture
from twin_assets.settings import GpuOption
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.fit.estimate import fit_batch
from twin_assets.training.fit.gpu import gpu_options, gpu_values
from twin_assets.training.fit.machine import Machine
from twin_assets.training.fit.workers import share_batch, worker_count


@dataclass(frozen=True)
class Launch:
    """`values` replace those of the job's configuration; `options` are the GPU's that are among them, by name."""

    values: dict[str, Any]
    options: tuple[GpuOption, ...] = ()


def launch(job: TrainingJob, machine: Machine, tokens: float) -> Launch:
    """What the machine changes of a job whose training rows have so many `tokens` together, prompts included.

    The workers of Ray, whose GPUs nobody sees from here, take the config as it is.
    """
    if job.ray or not machine.gpus:
        return Launch(launch_batch(job, machine, job.config))
    options = gpu_options(job.config, job.parent_path, machine, job.gpu_options)
    # The job may have been made where there is no GPU: the number format is that of the card which trains.
    values = {"bf16": "auto"} | gpu_values(options, job.config.get("plugins", []))
    config = job.config | values
    if "packing" in options and _counted(job.config):
        config |= _packed_step(config, tokens / job.rows["train"])
    return Launch(values | launch_batch(job, machine, config), tuple(options))


def launch_batch(job: TrainingJob, machine: Machine, config: dict[str, Any]) -> dict[str, int]:
    """micro_batch_size and gradient_accumulation_steps of each process, where they are not the job's own.

    Their product, over all processes, stays that of `config`. A GPU takes as many rows at once as keep it
    computing, where they fit: with few, a small model leaves it waiting for kernel launches; a CPU, and the workers of Ray, take
    the config's. TWIN_TRAINING_MICRO_BATCH overrides all of it.
    """
    if not _counted(job.config):
        return {}  # Axolotl's own schema names it
    own = {"gradient_accumulation_steps": 1} | job.config
    workers = worker_count(job, machine)
    shape, most = Architecture.of_folder(job.parent_path), job.micro_batch
    if most:
        batch = share_batch(config, workers, lambda rows: rows <= most)
    elif machine.gpus and shape and not job.ray:
        batch = fit_batch(shape, config, machine, workers)
    else:
        batch = share_batch(config, workers)
    return {name: value for name, value in batch.items() if value != own[name]}


def _packed_step(config: dict[str, Any], row_tokens: float) -> dict[str, int]:
    """A step of as many packs as hold about as many rows as a step of the config has: what a step learns from stays."""
    rows = int(config["micro_batch_size"]) * int(config.get("gradient_accumulation_steps") or 1)
    packs = max(1, round(rows * row_tokens / int(config["sequence_len"])))
    return {"micro_batch_size": 1, "gradient_accumulation_steps": packs}


def _counted(config: dict[str, Any]) -> bool:
    names = ("micro_batch_size", "gradient_accumulation_steps", "sequence_len")
    return all(isinstance(config.get(name, 1), int) for name in names)
