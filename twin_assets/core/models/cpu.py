"""What the CPU can do, and how models write where there is no GPU."""

import sys
from typing import Any, NamedTuple

from twin_assets.settings import CpuEngine


class CpuOptions(NamedTuple):
    """What writes without a GPU. A copy of a base for an adapter that writes alone may take `merged_gb`; with `int8`
    OpenVINO has a base's matrices in 8 bits."""

    engine: CpuEngine = "auto"
    merged_gb: float = 0.0
    int8: bool = False


def cpu_has_bfloat16() -> bool:
    """Whether bfloat16 runs natively; there it nearly doubles the speed of training."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def without_gpu_kernels() -> None:
    """Where there is no GPU, leave gated delta rules to torch: wherever the package `fla` is installed, transformers takes
    that, and its kernels run on none but GPUs. It decides when the module of such a model is imported, so this comes before.
    """
    import torch

    modules: dict[str, Any] = sys.modules
    if not torch.cuda.is_available():
        modules["fla"] = None  # Python's own way to say that it can't be imported
