"""Crawl speed and memory: the web spider beside a bare Scrapy spider that only saves bodies.

    python -m benchmarks.crawl [--pages 5000]

A local site of its own process serves the pages and a sitemap. Both spiders ask for the same addresses
with the same number of requests at a time; ours also reads robots.txt, checks for block pages, reads
each page's metadata, compares it with what it knows, and stores it with validators. Prints pages a
second, the ratio, and peak memory at a fifth of the pages and at all of them.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel

CONCURRENCY = 8  # at each of both; the shipped default is 2, for other people's sites
PARAGRAPH = "<p>The tide table was late again, so we kept the logbook open and waited for the pilot. </p>"


class Run(BaseModel):
    pages: int
    seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.pages / self.seconds


def page(number: int) -> bytes:
    """An article of about 8 kB."""
    return (
        f"<html><head><title>Page {number}</title></head><body><nav>Home</nav><article><h1>Page {number}</h1>"
        f"{PARAGRAPH * 80}</article></body></html>"
    ).encode()


def serve(pages: int, port: "multiprocessing.Queue[int]") -> None:
    """Answer robots.txt, the sitemap and the pages, each with an ETag, over kept connections."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = f"http://127.0.0.1:{writer.get_extra_info('sockname')[1]}"
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            path = head.split(b" ", 2)[1].decode()
            if path == "/sitemap.xml":
                urls = "".join(f"<url><loc>{own}/page/{n}</loc></url>" for n in range(pages))
                body = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'.encode()
            elif path == "/robots.txt":
                body = b"User-agent: *\nDisallow:\n"
            else:
                body = page(int(path.rsplit("/", 1)[-1]))
            kind = "text/xml" if path.endswith("xml") else "text/html; charset=utf-8"
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nETag: \"{path}\"\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode() + body
            )  # fmt: skip
            await writer.drain()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(quietly, "127.0.0.1", 0, limit=1 << 20)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def run_ours(base: str, home: Path) -> int:
    """Crawl the sitemap with the platform's own spider; returns the pages it stored."""
    from twin_assets.core.persona.definition import Persona
    from twin_assets.core.persona.sources import Web
    from twin_assets.feature.crawl.run import run_crawl
    from twin_assets.settings import Settings

    settings = Settings(home=home, allow_private_hosts=True, crawl_concurrency=CONCURRENCY)
    web = Web(sitemaps=[f"{base}/sitemap.xml"])
    persona = Persona(name="bench", full_name="B", about="B.", license="MIT", web=web)
    report = run_crawl(settings, persona, "web")
    if report.error:
        raise SystemExit(report.error)
    return report.new


def run_bare(base: str, home: Path) -> int:
    """Crawl the sitemap with Scrapy's SitemapSpider, one JSON line a body; returns the pages it saved."""
    from scrapy.crawler import CrawlerProcess
    from scrapy.spiders import SitemapSpider

    home.mkdir(parents=True, exist_ok=True)
    saved = 0
    with (home / "pages.jsonl").open("w") as out:

        class Bare(SitemapSpider):
            name = "bare"
            sitemap_urls = (f"{base}/sitemap.xml",)

            def parse(self, response):  # type: ignore[no-untyped-def]
                nonlocal saved
                saved += 1
                out.write(json.dumps({"url": response.url, "body": response.text}) + "\n")

        settings = {
            "LOG_LEVEL": "ERROR", "TELNETCONSOLE_ENABLED": False, "ROBOTSTXT_OBEY": True,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 2 * CONCURRENCY, "DOWNLOAD_DELAY": 0,
        }  # fmt: skip
        process = CrawlerProcess(settings)
        process.crawl(Bare)
        process.start()
    return saved


def child(kind: str, base: str, home: Path) -> None:
    """One crawl in this process; prints its Run as JSON."""
    started = time.monotonic()
    pages = (run_ours if kind == "ours" else run_bare)(base, home)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(Run(pages=pages, seconds=time.monotonic() - started, peak_mb=peak).model_dump_json())


def measure(kind: str, pages: int) -> Run:
    """Start a fresh site and a fresh process for one crawl."""
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    site = multiprocessing.Process(target=serve, args=(pages, port), daemon=True)
    site.start()
    try:
        base = f"http://127.0.0.1:{port.get(timeout=20)}"
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.crawl", "--child", kind, base, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
        run = Run.model_validate_json(done.stdout.strip().splitlines()[-1])
        if run.pages != pages:
            raise SystemExit(f"{kind} got {run.pages} of {pages} pages")
        return run
    finally:
        site.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=5_000)
    parser.add_argument("--child", nargs=3, metavar=("KIND", "BASE", "HOME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], arguments.child[1], Path(arguments.child[2]))
        return
    print(f"{'spider':<12} {'pages':>6} {'seconds':>8} {'pages/s':>8} {'peak MB':>8}")
    rates: dict[str, float] = {}
    for kind in ("bare", "ours"):
        for pages in (arguments.pages // 5, arguments.pages):
            run = measure(kind, pages)
            rates[kind] = run.rate
            print(
                f"{kind:<12} {run.pages:>6} {run.seconds:>8.1f} {run.rate:>8.0f} {run.peak_mb:>8.0f}",
                flush=True,
            )
    print(f"ours / bare Scrapy: {rates['ours'] / rates['bare']:.2f} of its pages a second (wanted: 0.8)")


if __name__ == "__main__":
    main()
