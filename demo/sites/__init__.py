"""Local sites that serve the demo persona's writing in the sources' own wire formats."""

from demo.sites.server import DemoSites

__all__ = ["DemoSites"]
