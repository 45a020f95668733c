"""Axolotl on CPUs: the process that trains alone, `python -m twin_assets.training.axolotl.cpu_workers CONFIG.yaml`, or each
of several that torchrun starts so, and what these do before.
"""

import os
import sys

from twin_assets.core.collector import look_seldom


def join_cpu_group() -> None:
    """Make this process one of a group of CPU workers, whichever build of torch is installed."""
    from accelerate import PartialState
    from axolotl.utils import trainer

    PartialState(cpu=True)  # the first to ask for it decides whether the workers on CPU form a group
    # Of several processes Axolotl asks CUDA whether their GPUs reach each other. A build for CUDA answers that with
    # an error where there is no driver; nothing but a variable of NCCL, which moves data between GPUs, hangs on it.
    trainer.check_cuda_p2p_ib_support = _no_gpus_to_ask_about


def _no_gpus_to_ask_about() -> bool:
    return True


def threads_each(workers: int) -> int:
    """Threads of one of several workers on this machine: an even share of its cores, at least one."""
    return max((os.cpu_count() or 1) // workers, 1)


if __name__ == "__main__":
    look_seldom()
    if "WORLD_SIZE" in os.environ:  # torchrun's word for how many there are
        join_cpu_group()
    from axolotl.cli.train import do_cli

    do_cli(config=sys.argv[1])
