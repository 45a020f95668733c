"""`twin demo`: crawl, train, evaluate, approve and release the demo persona's twin, offline on CPU.

The demo persona's sites are served on loopback in the wire formats of LinkedIn, Medium, Substack and
GitHub, so the spiders crawl over real HTTP. A second run does only what has changed.
"""

import os
import time

from demo.sites import DemoSites
from demo.summary import print_summary
from twin_assets.cli.base import read_settings
from twin_assets.cli.runner import Runner, walk_log
from twin_assets.defs.shared.console import only_progress, say

PERSONA = "runa"
SITES_PORT = 8765
REVIEWER = "demo reviewer"

# The local sites accept any token, but like the real ones they insist on having one.
DEMO_ENVIRONMENT = {
    "TWIN_ALLOW_PRIVATE_HOSTS": "true",
    "TWIN_LINKEDIN_TOKEN": "demo-token",
    "TWIN_GITHUB_TOKEN": "demo-token",
    # Its smallest size writes noise, which the page then says beside every text.
    "TWIN_RELEASE_PLUMBING": "true",
}


def run_demo() -> bool:
    """Run the demo; whether a released twin stands at the end."""
    start = time.monotonic()
    for name, value in DEMO_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    settings = read_settings()
    log_file = walk_log(settings, PERSONA)
    print("LLM Twin demo: the whole graph for the persona 'runa', offline.")
    print(f"What the tools print goes to {log_file}", flush=True)
    with DemoSites(port=SITES_PORT), only_progress(log_file):
        runner = Runner(settings, PERSONA)
        fine = runner.materialize_stale()
        if fine and runner.waits_for_approval():
            say(f"\n  The candidate passed its gate and waits. Approving as {REVIEWER!r}:")
            fine = runner.approve(REVIEWER, "the demo approves what passes the gate")
    print_summary(settings, PERSONA, runner.steps, time.monotonic() - start)
    return fine and not runner.failed_sources()
