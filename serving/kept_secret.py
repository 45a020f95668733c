"""A secret of an installation: made once, by whichever process needs it first, and read by those after it."""

import os
import secrets
from pathlib import Path


def kept_secret(path: Path) -> bytes:
    """What the file holds, which only its owner can read; a new one has 64 random hexadecimal digits."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
        try:
            os.link(staged, path)  # two processes may start at once; the first one's secret holds
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    return path.read_bytes()
