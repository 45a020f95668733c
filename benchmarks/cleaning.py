"""Bodies of pages judged: F1 on 181 pages that others labelled, and pages a CPU second, ours beside every peer.

Run: `python benchmarks/cleaning.py`. The pages are the public article-extraction-benchmark's (MIT), expected with labels
and scorer in `../shared/reality` or in the folder that TWIN_REALITY names; without them nothing is measured, and it says
so. Peers beyond trafilatura are no dependencies of the platform: `pip install --target <folder>` readability-lxml,
resiliparse or newspaper4k, and name the folder (several as in PATH) in TWIN_PEERS.
"""

import gzip
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import Document
from twin_assets.core.text.html.blocks import html_blocks
from twin_assets.feature.corpus.cleaning.clean import clean_document

REALITY = Path(os.environ.get("TWIN_REALITY", Path(__file__).resolve().parents[2] / "shared" / "reality"))
ROUNDS = 3
MISSING = f"SKIPPED, LOUDLY: {REALITY}/article-pages is not there, so NOTHING IS MEASURED. TWIN_REALITY names its folder."
OURS, WHOLE = "ours", "ours, all of clean_document"

Extract = Callable[[str], str]


def main() -> None:
    """Print a row an extractor and the ratios to the best and to the fastest setting of trafilatura."""
    if not is_there():
        sys.exit(MISSING)
    pages = load_pages()
    tools = {OURS: ours, WHOLE: cleaned} | load_peers()
    texts = {name: {page: extract(body) for page, body in pages.items()} for name, extract in tools.items()}
    rates = measure(list(pages.values()), tools)
    scores = {name: judge(found) for name, found in texts.items()}
    print(f"{len(pages)} pages; best of {ROUNDS} interleaved rounds, CPU seconds of this process\n")
    print("| extractor | F1 | precision | recall | halves | pages at 0 | pages a CPU second |")
    print("|---" * 7 + "|")
    for name, (f1, precision, recall, zero) in scores.items():
        halves = " / ".join(f"{judge(texts[name], half)[0]:.3f}" for half in (0, 1))
        print(
            f"| {name} | {f1:.3f} | {precision:.3f} | {recall:.3f} | {halves} | {zero} | {rates[name]:.0f} |"
        )
    for peer in scores:
        if not peer.startswith(OURS):
            ratio = scores[OURS][0] / scores[peer][0], rates[OURS] / rates[peer]
            print(f"ours to {peer}: F1 {ratio[0]:.3f} x, speed {ratio[1]:.2f} x")


def is_there() -> bool:
    """Whether the labelled pages are on this machine."""
    return (REALITY / "article-pages" / "labels.json").is_file()


def load_pages(every: int = 1) -> dict[str, str]:
    """HTML by the id of its label, in order of id; every n-th page."""
    folder = REALITY / "article-pages"
    names = sorted(json.loads((folder / "labels.json").read_text("utf-8")))[::every]
    return {
        n: gzip.decompress((folder / f"{n}.html.gz").read_bytes()).decode("utf-8", "replace") for n in names
    }


def judge(found: dict[str, str], half: int | None = None) -> tuple[float, float, float, int]:
    """F1, precision and recall of texts by page id, and how many pages have nothing right; by the set's own scorer.

    Means are over all pages given, or over every other one of them.
    """
    scorer = load_scorer()
    labels = json.loads((REALITY / "article-pages" / "labels.json").read_text("utf-8"))
    names = sorted(found)[slice(half, None, 2) if half is not None else slice(None)]
    rows = [scorer.page_scores(labels[name]["articleBody"], found[name]) for name in names]
    precision, recall = _mean(p for p, _ in rows), _mean(r for _, r in rows)
    zero = sum(not (p and r) for p, r in rows)
    return 2 * precision * recall / ((precision + recall) or 1.0), precision, recall, zero


def load_scorer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", REALITY / "score.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(page: str) -> str:
    return "\n".join(html_blocks(page))


def cleaned(page: str) -> str:
    """`voice_text` of the page as a document whose language is declared, as the collectors do."""
    document = Document(
        persona="judge", source="web", category="article", doc_id=text_hash(page), url="https://judge.example/",
        title="", fetched_at=datetime(2024, 1, 1, tzinfo=UTC), mime="text/html", body=page,
        content_hash=text_hash(page), language="en",
    )  # fmt: skip
    return clean_document(document).voice_text


def load_peers() -> dict[str, Extract]:
    """Every other extractor that is installed, at its named settings, comments left out."""
    sys.path += [folder for folder in os.environ.get("TWIN_PEERS", "").split(os.pathsep) if folder]
    import trafilatura

    logging.getLogger("newspaper").setLevel(logging.CRITICAL)
    logging.getLogger("readability").setLevel(logging.CRITICAL)
    peers: dict[str, Extract] = {
        f"trafilatura, {name}": lambda page, how=how: (
            trafilatura.extract(page, include_comments=False, **how) or ""
        )
        for name, how in {
            "default": {},
            "fast": {"fast": True},
            "favor_precision": {"favor_precision": True},
        }.items()
    }
    for name, module, extract in (
        ("readability-lxml", "readability", _readability),
        ("resiliparse", "resiliparse.extract.html2text", _resiliparse),
        ("newspaper4k", "newspaper", _newspaper),
    ):
        try:
            import_module(module)
        except ImportError:
            print(f"SKIPPED: {name} is not installed; see this file's first lines.")
        else:
            peers[name] = extract
    return peers


def _readability(page: str) -> str:
    from lxml import html

    try:
        summary = import_module("readability").Document(page).summary()
    except Exception:  # what it can't read counts as nothing
        return ""
    return "\n".join(html.fromstring(summary).itertext())


def _resiliparse(page: str) -> str:
    return str(import_module("resiliparse.extract.html2text").extract_plain_text(page, main_content=True))


def _newspaper(page: str) -> str:
    article = import_module("newspaper").Article("https://judge.example/", fetch_images=False)
    article.download(input_html=page)
    article.parse()
    return str(article.text)


def measure(pages: list[str], tools: dict[str, Extract]) -> dict[str, float]:
    """Pages a CPU second of each tool: its best round, the tools taking turns so that all meet the same load."""
    best = dict.fromkeys(tools, 0.0)
    for _ in range(ROUNDS):
        for name, extract in tools.items():
            start = time.process_time()
            for page in pages:
                extract(page)
            best[name] = max(best[name], len(pages) / (time.process_time() - start))
    return best


def _mean(shares: Iterable[float | None]) -> float:
    known = [share for share in shares if share is not None]
    return sum(known) / max(len(known), 1)


if __name__ == "__main__":
    main()
