"""What a crawl reports."""

from pydantic import BaseModel

SAMPLES = 5


class CrawlReport(BaseModel):
    """What one crawl of one source did. `error` names what made it incomplete and the fix, else None.

    `items` is how many the source has now; `saved_*` count what a first crawl would have cost on top: requests that
    were not sent, and the sizes of answers that a 304 stood for. `skipped` counts by reason what was left out or could
    not be read while the crawl went on, `left_out` names the first few of each reason. `failed` counts what made the
    crawl incomplete, and `troubles` are the first few of `failed` and `blocked`. `bugs` are answers on which our own
    code failed: nothing was deleted then. `damaged` counts lines of parts that could not be read: they are kept aside, and
    what they held is asked for again.
    """

    persona: str
    source: str
    items: int = 0
    fetched: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    partial: int = 0
    deleted: int = 0
    bugs: int = 0
    recovered: int = 0
    damaged: int = 0
    blocked: dict[str, int] = {}
    failed: dict[str, int] = {}
    skipped: dict[str, int] = {}
    left_out: dict[str, list[str]] = {}
    requests: int = 0
    bytes: int = 0
    not_modified: int = 0
    saved_requests: int = 0
    saved_bytes: int = 0
    samples: list[str] = []
    troubles: list[str] = []
    raw_uri: str | None = None
    error: str | None = None

    def count(self, tally: dict[str, int], reason: str, where: str) -> None:
        """Add one to a reason of `blocked` or `failed`, and keep the first few as samples."""
        tally[reason] = tally.get(reason, 0) + 1
        if len(self.troubles) < SAMPLES:
            self.troubles.append(f"{reason}: {where}")
