"""Installing: what it says before, how it goes on after a failure or a stop, and how it names what went wrong.

Real pip and uv against an index on loopback; a project of three packages stands for the product's 450.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import install
from tests.deploy.package_index import PackageIndex, wheel
from tests.support.machine import PATIENCE, small_disk

ROOT = Path(__file__).resolve().parents[2]
# The least that pip and uv take for a project to be installed in place.
BACKEND = """
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        archive.writestr("toy.pth", str(pathlib.Path.cwd()))
        needs = "Requires-Dist: torch\\nRequires-Dist: axolotl\\nRequires-Dist: scrapy\\n"
        archive.writestr("toy-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: toy\\nVersion: 1.0\\n{needs}")
        archive.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("toy-1.0.dist-info/RECORD", "")
    return name

build_wheel = build_editable
"""
TORCH, AXOLOTL, SCRAPY = wheel("torch", "2.13.0"), wheel("axolotl", "0.19.0"), wheel("scrapy", "2.19.0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of three pinned packages, with the product's own installer."""
    folder = tmp_path / "checkout"
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "deploy/install.py", folder / "deploy/install.py")
    (folder / "backend.py").write_text(BACKEND)
    pins = {f"{file.split('-')[0]}=={file.split('-')[1]}": data for file, data in (TORCH, AXOLOTL, SCRAPY)}
    (folder / "constraints.txt").write_text("".join(f"{pin}\n" for pin in pins))
    sums = {pin: hashlib.sha256(data).hexdigest() for pin, data in pins.items()}
    (folder / "hashes.txt").write_text(
        "".join(f"{pin} \\\n    --hash=sha256:{s}\n" for pin, s in sums.items())
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "toy"\nversion = "1.0"\ndependencies = ["torch==2.13.0", "axolotl", "scrapy"]\n'
    )
    return folder


def command(project: Path) -> list[str]:
    return [sys.executable, str(project / "deploy/install.py")]


def environment(project: Path, index: PackageIndex, installer: str, **more: str) -> dict[str, str]:
    """What the installer sees: this index alone, caches of its own, and uv on PATH only where it is meant."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "TORCH_", "TWIN_"))}
    bare = [p for p in kept["PATH"].split(os.pathsep) if not (Path(p) / "uv").exists()]
    if installer == "uv":
        tools = project.parent / "tools"
        tools.mkdir(exist_ok=True)
        if not (tools / "uv").exists():
            (tools / "uv").symlink_to(Path(sys.executable).parent / "uv")
        bare = [str(tools), *bare]
    return kept | {
        "PATH": os.pathsep.join(bare), "PIP_INDEX_URL": index.url, "PIP_CACHE_DIR": str(project.parent / "pip"),
        "PIP_RETRIES": "0", "UV_CACHE_DIR": str(project.parent / "uv"), "UV_HTTP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "TWIN_INSTALLER": installer,
    } | more  # fmt: skip


def run(project: Path, index: PackageIndex, installer: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(project), env=environment(project, index, installer, **more), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_it_says_what_it_will_fetch_and_goes_on_where_a_refused_file_stopped_it(
    project: Path, installer: str
) -> None:
    with PackageIndex(TORCH, AXOLOTL, SCRAPY).running() as index:
        index.refused.add(SCRAPY[0])
        failed = run(project, index, installer)
        assert failed.returncode == 1, failed.stdout
        assert "fetches up to" in failed.stdout.splitlines()[0]
        assert "of disk" in failed.stdout.splitlines()[0]
        assert f"with {installer}." in failed.stdout
        assert f"did not give {SCRAPY[0]}" in failed.stderr, failed.stderr
        assert "run the same command again" in failed.stderr
        index.refused.clear()
        index.served.clear()
        done = run(project, index, installer)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "installed; torch 2.13.0" in done.stdout
        assert set(filter(index.served.get, index.served)) == {SCRAPY[0]}, "what had come was fetched again"


def test_a_stopped_installation_says_that_it_goes_on_and_leaves_no_process(project: Path) -> None:
    with PackageIndex(TORCH, AXOLOTL, SCRAPY).running() as index:
        index.slow.add(SCRAPY[0])
        process = subprocess.Popen(
            command(project), env=environment(project, index, "pip"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert index.asked.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)  # SIGINT is ignored by whatever runs in the background
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, said
        assert "goes on from here" in said
        index.slow.clear()
        index.served.clear()
        assert run(project, index, "pip").returncode == 0
        assert set(filter(index.served.get, index.served)) == {SCRAPY[0]}


def test_other_bytes_under_a_pinned_name_are_refused_and_no_other_installer_takes_them(project: Path) -> None:
    changed = wheel("scrapy", "2.19.0", requires=("axolotl",))
    with PackageIndex(TORCH, AXOLOTL, changed).running() as index:
        failed = run(project, index, "uv")
    assert failed.returncode == 1, failed.stdout
    assert "other bytes for scrapy==2.19.0" in failed.stderr, failed.stderr
    assert "pip tries" not in failed.stdout
    assert not list((project / ".venv").rglob("scrapy*"))


def test_every_pin_has_the_sums_of_its_files() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    assert [block.split(" ")[0] for block in install.hashed_pins()] == pins, "run: python deploy/hashes.py"
    assert all("--hash=sha256:" in block for block in install.hashed_pins())


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_another_build_of_torch_comes_by_one_variable(project: Path, installer: str) -> None:
    cpu = wheel("torch", "2.13.0+cpu")
    with PackageIndex(TORCH, AXOLOTL, SCRAPY).running() as index, PackageIndex(cpu).running() as builds:
        done = run(project, index, installer, TORCH_INDEX=builds.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installed; torch 2.13.0+cpu" in done.stdout
    assert TORCH[0] not in index.served


def test_uv_takes_the_index_that_pip_was_told_of(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    with PackageIndex(TORCH, AXOLOTL, SCRAPY).running() as index:
        config.write_text(f"[global]\nindex-url = {index.url}\n")
        told = environment(project, index, "uv") | {"PIP_CONFIG_FILE": str(config)}
        del told["PIP_INDEX_URL"]
        done = subprocess.run(
            command(project), env=told, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pip tries" not in done.stdout


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ((3, 11, 2), r"Python 3\.11\.2; 3\.11\.5 or newer"),
        ((3, 9, 19), "3.9.19"),
        ((3, 15, 0), "3.15.0; not all"),
    ],
)
def test_a_python_without_builds_is_named_with_the_way_to_another(
    version: tuple[int, ...], says: str
) -> None:
    with pytest.raises(install.Refused, match=rf"(?s){says}.*make install PYTHON="):
        install.check_python(version)


def test_the_pythons_that_resolve_are_taken() -> None:
    for version in ((3, 11, 5), (3, 12, 0), (3, 13, 9), (3, 14, 1)):
        install.check_python(version)


def test_a_missing_compiler_is_told_only_where_something_is_compiled() -> None:
    install.check_compiler((3, 12, 1), None)
    install.check_compiler((3, 13, 0), "/usr/bin/cc")
    with pytest.raises(install.Refused, match=r"(?s)zstandard.*C compiler.*build-essential"):
        install.check_compiler((3, 13, 0), None)


def test_too_small_a_disk_is_told_before_anything_is_fetched(project: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path) as small, PackageIndex(TORCH, AXOLOTL, SCRAPY).running() as index:
        told = environment(project, index, "pip")
        ended = subprocess.run(
            [*command(project), "--venv", str(small / "venv")],
            env=told,
            capture_output=True,
            text=True,
            check=False,
        )
        assert index.served == {}
    assert ended.returncode == 1
    assert "GB are still needed" in ended.stderr
    assert not list(small.glob("venv/*"))


@pytest.mark.parametrize(
    ("system", "machine", "index", "build"),
    [("Linux", "x86_64", None, "cuda"), ("Linux", "x86_64", "http://builds", "cpu"), ("Linux", "aarch64", None, "cpu"),
     ("Darwin", "arm64", None, "cpu")],
)  # fmt: skip
def test_the_build_of_torch_follows_the_machine_and_the_variable(
    system: str, machine: str, index: str | None, build: str
) -> None:
    assert install.torch_build(system, machine, index) == build


# The last lines that pip 23.2 and uv 0.13 printed when each was made to fail so.
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("  cause: failed to copy file from a to b: No space left on device (os error 28)", "disk is full"),
        ("      FileNotFoundError: [Errno 2] No such file or directory: 'gcc'", "could not be compiled"),
        (
            "error: Failed to build `zstandard==0.22.0`\n  cause: command 'gcc' failed",
            r"could not be compiled \(zstandard\)",
        ),
        ("ERROR: ResolutionImpossible: for help visit the documentation", "no build of a pinned package"),
        ("ERROR: No matching distribution found for openvino==2026.4.1", "no build of a pinned package"),
        ("error: No solution found when resolving dependencies", "no build of a pinned package"),
        ("something nobody has seen", "The installer failed"),
    ],
)
def test_what_pip_and_uv_say_is_named(line: str, says: str, tmp_path: Path) -> None:
    refused = install.failure(line.split("\n"), tmp_path / "install.log")
    assert re.search(says, str(refused))
    assert "\nFix: " in str(refused)


@pytest.mark.parametrize("older", ["3.8", "3.10"])
def test_an_older_python_reads_the_installer_and_hears_it_in_words(older: str) -> None:
    found = next(
        (p for p in (Path.home() / ".pyenv/versions").glob(f"{older}.*/bin/python")),
        shutil.which(f"python{older}"),
    )
    if found is None:
        pytest.skip(f"OLD PYTHON NOT TESTED: there is no Python {older} here")
    ended = subprocess.run(
        [str(found), str(ROOT / "deploy/install.py")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "3.11.5 or newer is needed" in ended.stderr, ended.stderr
