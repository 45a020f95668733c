"""The pins resolve, with a wheel or a source for each, on every Python and machine that the README names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy import install

ROOT = Path(__file__).resolve().parents[2]
# The oldest system of each kind that every pin has a build for: torch needs macOS 14, OpenVINO on arm64 glibc 2.35.
MACHINES = {
    "x86-64 Linux": ("x86_64-unknown-linux-gnu", {}),
    "arm64 Linux": ("aarch64-manylinux_2_35", {}),
    "arm64 macOS": ("aarch64-apple-darwin", {"MACOSX_DEPLOYMENT_TARGET": "14.0"}),
}


PYTHONS = (".".join(map(str, install.OLDEST)), "3.12", "3.13", "3.14")
Resolved = tuple["subprocess.CompletedProcess[str]", Path]


def resolve(python: str, machine: str, folder: Path) -> Resolved:
    target, settings = MACHINES[machine]
    resolved = folder / f"{machine}-{python}.txt"
    ended = subprocess.run(
        [Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--python-version", python,
         "--python-platform", target, "-c", "constraints.txt", "pyproject.toml", "--all-extras",
         "--output-file", resolved],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | install.uv_environment(Path(sys.executable)) | settings,
    )  # fmt: skip
    return ended, resolved


@pytest.fixture(scope="module")
def resolutions(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, str], Future[Resolved]]]:
    """All at once: each waits for the index most of its time."""
    folder = tmp_path_factory.mktemp("resolved")
    with ThreadPoolExecutor(len(PYTHONS)) as pool:
        yield {(m, p): pool.submit(resolve, p, m, folder) for m in MACHINES for p in PYTHONS}


@pytest.mark.e2e
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_pins_resolve(
    python: str, machine: str, resolutions: dict[tuple[str, str], Future[Resolved]]
) -> None:
    ended, file = resolutions[machine, python].result()
    if ended.returncode and any(
        said in ended.stderr for said in ("Failed to fetch", "client error", "dns error")
    ):
        pytest.skip(f"PINS NOT RESOLVED for {python} on {machine}: no package index can be reached")
    assert ended.returncode == 0, ended.stderr
    resolved = {line.split(" ")[0] for line in file.read_text().splitlines() if line[:1].isalnum()}
    pinned = {
        line.lower().replace("_", "-").replace(".", "-")
        for line in (ROOT / "constraints.txt").read_text().split()
    }
    loose = [line for line in resolved if line.lower().replace("_", "-").replace(".", "-") not in pinned]
    assert len(resolved) > 300
    # What only that machine needs has no pin of ours: nothing else may float.
    print(sorted(loose))
