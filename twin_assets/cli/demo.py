"""What shows the platform without any writing of one's own: the demo persona, her sites, and three weeks of production."""

import threading
from typing import Annotated

import typer

from twin_assets.cli.base import command, may_be_stopped


def add_to(app: typer.Typer, panel: str) -> None:
    """Add these commands to the whole."""
    command(app, "twin demo", "twin demo --profile nano", panel=panel)(demo)
    command(app, "twin demo-monitoring", panel=panel)(demo_monitoring)
    command(app, "twin demo-sites", "twin demo-sites --edition 2", panel=panel)(demo_sites)


def demo(
    profile: Annotated[
        str | None,
        typer.Option(help="In place of TWIN_PROFILE; `nano` is a test of the plumbing, and writes noise."),
    ] = None,
) -> None:
    """Makes the twin of the demo persona: crawl, train, evaluate, approve, release; offline, on a CPU.

    Her sites are served on this machine meanwhile. A second run does only what has changed. Then `twin up` serves her.
    What does not pass its gate is not released: the end says what it failed, shows what it writes, and the status is 1.
    """
    from demo.walk import run_demo

    with may_be_stopped("the same again goes on where it was"):
        fine = run_demo(profile)
    raise typer.Exit(0 if fine else 1)


def demo_monitoring() -> None:
    """Replays three weeks of production with a bad release, a cost spike and a drift planted.

    Shows what is alerted, and when a rebuild is asked for. It has a home of its own, and needs no model.
    """
    from demo.monitoring import replay_weeks

    raise typer.Exit(0 if replay_weeks() else 1)


def demo_sites(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8765,
    edition: Annotated[int, typer.Option(min=1, max=2, help="2 shows the planted edits and deletions.")] = 1,
) -> None:
    """Serves the demo persona's sites until Ctrl-C, so that `twin collect runa` finds them.

    The spiders need TWIN_ALLOW_PRIVATE_HOSTS=true, and any TWIN_LINKEDIN_TOKEN and TWIN_GITHUB_TOKEN.
    """
    from demo.sites import DemoSites

    with may_be_stopped("the sites are gone"), DemoSites(port=port, edition=edition) as sites:
        typer.echo(f"demo sites at {sites.url('/')}")
        threading.Event().wait()
