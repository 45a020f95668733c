"""Writes `hashes.txt` anew: the pins of constraints.txt with the SHA-256 of every file that may be installed of them. So
it does with `deploy/dg/hashes.txt` and the pins beside it, and with `deploy/serve`, whose pins are written as well: those of
the gateway's image.

    python deploy/hashes.py

Run it after a change of pins. What is installed by uv is held against it, so that other bytes under a pinned
name and version are refused. Listed are the sources and the wheels for the machines that the README names, as the index
has them that pip is told of.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, the folder above it is not looked in
from deploy.part import write_pins  # noqa: E402

PINS, HASHES = ROOT / "constraints.txt", ROOT / "hashes.txt"
DG, SERVE = ROOT / "deploy" / "dg", ROOT / "deploy" / "serve"
HEAD = "# Made by deploy/hashes.py from {}: what its files must be. Not to be edited by hand.\n"
JSON = "application/vnd.pypi.simple.v1+json"
MACHINES = ("x86_64", "aarch64", "arm64", "universal2")


def read_pins(path: Path) -> list[tuple[str, str]]:
    """Names and versions of a file of pins, in its order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(name, version) for name, equals, version in (line.partition("==") for line in lines) if equals]


def hashes_of(index: str, name: str, version: str) -> list[str]:
    """The sorted sums of a version's files. Raises LookupError where the index lists none for our machines."""
    address = f"{index.rstrip('/')}/{canonicalize_name(name)}/"
    answer = httpx.get(
        address, headers={"Accept": JSON}, timeout=60, follow_redirects=True
    ).raise_for_status()
    files = answer.json()["files"]
    sums = {f["hashes"]["sha256"] for f in files if _version_for_us(f["filename"]) == Version(version)}
    if not sums:
        raise LookupError(f"the index lists no file of {name} {version} for our machines")
    return sorted(sums)


def _version_for_us(file: str) -> Version | None:
    """The version of a source, or of a wheel that one of our machines can take."""
    try:
        if not file.endswith(".whl"):
            return parse_sdist_filename(file)[1]
        _, version, _, tags = parse_wheel_filename(file)
    except ValueError:
        return None  # another kind of file, or a name from before the naming rules
    return version if any(map(_is_ours, tags)) else None


def _is_ours(tag: Tag) -> bool:
    python = tag.interpreter.startswith(("py3", "py2")) or tag.interpreter in (
        "cp311",
        "cp312",
        "cp313",
        "cp314",
    )
    kind, machine = tag.platform.partition("_")[0], tag.platform.endswith(MACHINES)
    fits = tag.platform == "any" or (machine and kind.startswith(("manylinux", "linux", "macosx")))
    return fits and (python or tag.abi == "abi3")


def main() -> int:
    """Entry point; the exit status is 1 when a pin has no file."""
    from pip._internal.configuration import Configuration
    from pip._internal.models.index import PyPI

    told = Configuration(isolated=False)
    told.load()
    index = dict(told.items()).get("global.index-url") or PyPI.simple_url
    try:
        write_pins("serve", SERVE / "pins.txt")
        for pinned, hashed in ((PINS, HASHES), *((f / "pins.txt", f / "hashes.txt") for f in (DG, SERVE))):
            write_hashes(index, pinned, hashed)
    except (LookupError, httpx.HTTPError) as error:
        print(f"{error}\nFix: see that the index has it and can be reached.", file=sys.stderr)
        return 1
    return 0


def write_hashes(index: str, pinned: Path, hashed: Path) -> None:
    """Write the sums of the pins of one file. Raises LookupError and HTTPError as `hashes_of` does."""
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda pin: hashes_of(index, *pin), pins := read_pins(pinned))
        blocks = [
            " \\\n".join([f"{n}=={v}", *(f"    --hash=sha256:{s}" for s in sums)])
            for (n, v), sums in zip(pins, found, strict=True)
        ]
    head = HEAD.format(pinned.relative_to(ROOT))
    hashed.write_text(head + "\n".join(blocks) + "\n", encoding="utf-8")
    print(f"{hashed.relative_to(ROOT)}: {len(pins)} pins, {sum(b.count('--hash') for b in blocks)} files")


if __name__ == "__main__":
    sys.exit(main())
