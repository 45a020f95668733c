"""`python -m demo.sites --port 8765`: serve the demo sites until Ctrl-C."""

import argparse
import contextlib
import threading
from pathlib import Path

from demo.sites.server import DemoSites
from demo.sites.writing import WRITING


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description="Serve the demo persona's sites on loopback.")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--writing", type=Path, default=WRITING)
    parser.add_argument("--edition", type=int, default=1, help="2 shows the planted edits and deletions")
    arguments = parser.parse_args()
    with DemoSites(arguments.writing, port=arguments.port, edition=arguments.edition) as sites:
        print(f"demo sites at {sites.url('/')}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
