"""A secret of an installation: made once, by whichever process needs it first, and read by those after it."""

import os
import secrets
from pathlib import Path

from twin_assets.core.storage.private import private_file, private_folder


def kept_secret(path: Path) -> bytes:
    """The content of the file, which only its owner can read; a new one has 64 random hexadecimal digits."""
    if not path.exists():
        private_folder(path.parent)
        staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with private_file(staged) as file:
            file.write(secrets.token_hex(32).encode())
        try:
            os.link(staged, path)  # two processes may start at once; the first one's secret holds
        except FileExistsError:
            pass
        finally:
            staged.unlink()
    return path.read_bytes()
