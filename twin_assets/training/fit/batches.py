"""How many rows a job's processes take at once: a matter of hardware, so it is decided at launch and never hashed."""

from twin_assets.core.models.families import Architecture
from twin_assets.training.configs.job import TrainingJob
from twin_assets.training.fit.estimate import fit_batch
from twin_assets.training.fit.machine import Machine
from twin_assets.training.fit.workers import share_batch, worker_count


def launch_batch(job: TrainingJob, machine: Machine) -> dict[str, int]:
    """micro_batch_size and gradient_accumulation_steps of each process, where they are not the job's own.

    Their product, over all processes, stays the job's. A GPU takes as many rows at once as keep it
    computing, where they fit: with few, a small model leaves it waiting for kernel launches; a CPU, and the workers of Ray, whose GPUs nobody
    sees from here, take the config's. TWIN_TRAINING_MICRO_BATCH overrides all of it.
    """
    own = {"gradient_accumulation_steps": 1} | job.config
    names = ("micro_batch_size", "gradient_accumulation_steps", "sequence_len")
    if not all(isinstance(own[name], int) for name in names):
        return {}  # Axolotl's own schema names it
    workers = worker_count(job, machine)
    shape, most = Architecture.of_folder(job.parent_path), job.micro_batch
    if most:
        batch = share_batch(job.config, workers, lambda rows: rows <= most)
    elif machine.gpus and shape and not job.ray:
        batch = fit_batch(shape, job.config, machine, workers)
    else:
        batch = share_batch(job.config, workers)
    return {name: value for name, value in batch.items() if value != own[name]}
