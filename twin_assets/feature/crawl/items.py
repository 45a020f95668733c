"""What a crawl reports."""

from pydantic import BaseModel

SAMPLES = 5


class CrawlReport(BaseModel):
    """What one crawl of one source did. `error` names what went wrong and the fix, else None.

    `items` is how many the source has now; `saved_*` count what a first crawl would have cost on top: requests that were not sent, and the
    sizes of answers that a 304 stood for. `troubles` are the first few of `failed` and `blocked`, `left_out` the first
    few of each reason of `skipped`.
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
    recovered: int = 0
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
