"""Waits as long as a site asks before asking it again, and longer each time where it doesn't say.

Retry-After: RFC 9110, section 10.2.3. Backoff with full jitter, so that clients don't return in step.
"""

import asyncio
import logging
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from scrapy import Request
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.http import Response

# A site that asks for more is left alone until the next crawl.
LONGEST_WAIT = 60.0
log = logging.getLogger("crawl")


def wait_asked(header: bytes | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for; None when there is none, or none that can be read."""
    text = (header or b"").decode("latin-1").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max((moment - now).total_seconds(), 0.0)


def backoff(base: float, tried: int, random_share: float) -> float:
    """Seconds to wait after `tried` attempts: at most base * 2^tried, spread evenly below that."""
    return min(base * 2.0**tried, LONGEST_WAIT) * random_share


class PatientRetry(RetryMiddleware):
    """Scrapy's retries, each after a wait."""

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        retry_after = wait_asked(response.headers.get("Retry-After"), datetime.now(UTC))
        # A refusal that names its end is a limit: GitHub's secondary one.
        limited = response.status == 403 and retry_after is not None
        if response.status not in self.retry_http_codes and not limited:
            return response
        if retry_after is not None and retry_after > LONGEST_WAIT:
            log.warning("%s asks to wait %.0f s: left for the next crawl", request.url, retry_after)
            return response
        again = self._retry(request, f"HTTP {response.status}")
        if again is None:
            return response
        tried = int(request.meta.get("retry_times", 0))
        base = self.crawler.settings.getfloat("TWIN_BACKOFF")
        wait = retry_after if retry_after is not None else backoff(base, tried, random.random())
        log.info("HTTP %s from %s: again in %.1f s", response.status, request.url, wait)
        await asyncio.sleep(wait)
        return again
