"""Runs one spider in this process: `python -m twin_assets.feature.crawl.run --persona runa --source medium`.

Twisted's reactor can't restart, so every crawl has its own process; `crawl.py` starts it. With
`--persona -` the persona is read from stdin as JSON, and `--report` names a file for the report.
"""

import argparse
import importlib
import logging
import pkgutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scrapy.crawler import CrawlerProcess

from twin_assets.core.errors import TwinError, tells_errors
from twin_assets.core.hashing import fingerprint
from twin_assets.core.persona.definition import SOURCES, Persona, load_persona, source_title
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.storage.raw import RawItem, body_hash
from twin_assets.feature.crawl import spiders
from twin_assets.feature.crawl.items import SAMPLES, CrawlReport
from twin_assets.feature.crawl.spiders.base import SPIDER_ERROR, SourceSpider
from twin_assets.feature.crawl.store import CrawlStore
from twin_assets.settings import Settings, load_settings

BY_ANOTHER = "by another author"  # as spiders say it of what another name signs
ERASED = "erased for good by the persona"
USER_AGENT = "llm-twin-crawler/0.1 (collects its owner's own and openly licensed writing; obeys robots.txt)"
log = logging.getLogger("crawl")


def spider_of(source: str) -> type[SourceSpider]:
    """The spider of a source: the one in the module of that name, in whichever folder of `spiders/`."""
    names = (info.name for info in pkgutil.walk_packages(spiders.__path__, f"{spiders.__name__}."))
    module = importlib.import_module(next(name for name in names if name.endswith(f".{source}")))
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SourceSpider) and vars(value).get("name") == source
    )


class StoreItems:
    """The pipeline's one step: keep what is wanted and news, count everything."""

    def __init__(self, spider: SourceSpider) -> None:
        self.spider, self.store, self.report = spider, spider.store, spider.report

    @classmethod
    def from_crawler(cls, crawler: Any) -> "StoreItems":
        return cls(crawler.spider)

    def process_item(self, item: RawItem) -> RawItem:
        if not self.spider.wanted(item.item_id, item.url):
            self.spider.listed.discard(item.item_id)
            self.spider.skip("left out by the persona's patterns")
            return item
        if self.store.is_erased(item.item_id):
            self.spider.skip(ERASED)  # without saying which: that is erased too
            return item
        try:
            verdict = self.store.offer(item)
        except Exception as error:  # a full disk, an ill object store: what isn't kept may not count as gone
            log.exception("not stored: %s", item.url)
            self.spider.fail(
                item.url, f"not stored: {error}", True, "see to the lake and to TWIN_HOME's disk."
            )
            return item
        if leaf := self.spider.leaf_of.pop(item.item_id, None):
            try:
                self.store.keep_leaf(leaf, self.spider.leaves[leaf])
            except Exception:  # the item is kept; a crawl that is killed now asks for it once more
                log.exception("not kept: what says that %s is unchanged", leaf)
        self.report.fetched += 1
        self.report.partial += item.partial
        setattr(self.report, verdict, getattr(self.report, verdict) + 1)
        if verdict != "unchanged":
            log.info("%s: %s", verdict, item.title or item.url)
            if len(self.report.samples) < SAMPLES:
                self.report.samples.append(f"{item.title or item.body[:60]} ({item.url})")
        return item


def run_crawl(settings: Settings, persona: Persona, source: str) -> CrawlReport:
    """Crawl one source to its end and store what it had. Starts the reactor: once a process."""
    report = CrawlReport(persona=persona.name, source=source)
    kind = spider_of(source)
    try:
        kind.check(settings, persona)
        # A local site of one's own is the same source as before when only its port has changed.
        part = persona.declared(source)
        closed = part.visibility or (None if persona.visibility == "public" else persona.visibility)
        rules = part.model_dump(include={"include", "exclude"}) | {"visibility": closed}
        names = [persona.full_name, *persona.also_known_as]
        declared = fingerprint([rules, names, kind.rules])
        lake = open_lake(settings)
        lake.sweep()
        store = CrawlStore(lake, settings.cache_dir, persona.name, source, declared)
    except TwinError as error:
        report.error = str(error)
        return report
    except OSError as error:  # a disk that has no room even for what a killed crawl had fetched
        report.error = _not_stored(source, error)
        return report
    report.recovered = store.recovered
    process = CrawlerProcess(_scrapy_settings(settings))
    crawler = process.create_crawler(kind)
    process.crawl(crawler, persona=persona, settings=settings, store=store, report=report)
    process.start()
    stats = crawler.stats
    assert stats
    report.requests = int(stats.get_value("downloader/request_count") or 0)
    report.bytes = int(stats.get_value("downloader/response_bytes") or 0)
    # What no callback caught: the first requests, an item's way into the store, Scrapy itself.
    bugs = int(stats.get_value("log_count/CRITICAL") or 0) + sum(
        int(n) for key, n in stats.get_stats().items() if key.startswith("spider_exceptions/")
    )
    spider = crawler.spider
    if bugs or not isinstance(spider, SourceSpider):
        report.failed[SPIDER_ERROR] = max(bugs, 1)
        report.error = f"{source}: the spider itself failed. Fix: read the crawl's log; this is a bug."
    if isinstance(spider, SourceSpider):
        spider.listing_complete &= not bugs
        report.bugs = spider.bugs + bugs
    try:
        if isinstance(spider, SourceSpider):
            _settle(spider, store, report)
        report.raw_uri = store.finish()
    except (OSError, TwinError) as error:
        report.error = _not_stored(source, error)
    report.items, report.damaged = len(store.state.known), store.damaged
    log.info(
        "%d requests, %s bytes; saved %d requests, %d answers by 304, %s bytes",
        report.requests,
        f"{report.bytes:,}",
        report.saved_requests,
        report.not_modified,
        f"{report.saved_bytes:,}",
    )
    store.close()
    return report


def _not_stored(source: str, error: Exception) -> str:
    return (
        f"{source}: what was fetched could not be brought to the lake: {error}. "
        "Fix: see to the lake and to TWIN_HOME's disk, then crawl again; what is in the part file is stored then."
    )


def _fix_of_nothing(spider: SourceSpider, report: CrawlReport) -> str:
    """What to do about a source of which nothing is kept: most often it is signed by a name that nobody declared."""
    if not report.skipped.get(BY_ANOTHER):
        return spider.unknown_fix
    signed = "; ".join(report.left_out.get(BY_ANOTHER, [])[:3])
    return f"where it is the persona's, add the name that signs it to also_known_as in the persona's YAML ({signed})."


def _settle(spider: SourceSpider, store: CrawlStore, report: CrawlReport) -> None:
    """Deletions, validators, and the errors of a source that is empty or ill, once the crawl is over."""
    came = report.fetched + report.unchanged
    items = ("items", spider.lost, spider.lost + came)
    for what, lost, requests in (items, ("lists", spider.parts_lost, spider.parts)):
        if 2 * lost > requests and not report.error:  # an ill site rather than odd items
            report.error = (
                f"{source_title(spider.name)}: {lost} of {requests} {what} could not be read, more than half; "
                f"the first: {spider.first_loss}"
            )
            spider.listing_complete = False
    if not spider.listed and not report.error and not report.blocked:
        left_out = f" (left out: {report.skipped})" if report.skipped else ""
        report.error = f"{source_title(spider.name)}: nothing was found there{left_out}. Fix: {_fix_of_nothing(spider, report)}"
        spider.listing_complete = False
    if spider.listing_complete:
        spider.before_deletions()
    for item_id in sorted(set(store.state.known) - spider.listed):
        item = store.state.known[item_id]
        if item_id in spider.dropped or (spider.listing_complete and not item.windowed):
            store.delete(_tombstone(spider, item_id, item.category, item.url))
            report.deleted += 1
    # A listing's 304 vouches for its items, so its validators are kept only when all of them came.
    validators = dict(store.state.validators) | spider.leaves
    complete = spider.listing_complete and not spider.lost and not spider.parts_lost
    if complete and not report.failed and not report.blocked:
        validators = spider.leaves | spider.validators
    store.state.validators = validators


def _tombstone(spider: SourceSpider, item_id: str, category: Any, url: str) -> RawItem:
    return RawItem(
        persona=spider.persona.name,
        source=spider.name,
        item_id=item_id,
        kind="deleted",
        category=category,
        url=url,
        fetched_at=datetime.now(UTC),
        mime="text/plain",
        body="",
        content_hash=body_hash(""),
    )


def _scrapy_settings(settings: Settings) -> dict[str, Any]:
    return {
        "USER_AGENT": USER_AGENT,
        "ROBOTSTXT_OBEY": True,
        "HTTPERROR_ALLOW_ALL": True,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": 0.05,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(settings.crawl_concurrency),
        "CONCURRENT_REQUESTS_PER_DOMAIN": 2 * settings.crawl_concurrency,
        "DOWNLOAD_TIMEOUT": 30,
        "DOWNLOAD_MAXSIZE": 20_000_000,
        "RETRY_TIMES": 2,
        # Both cost as much as our own work on a page: a look at each callback's source, and a task for
        # each of a hundred items that a page might have.
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
        "CONCURRENT_ITEMS": 4,
        "TWIN_BACKOFF": settings.crawl_backoff,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "EXTENSIONS": {"scrapy.extensions.remote_control.RemoteControl": None},  # it opens a port
        "TWIN_ALLOW_PRIVATE": settings.allow_private_hosts,
        "TWISTED_DNS_RESOLVER": "scrapy.resolver.CachingThreadedResolver"
        if settings.allow_private_hosts
        else "twin_assets.feature.crawl.polite.guard.PublicResolver",
        "DOWNLOADER_MIDDLEWARES": {
            "twin_assets.feature.crawl.polite.guard.GuardMiddleware": 10,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "twin_assets.feature.crawl.polite.politeness.PatientRetry": 550,
        },
        "ITEM_PIPELINES": {"twin_assets.feature.crawl.run.StoreItems": 100},
    }


@tells_errors
def main() -> int:
    """Command line entry point; the exit status is 1 when the report has an error."""
    parser = argparse.ArgumentParser(description="Crawl one source of one persona.")
    parser.add_argument("--persona", required=True, help="a persona's name, or - for JSON on stdin")
    parser.add_argument("--source", required=True, choices=SOURCES)
    parser.add_argument("--report", type=Path, help="write the report there as JSON")
    arguments = parser.parse_args()
    shown = logging.StreamHandler(sys.stdout)
    # On the handler: Scrapy sets the levels of its own loggers, and lowers them as it starts.
    shown.addFilter(lambda record: record.levelno >= logging.WARNING or record.name == log.name)
    logging.basicConfig(level=logging.INFO, handlers=[shown], format="%(name)s: %(message)s")
    settings = load_settings()
    persona = (
        Persona.model_validate_json(sys.stdin.read())
        if arguments.persona == "-"
        else load_persona(settings.personas_dir, arguments.persona)
    )
    report = run_crawl(settings, persona, arguments.source)
    if arguments.report:
        arguments.report.write_text(report.model_dump_json())
    else:
        print(report.model_dump_json(indent=2))
    return 1 if report.error else 0


if __name__ == "__main__":
    sys.exit(main())
