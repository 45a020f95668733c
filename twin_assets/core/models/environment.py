"""What a model was made with: the revision of this code and the versions of the libraries that matter."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from twin_assets.settings import CHECKOUT, ROOT

# Libraries whose versions can change what the same inputs train.
_LIBRARIES = ("torch", "transformers", "axolotl", "trl", "peft", "accelerate")


def environment() -> dict[str, str]:
    """Versions by name; a library that is not installed, and the revision outside a checkout, are left out."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    if revision := code_revision():
        versions["code"] = revision
    return versions


def code_revision() -> str | None:
    """Git commit of the checkout, with `+changes` when files differ from it; None outside a checkout."""
    if not CHECKOUT:  # what is installed may lie below the checkout of something else
        return None
    try:
        head, changes = (
            subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=30
            ).stdout
            for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.strip() + ("+changes" if changes.strip() else "")
