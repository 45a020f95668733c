"""Plots of the corpus, as PNG bytes."""

import io

from twin_assets.core.records import CleanedDocument


def corpus_plot(documents: list[CleanedDocument]) -> bytes:
    """Documents by source and category, and how long they are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    sources = sorted({d.source for d in documents})
    bottom = [0] * len(sources)
    for category in ("post", "article", "code"):
        counts = [sum(d.source == s and d.category == category for d in documents) for s in sources]
        left.bar(sources, counts, bottom=bottom, label=category)
        bottom = [a + b for a, b in zip(bottom, counts, strict=True)]
    left.set_ylabel("documents")
    left.legend(frameon=False)
    right.hist([d.words for d in documents], bins=20)
    right.set_xlabel("words in a document")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90)
    return png.getvalue()
