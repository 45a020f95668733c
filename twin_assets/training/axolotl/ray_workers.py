"""Trains on the workers of a Ray cluster: `python -m twin_assets.training.axolotl.ray_workers JOB.json`.

The workers run Axolotl's own Ray entry point. Axolotl's command line is not used, because it asks Ray
for GPUs always. Without RAY_ADDRESS a cluster of this one machine is started. The job's folder, the
dataset and the parent must be at the same paths on every node.
"""

import os
import sys
from pathlib import Path
from typing import Any

from twin_assets.training.axolotl.cpu_workers import join_cpu_group
from twin_assets.training.axolotl.process import run_environment
from twin_assets.training.configs.job import RayWorkers, TrainingJob


def train(job: TrainingJob, workers: RayWorkers) -> None:
    """Run the job to its end; raises what its first failing worker raised."""
    import ray
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    environment = run_environment(job) | ({} if workers.gpus else {"ACCELERATE_USE_CPU": "true"})
    own = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": _cpus(workers), "include_dashboard": False}
    ray.init(runtime_env={"env_vars": environment}, **own)
    if own and ray.cluster_resources().get("GPU", 0) < workers.workers * workers.gpus:
        # Ray would wait for more machines, which nobody adds to a cluster of one.
        raise RuntimeError(f"no GPU found for each of the {workers.workers} workers")
    # Axolotl settled ddp for this process, which is alone. The workers must settle it for themselves, or
    # they count the steps of an epoch as if each read all rows, and train too long.
    config = load_cfg(str(job.config_file)).to_dict() | {"ddp": None}
    try:
        TorchTrainer(
            _work,
            train_loop_config={"cfg": config, "cli_args": TrainerCliArgs()},
            scaling_config=ScalingConfig(
                num_workers=workers.workers,
                use_gpu=workers.gpus > 0,
                resources_per_worker=resources(workers),
            ),
            run_config=RunConfig(name=job.lineage.inputs_hash, storage_path=str(job.folder / "ray")),
        ).fit()
    finally:
        ray.shutdown()


def _work(given: dict[str, Any]) -> None:
    """What every worker does."""
    from axolotl.cli.train import ray_train_func

    if os.environ.get("ACCELERATE_USE_CPU"):
        join_cpu_group()
    ray_train_func(given)


def resources(workers: RayWorkers) -> dict[str, int]:
    """One worker's share of the cluster, in Ray's names."""
    return {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})


def _cpus(workers: RayWorkers) -> int:
    return max(os.cpu_count() or 1, workers.workers * workers.cpus)


if __name__ == "__main__":
    given = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
    assert given.ray is not None, "the job was prepared for another runner"
    train(given, given.ray)
