"""`make demo`: crawl, train, evaluate, approve and release the demo persona's twin, offline on CPU.

The demo persona's sites are served on loopback in the wire formats of LinkedIn, Medium, Substack and
GitHub, so the spiders crawl over real HTTP. A second run does only what has changed.
"""

import os
import socket
import sys
import time

from twin_assets.core.command_line import tells_errors
from twin_assets.core.errors import TwinError

PERSONA = "runa"
SITES_PORT = 8765
REVIEWER = "demo reviewer"

# The local sites accept any token, but like the real ones they insist on having one.
DEMO_ENVIRONMENT = {
    "TWIN_ALLOW_PRIVATE_HOSTS": "true",
    "TWIN_LINKEDIN_TOKEN": "demo-token",
    "TWIN_GITHUB_TOKEN": "demo-token",
}


@tells_errors
def main() -> int:
    """Run the demo; the exit status is 0 when a released twin stands at the end."""
    for name, value in DEMO_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    start = time.monotonic()
    try:
        _check_port(SITES_PORT)
        return _run(start)
    except KeyboardInterrupt:
        print("\nstopped; run `make demo` again to go on where it was")
        return 130


def _run(start: float) -> int:
    from demo.sites import DemoSites
    from demo.summary import print_summary
    from twin_assets.cli.runner import Runner, walk_log
    from twin_assets.defs.shared.console import only_progress, say
    from twin_assets.settings import load_settings

    settings = load_settings()
    log_file = walk_log(settings, PERSONA)
    print("LLM Twin demo: the whole graph for the persona 'runa', offline.")
    print(f"What the tools print goes to {log_file}", flush=True)
    with DemoSites(port=SITES_PORT), only_progress(log_file):
        runner = Runner(settings, PERSONA)
        fine = runner.materialize_stale()
        if fine and runner.waits_for_approval():
            say(f"\n  The candidate passed its gate and waits. Approving as {REVIEWER!r}:")
            fine = runner.approve(REVIEWER, "make demo approves what passes the gate")
    print_summary(settings, PERSONA, runner.steps, time.monotonic() - start)
    return 0 if fine and not runner.failed_sources() else 1


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise TwinError(
                f"Port {port}, which the demo's local sites need, is in use.",
                "stop what listens there and try again.",
            ) from None


if __name__ == "__main__":
    sys.exit(main())
