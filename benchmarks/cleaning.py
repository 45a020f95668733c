"""Cleaning judged: token F1 and documents a second, ours beside trafilatura, on the labelled pages.

Run: `python benchmarks/cleaning.py`. The peer is no dependency of the platform: install it into a folder with
`pip install --target <folder> trafilatura lxml_html_clean` and name that folder in TWIN_PEERS. Without it the
peer's columns are skipped, loudly. Ours is all of `clean_document`: blocks, boilerplate, masking, both views.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Document
from twin_assets.feature.corpus.clean import clean_document

PAGES = Path(__file__).parent / "pages"
DOCUMENTS = 2000
ROUNDS = 4

Extract = Callable[[str, str], str]


def main() -> None:
    """Print one line a page and the means, then documents a second and the ratios."""
    pages = load_pages()
    tools: dict[str, Extract] = {"ours": ours}
    if peer := load_peer():
        tools["trafilatura"] = peer
    else:
        print("SKIPPED: trafilatura is not there, so nothing is compared. See this file's first lines.\n")
    print("| page | " + " | ".join(f"{name}: precision | recall | F1" for name in tools) + " |")
    print("|---" * (1 + 3 * len(tools)) + "|")
    scores = {
        tool: [judge(extract(*pages[p][:2]), pages[p][2]) for p in pages] for tool, extract in tools.items()
    }
    for number, page in enumerate(pages):
        print(f"| {page} | " + " | ".join(_row(scores[tool][number]) for tool in tools) + " |")
    means = {
        tool: tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))
        for tool, rows in scores.items()
    }
    print("| mean | " + " | ".join(_row(means[tool]) for tool in tools) + " |")
    rates = measure(pages, tools)
    print(f"\n{DOCUMENTS} documents, best of {ROUNDS} interleaved rounds of {DOCUMENTS // ROUNDS}:")
    for tool, rate in rates.items():
        print(f"{tool}: {rate:.0f} documents/s")
    if "trafilatura" in tools:
        print(f"ratio of speed: {rates['ours'] / rates['trafilatura']:.2f}")
        print(f"ratio of mean F1: {means['ours'][2] / means['trafilatura'][2]:.3f}")


def load_pages() -> dict[str, tuple[str, str, str]]:
    """By page: HTML, title (the `<h1>` is not part of the wanted body) and the wanted body."""
    found = {}
    for path in sorted(PAGES.glob("*.html")):
        page = path.read_text()
        title = re.search(r"<title[^>]*>(.*?)</title>", page)
        found[path.stem] = (page, title[1] if title else "", path.with_suffix(".txt").read_text())
    return found


def load_peer() -> Extract | None:
    """trafilatura's extraction at its defaults, without comments; None where it is not installed."""
    if folder := os.environ.get("TWIN_PEERS"):
        sys.path.append(folder)
    try:
        trafilatura = import_module("trafilatura")
    except ImportError:
        return None
    return lambda page, title: trafilatura.extract(page, include_comments=False) or ""


def ours(page: str, title: str) -> str:
    """`voice_text` of the page as a document whose language is declared, as the collectors do."""
    document = Document(
        persona="judge", source="web", category="article", doc_id=text_hash(page), url="https://judge.example/",
        title=title, fetched_at=datetime(2024, 1, 1, tzinfo=UTC), mime="text/html", body=page,
        content_hash=text_hash(page), language="en",
    )  # fmt: skip
    return clean_document(document).voice_text


def judge(found: str, wanted: str) -> tuple[float, float, float]:
    """Precision, recall and F1 over bags of words; a sign of Chinese or Japanese is a word."""
    ours, theirs = Counter(_words(found)), Counter(_words(wanted))
    shared = sum((ours & theirs).values())
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / sum(ours.values()), shared / sum(theirs.values())
    return precision, recall, 2 * precision * recall / (precision + recall)


def measure(pages: dict[str, tuple[str, str, str]], tools: dict[str, Extract]) -> dict[str, float]:
    """Documents a second of each tool: its best round, the tools taking turns so that both meet the same load."""
    corpus = [list(pages.values())[n % len(pages)] for n in range(DOCUMENTS // ROUNDS)]
    best = dict.fromkeys(tools, 0.0)
    for _ in range(ROUNDS):
        for name, extract in tools.items():
            start = time.process_time()
            for page, title, _wanted in corpus:
                extract(page, title)
            best[name] = max(best[name], len(corpus) / (time.process_time() - start))
    return best


def _words(text: str) -> list[str]:
    return re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+", text.lower())


def _row(score: tuple[float, ...]) -> str:
    return " | ".join(f"{part:.3f}" for part in score)


if __name__ == "__main__":
    main()
