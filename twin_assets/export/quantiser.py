"""llama.cpp's own quantiser, for the K-quants that no Python library computes: its command, or its Python binding.

`python -m twin_assets.export.quantiser FROM TO` is the binding in a process of its own: native code that aborts takes its
process with it.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.processes import run_within

COMMAND = "llama-quantize"
SECONDS = 4 * 3600.0  # a 70B model on a slow disk


def check_quantiser() -> None:
    """Raises TwinError where llama.cpp's quantiser is not at hand, saying how to get it."""
    if not shutil.which(COMMAND) and not importlib.util.find_spec("llama_cpp"):
        raise TwinError(
            "q4_k_m is made by llama.cpp's quantiser, which is not here.",
            f"put llama.cpp's {COMMAND} on the PATH or `pip install llama-cpp-python`; or use --quantize q8_0 or q4_0, which "
            "need neither.",
        )


def quantise(source: Path, target: Path) -> None:
    """Write the f16 GGUF file `source` as Q4_K_M to `target`. Raises TwinError with llama.cpp's last words."""
    check_quantiser()
    if found := shutil.which(COMMAND):
        command = [found, str(source), str(target), "Q4_K_M"]
    else:
        command = [sys.executable, "-m", "twin_assets.export.quantiser", str(source), str(target)]
    ended = run_within(
        SECONDS, COMMAND, "use --quantize q8_0.", command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if ended.returncode or not target.is_file():
        last = (ended.stdout.strip().splitlines() or ["it said nothing"])[-1][:300]
        raise TwinError(f"llama.cpp could not quantise the model: {last}", "use --quantize q8_0 or q4_0.")


def _by_binding(source: str, target: str) -> int:
    import ctypes

    import llama_cpp

    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(how)))


if __name__ == "__main__":
    sys.exit(_by_binding(*sys.argv[1:3]))
