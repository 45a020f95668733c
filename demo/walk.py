"""`twin demo`: crawl, train, evaluate, approve and release the demo persona's twin, offline on CPU.

The demo persona's sites are served on loopback in the wire formats of LinkedIn, Medium, Substack and
GitHub, so the spiders crawl over real HTTP. A second run does only what has changed.
"""

import os
import time

from demo.reading import print_reading
from demo.sites import DemoSites
from demo.summary import print_summary
from twin_assets.cli.base import read_settings
from twin_assets.cli.runner import Runner, walk_log
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import load_persona, persona_names, save_persona
from twin_assets.defs.shared.console import only_progress, say
from twin_assets.settings import ROOT, Settings

PERSONA = "runa"
SITES_PORT = 8765
REVIEWER = "demo reviewer"

# The local sites accept any token, but like the real ones they insist on having one.
DEMO_ENVIRONMENT = {
    "TWIN_ALLOW_PRIVATE_HOSTS": "true",
    "TWIN_LINKEDIN_TOKEN": "demo-token",
    "TWIN_GITHUB_TOKEN": "demo-token",
}
NOT_RELEASED = """  This candidate did not pass its gate (the lines with ✗ say why), so it is not released and `twin up` does not serve it.
  What would help is more writing or a larger model: `TWIN_PROFILE=small` where a model hub can be reached."""


def run_demo(profile: str | None = None) -> bool:
    """Run the demo, with another profile than the settings' if one is given; whether a released twin stands at the end."""
    start = time.monotonic()
    for name, value in DEMO_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if profile:
        os.environ["TWIN_PROFILE"] = profile
    settings = read_settings()
    if load_profile(settings.profile).plumbing:
        # What it writes is noise, which the page then says beside every text.
        os.environ.setdefault("TWIN_RELEASE_PLUMBING", "true")
        settings = read_settings()
    declare_persona(settings)
    log_file = walk_log(settings, PERSONA)
    print("LLM Twin demo: the whole graph for the persona 'runa', offline.")
    print(f"What the tools print goes to {log_file}", flush=True)
    with DemoSites(port=SITES_PORT), only_progress(log_file):
        runner = Runner(settings, PERSONA)
        fine = runner.materialize_stale()
        if fine and runner.waits_for_approval():
            say(f"\n  The candidate passed its gate and waits. Approving as {REVIEWER!r}:")
            fine = runner.approve(REVIEWER, "the demo approves what passes the gate")
    candidate = print_summary(settings, PERSONA, runner.steps, time.monotonic() - start)
    if candidate and any(step.name == "evaluation_report" for step in runner.steps):
        print_reading(settings, PERSONA, candidate)
        if not fine:
            print(NOT_RELEASED)
    return fine and not runner.failed_sources()


def declare_persona(settings: Settings) -> None:
    """Write the demo persona's declaration where this installation's personas are, unless it is there."""
    if PERSONA not in persona_names(settings.personas_dir):
        settings.personas_dir.mkdir(parents=True, exist_ok=True)
        declared = load_persona(ROOT / "personas", PERSONA)
        save_persona(settings.personas_dir, declared.model_dump(mode="json", exclude_unset=True))
