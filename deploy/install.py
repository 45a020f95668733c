"""Makes `.venv` from the pins: `python deploy/install.py [EXTRA …]`, which `make install` runs.

It says what will be fetched and needed before it begins, shows progress, and names what went wrong with its fix. Stopped
or failed, a second run goes on where the first stopped. It needs nothing but Python and pip, and runs on Pythons that
are too old for the product, so that they hear it in words.

    TORCH_INDEX=…          address of other builds of torch, such as PyTorch's CPU wheels, which are 3 GB less
    TWIN_INSTALLER=pip     instead of uv, which pip fetches first where it isn't at hand
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11, 5)  # of the pins, beautifulsoup4's soupsieve asks for it
NEWEST = (3, 14)  # of the pins, openvino has wheels up to it
COMPILES_FROM = (3, 13)  # axolotl pins a zstandard whose wheels end before it
GB = 1e9
# Measured on x86-64 Linux with every extra: what is fetched, and what lies in .venv afterwards.
SIZES = {"cuda": (4.3 * GB, 9.3 * GB), "cpu": (1.6 * GB, 5.9 * GB)}
# uv keeps every file that came. pip keeps a group once it is installed, whether or not the index lets it cache files.
GROUPS = (
    ("torch", ("torch",)),
    ("training", ("axolotl", "trl", "peft", "transformers", "lm-eval", "datasets")),
    ("the graph and its stores", ("dagster", "dbt", "daft", "lancedb", "weaviate", "duckdb", "pyarrow")),
)
REPORT_EVERY = 10.0  # seconds


class Refused(Exception):
    """What is wrong and how to mend it; `final`: no other installer would fare better."""

    def __init__(self, problem: str, fix: str, final: bool = False) -> None:
        super().__init__(f"{problem}\nFix: {fix}")
        self.final = final


def check_python(version: tuple[int, ...]) -> None:
    """Raises Refused for a Python that the pins have nothing for."""
    shown = ".".join(map(str, version[:3]))
    if version[:3] < OLDEST:
        raise Refused(
            f"This is Python {shown}; 3.11.5 or newer is needed, up to 3.14.",
            "install a newer one and name it: make install PYTHON=python3.12 (Debian 12 has only 3.11.2: take "
            "one from pyenv, conda or uv python install).",
        )
    if version[:2] > NEWEST:
        raise Refused(
            f"This is Python {shown}; not all pinned packages have builds for it yet.",
            "name one from 3.11.5 to 3.14: make install PYTHON=python3.13.",
        )


def check_compiler(version: tuple[int, ...], compiler: str | None) -> None:
    """Raises Refused where a package must be compiled and nothing can compile it."""
    if version[:2] >= COMPILES_FROM and compiler is None:
        raise Refused(
            f"On Python {version[0]}.{version[1]} one package (zstandard) is compiled, and there is no C compiler.",
            "install one (Debian: apt install build-essential python3-dev), or take Python 3.11 or 3.12, which "
            "need none.",
        )


def torch_build(system: str, machine: str, index: str | None) -> str:
    """The build of torch that will come: `cuda`, or `cpu` for every other one."""
    if system == "Linux" and machine in ("x86_64", "AMD64") and not index:
        return "cuda"
    return "cpu"


def check_space(venv: Path, needed: float, free: float) -> None:
    """Raises Refused when the disk of `venv` can't hold what is still to come; bytes."""
    if free < needed:
        raise Refused(
            f"The disk of {venv.parent} has {free / GB:.1f} GB free, and {needed / GB:.1f} GB are still needed.",
            "free some space, put the checkout on a larger disk, or fetch the smaller build of torch with "
            "TORCH_INDEX=<address of PyTorch's CPU wheels>.",
        )


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    sizes = (os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)  # noqa: PTH118
    return sum(sizes)


def requirements(extras: list[str]) -> list[str]:
    """The product's direct requirements with those of its extras, and of the extras that these name, as pyproject.toml has
    them."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, waiting = list(project["dependencies"]), list(extras)
    for extra in waiting:
        for line in project.get("optional-dependencies", {})[extra]:
            if own := re.fullmatch(rf"{re.escape(project['name'])}\[(.+)\]", line):
                waiting += [one for one in own.group(1).split(",") if one not in waiting]
            else:
                found.append(line)
    return found


def pip_steps(python: Path, extras: list[str], index: str | None) -> list[tuple[str, list[str]]]:
    """What pip is told, group after group, the whole product last."""
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    pip += ["--extra-index-url", index] if index else []
    wanted = requirements(extras)
    steps = []
    for name, starts in GROUPS:
        group = [line for line in wanted if re.split(r"[\[<>=~! ]", line)[0].startswith(starts)]
        if group:
            steps.append((name, [*pip, *group]))
    return [*steps, ("all the rest", [*pip, "-e", whole(extras)])]


def find_uv(python: Path) -> str | None:
    """uv's program: the one at hand, or the pinned one, which pip fetches; None where there is none for this machine."""
    if found := shutil.which("uv") or shutil.which("uv", path=str(python.parent)):
        return found
    pinned = python.parents[1] / "uv.txt"
    pinned.write_text("".join(block for block in hashed_pins() if block.startswith("uv==")), encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, "--require-hashes", "-r", str(pinned)], check=False)
    return shutil.which("uv", path=str(python.parent))


def hashed_pins(path: Path = ROOT / "hashes.txt") -> list[str]:
    """The pins with the sums of their files, a text of several lines each."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^[^\s#].*\n(?:    --hash.*\n)*", text, re.MULTILINE)


def uv_command(uv: str, python: Path, extras: list[str], index: str | None) -> list[str]:
    """What uv is told: it refuses a file whose sum is not in hashes.txt; other builds of torch have other sums."""
    pinned = ROOT / "hashes.txt"
    if index:
        blocks = [
            block.partition(" ")[0] + "\n" if block.startswith("torch==") else block
            for block in hashed_pins()
        ]
        pinned = python.parents[1] / "hashes.txt"
        pinned.write_text("".join(blocks), encoding="utf-8")
    command = [uv, "pip", "install", "--python", str(python), "-c", str(pinned)]
    if index:  # the build of torch is taken from wherever its version sorts highest, as pip does
        command += ["--extra-index-url", index, "--index-strategy", "unsafe-best-match"]
    return [*command, "-e", whole(extras)]


def whole(extras: list[str]) -> str:
    """The checkout with its extras, as a requirement."""
    return f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)


def uv_environment(python: Path) -> dict[str, str]:
    """The indexes that pip was told of, for uv, which doesn't read pip's own configuration."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    names = {
        "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
    }  # fmt: skip
    found = dict(re.findall(r"^\S*?\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    told = {
        names[name]: " ".join(shlex.split(value.replace("\\n", " ")))
        for name, value in found.items()
        if name in names
    }
    if "UV_FIND_LINKS" in told and not Path(told["UV_FIND_LINKS"]).exists():
        del told["UV_FIND_LINKS"]  # pip passes over a folder that isn't there, uv doesn't
    return {name: value for name, value in told.items() if value and name not in os.environ}


def run(name: str, command: list[str], log: Path, environment: dict[str, str]) -> None:
    """Run one step to its end, telling of it now and then. Raises Refused when it fails."""
    print(f"  {name} …", flush=True)
    begun = told = time.monotonic()
    files, fetched, tail = 0, 0.0, []
    with log.open("a", encoding="utf-8") as kept, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**os.environ, **environment}, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            for line in process.stdout:
                kept.write(line)
                tail = [*tail[-400:], line.rstrip()]
                if size := re.search(r"Downloading \S+ \(([\d.]+) ?([kMG])i?B\)", line):
                    files += 1
                    fetched += float(size.group(1)) * {"k": 1e3, "M": 1e6, "G": 1e9}[size.group(2)]
                if time.monotonic() - told > REPORT_EVERY:
                    told = time.monotonic()
                    seconds = told - begun
                    print(
                        f"    {seconds:4.0f} s: {files} files, {fetched / GB:.1f} GB; {line.strip()[:70]}",
                        flush=True,
                    )
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        raise failure(tail, log)
    print(f"  {name}: {time.monotonic() - begun:.0f} s", flush=True)


def failure(lines: list[str], log: Path) -> Refused:
    """What an installer's last lines mean."""
    text = "\n".join(lines)
    again = "run the same command again: it goes on where this one stopped"
    shown = next(
        (line for line in reversed(lines) if re.search(r"error|cause|failed", line, re.I)), text[-300:]
    )
    package = re.search(r"(?:Failed (?:building wheel for|to build|to download)|wheel for) `?([\w.-]+)", text)
    named = f" ({package.group(1).rstrip('.')})" if package else ""
    if changed := re.search(
        r"Hash mismatch for `?([^\s`]+)|([^\s`]+) from \S+ does not match .*hash", text, re.I
    ):
        return Refused(
            f"The index gave other bytes for {changed.group(1) or changed.group(2)} than the product was tested with.",
            "find out whose file that is before anything of it runs. Where the pin was changed on purpose, run "
            "python deploy/hashes.py.",
            final=True,
        )
    if re.search(r"no space left on device|errno 28|os error 28|disk quota", text, re.I):
        return Refused(f"The disk is full{named}.", f"free some space, then {again}.", final=True)
    if re.search(
        r"command '[^']*(cc|gcc|clang|g\+\+)'|unable to execute|no such file or directory: '(cc|gcc|c\+\+)|Python\.h",
        text,
        re.I,
    ):
        return Refused(
            f"A package could not be compiled{named}: {shown.strip()}",
            "install a C compiler and Python's headers (Debian: apt install build-essential python3-dev).",
            final=True,
        )
    address = re.search(r"https?://[^\s`'\")]+", shown) or re.search(
        r"https?://[^\s`'\")]+\.(?:whl|gz|zip)", text
    )
    file = re.search(r"[\w.+-]+\.(?:whl|tar\.gz|zip)", unquote(address.group())) if address else None
    if re.search(
        r"HTTP error|status (client|server) error|ConnectionPool|timed? ?out|Failed to (fetch|download)|Max retries|ConnectError|IncompleteRead|hash",
        text,
        re.I,
    ):
        what = file.group() if file else (package.group(1) if package else "a file")
        return Refused(
            f"The package index did not give {what}: {shown.strip()[:300]}",
            f"see that the index can be reached and has it, then {again}.",
        )
    if re.search(
        r"ResolutionImpossible|No matching distribution|No solution found|Could not find a version", text
    ):
        return Refused(
            f"The index has no build of a pinned package for this Python and machine: {shown.strip()[:300]}",
            "take Python 3.11 to 3.14 on x86-64 or arm64 Linux (glibc 2.28, on arm64 2.35) or arm64 macOS 14, and see "
            "that the index has that version.",
        )
    return Refused(f"The installer failed: {shown.strip()[:300]}", f"read {log}, then {again}.")


def make_venv(venv: Path) -> Path:
    """Its Python; made when it isn't there. Raises Refused where Python can't make one."""
    python = venv / "bin" / "python"
    if python.exists():
        return python
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        said = (made.stdout + made.stderr).strip()
        raise Refused(
            f"Python could not make a virtual environment: {said.splitlines()[0] if said else 'no reason given'}",
            f"install its venv module (Debian: apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv).",
        )
    return python


def install(venv: Path, extras: list[str]) -> None:
    """Check, say what will come, and install it. Raises Refused."""
    version = tuple(sys.version_info[:3])
    check_python(version)
    check_compiler(version, next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None))
    index = os.environ.get("TORCH_INDEX") or None
    build = torch_build(platform.system(), platform.machine(), index)
    fetched, lies = SIZES[build]
    there = size_of(venv) if venv.is_dir() else 0
    free = shutil.disk_usage(next(p for p in (venv, *venv.parents) if p.is_dir())).free
    with_uv = os.environ.get("TWIN_INSTALLER") != "pip"
    print(
        f"Installing into {venv.name}: fetches up to {fetched / GB:.1f} GB, takes {lies / GB:.1f} GB of disk "
        f"({free / GB:.0f} GB are free, {there / GB:.1f} GB are there already); 1 to 7 minutes the first time.\n"
        f"torch's build: {'for CUDA, which also computes on a CPU' if build == 'cuda' else 'as the index has it, for CPU unless it says otherwise'}; "
        f"with {'uv' if with_uv else 'pip'}.",
        flush=True,
    )
    if build == "cuda" and not shutil.which("nvidia-smi"):
        print(
            "No NVIDIA card was seen: TORCH_INDEX=<address of PyTorch's CPU wheels> makes it 3 GB less.",
            flush=True,
        )
    check_space(venv, max(lies - there, 0), free)
    python = make_venv(venv)
    log = venv / "install.log"
    if uv := find_uv(python) if with_uv else None:
        try:
            run("all packages", uv_command(uv, python, extras, index), log, uv_environment(python))
        except Refused as error:
            if error.final:
                raise
            print(f"  uv could not: {error}\n  pip tries.", flush=True)
            uv = None
    if not uv:
        for name, command in pip_steps(python, extras, index):
            run(name, command, log, {})
    shown = subprocess.run(
        [str(python), "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"installed; torch {shown.stdout.strip() or 'can not be imported: ' + shown.stderr.strip()[-200:]}")


def main() -> int:
    """Entry point; the exit status is 1 when something is wrong, 130 when stopped."""
    parser = argparse.ArgumentParser(description="Make .venv from the pins.")
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml, such as all test scale k8s")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop, like Ctrl-C
    try:
        install(given.venv, given.extras)
    except Refused as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
