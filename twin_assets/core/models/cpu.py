"""What the CPU can do."""


def cpu_has_bfloat16() -> bool:
    """Whether bfloat16 runs natively; there it nearly doubles the speed of training."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
