"""The machine that a training would run on: its GPUs with their memory, or the CPU with its own."""

import os
import time
from dataclasses import dataclass
from functools import cache

from twin_assets.core.errors import TwinError
from twin_assets.settings import Settings

GB = 10**9

# Dense bfloat16 peak in FLOP/s, from the makers' data sheets; a part of the name that the driver gives.
_PEAKS = {
    "B200": 2250e12, "H200": 989e12, "H100": 989e12, "L40S": 362e12, "A100": 312e12, "4090": 165e12,
    "L4": 121e12, "A10": 125e12, "3090": 71e12, "T4": 65e12,
}  # fmt: skip
_NO_BFLOAT16 = ("T4", "V100")
_UNKNOWN_GPU = 100e12  # of the order of a consumer card
# Of the peak, what a run of short unpacked rows reaches on a GPU. Llama 3's pretraining, with full rows
# and tuned kernels, reached 0.38 to 0.43 (Grattafiori et al. 2024, table 4).
_GPU_UTILISATION = 0.25
# Of the speed of one matrix product, measured on the spot: a LoRA step of a 100M-parameter Llama reached 0.12.
_CPU_UTILISATION = 0.12


@dataclass(frozen=True)
class Machine:
    """`memory` in bytes, of each GPU, or of the whole machine when `gpus` is 0; `speed` in sustained FLOP/s."""

    name: str
    gpus: int
    memory: float
    speed: float
    bfloat16: bool = True

    @property
    def devices(self) -> int:
        return max(self.gpus, 1)

    def __str__(self) -> str:
        size = f"{self.memory / GB:.0f} GB"
        return f"{self.gpus} × {self.name} of {size}" if self.gpus else f"{self.name} with {size}"


def training_machine(settings: Settings) -> Machine:
    """The machine that trains: the one named in the settings, or this one."""
    return parse_machine(settings.training_machine) if settings.training_machine else this_machine()


@cache
def this_machine() -> Machine:
    """The GPUs that torch sees, or else the CPU, whose speed is measured (a tenth of a second)."""
    import torch

    from twin_assets.core.models.cpu import cpu_has_bfloat16

    if gpus := torch.cuda.device_count():
        facts = torch.cuda.get_device_properties(0)
        return Machine(
            facts.name,
            gpus,
            facts.total_memory,
            _peak(facts.name) * _GPU_UTILISATION,
            torch.cuda.is_bf16_supported(including_emulation=False),
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine("CPU", 0, memory, _matrix_speed() * _CPU_UTILISATION, cpu_has_bfloat16())


def parse_machine(text: str) -> Machine:
    """A machine by its GPUs: `8x80` is eight of 80 GB, `1x24:4090` one RTX 4090 of 24.

    Without a name it counts as an A100, or an H100 from 80 GB on. Raises TwinError when it can't be read.
    """
    numbers, _, name = text.partition(":")
    try:
        gpus, memory = (int(n) for n in numbers.lower().split("x"))
    except ValueError:
        raise TwinError(
            f"{text!r} names no machine.", "write GPUs x GB, such as 8x80 or 1x24:4090."
        ) from None
    name = name or ("H100" if memory >= 80 else "A100")
    return Machine(name, gpus, memory * GB, _peak(name) * _GPU_UTILISATION, name not in _NO_BFLOAT16)


def _peak(name: str) -> float:
    return next((peak for part, peak in _PEAKS.items() if part in name), _UNKNOWN_GPU)


def _matrix_speed(size: int = 1024, seconds: float = 0.1) -> float:
    """FLOP/s of products of square matrices, in the number format that training would use."""
    import torch

    from twin_assets.core.models.cpu import cpu_has_bfloat16

    matrix = torch.ones(size, size, dtype=torch.bfloat16 if cpu_has_bfloat16() else torch.float32)
    matrix @ matrix  # the first one sets up
    done, start = 0, time.monotonic()
    while (spent := time.monotonic() - start) < seconds:
        matrix @ matrix
        done += 1
    return done * 2 * size**3 / spent
