"""Plots of the corpus and its vectors, as PNG bytes."""

import io
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twin_assets.core.records import EmbeddedChunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CATEGORIES = ("post", "article", "code")
# More points are a cloud anyway, and UMAP takes minutes on them.
MAX_POINTS = 5_000


class PlottedDocument(NamedTuple):
    """What the plot of a corpus shows of a document."""

    source: str
    category: str
    words: int
    published_at: datetime | None
    language: str | None


def corpus_plot(documents: list[PlottedDocument]) -> bytes:
    """Documents by source and category, their lengths, their growth over time, and their languages."""
    figure = _figure(8, 6)
    axes = figure.subplots(2, 2)
    _stacked(axes[0, 0], documents)
    axes[0, 1].hist([d.words for d in documents], bins=20)
    axes[0, 1].set_xlabel("words in a document")
    dated = sorted((d.published_at, d.category) for d in documents if d.published_at)
    for category in CATEGORIES:
        times = [at for at, kind in dated if kind == category]
        if times:
            axes[1, 0].step(times, range(1, len(times) + 1), where="post", label=category)
    axes[1, 0].set_ylabel("documents published so far")
    axes[1, 0].tick_params(axis="x", rotation=30)
    if dated:
        axes[1, 0].legend(frameon=False)
    languages = Counter(d.language or "unknown" for d in documents).most_common(8)
    axes[1, 1].barh([name for name, _ in languages], [n for _, n in languages], 0.5)
    axes[1, 1].margins(y=0.4)
    axes[1, 1].set_xlabel("documents by language")
    return _png(figure)


def clusters_plot(sizes: dict[str, list[int]]) -> bytes:
    """Sizes of duplicate clusters, by the kind of their weakest link."""
    figure = _figure(5, 3)
    axes = figure.subplots()
    largest = max((n for these in sizes.values() for n in these), default=2)
    bins = np.arange(1.5, min(largest, 20) + 1.5)
    kinds = [kind for kind in sorted(sizes) if sizes[kind]]
    axes.hist([np.minimum(sizes[kind], 20) for kind in kinds], bins=list(bins), stacked=True, label=kinds)
    axes.set_xlabel("documents in a cluster (20: or more)")
    axes.set_ylabel("clusters")
    if kinds:
        axes.legend(frameon=False)
    return _png(figure)


def lengths_plot(lengths: dict[str, tuple[list[int], list[int]]]) -> bytes:
    """Words of the chosen and of the rejected side of preference pairs, by kind: one cloud a kind."""
    figure = _figure(5, 4)
    axes = figure.subplots()
    longest = max((n for sides in lengths.values() for side in sides for n in side), default=1)
    axes.plot([0, longest], [0, longest], color="0.8", linewidth=1, zorder=0)
    for kind, (chosen, rejected) in lengths.items():
        axes.scatter(chosen, rejected, s=12, alpha=0.7, label=f"{kind}: {len(chosen)}")
    axes.set(xlabel="words of chosen", ylabel="words of rejected")
    if lengths:
        axes.legend(frameon=False)
    return _png(figure)


def vectors_plot(chunks: list[EmbeddedChunk], seed: int = 17) -> bytes:
    """A map of the chunks: their vectors in two dimensions, by UMAP where it is installed, else by PCA."""
    figure = _figure(6, 5)
    axes = figure.subplots()
    chosen = np.random.default_rng(seed).permutation(len(chunks))[:MAX_POINTS]
    points, method = _flat(np.array([chunks[i].vector for i in chosen], dtype=np.float32), seed)
    kinds = [(chunks[i].category, chunks[i].split) for i in chosen]
    for category in CATEGORIES:
        for split, marker in (("train", "o"), ("heldout", "x")):
            mine = [n for n, kind in enumerate(kinds) if kind == (category, split)]
            if mine:
                axes.scatter(
                    points[mine, 0],
                    points[mine, 1],
                    s=12,
                    marker=marker,
                    alpha=0.7,
                    label=f"{category}, {split}",
                )
    axes.set_title(f"{len(chosen)} of {len(chunks)} chunks, {method}")
    axes.set_xticks([])
    axes.set_yticks([])
    if kinds:
        axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _flat(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Points, shape (n, 2), and the method's name."""
    if len(vectors) < 3:
        return np.zeros((len(vectors), 2)), "too few for a map"
    try:
        from umap import UMAP

        return UMAP(n_neighbors=min(15, len(vectors) - 1), random_state=seed).fit_transform(vectors), "UMAP"
    except ImportError:
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(vectors), "PCA"


def _stacked(axes, documents: list[PlottedDocument]) -> None:  # type: ignore[no-untyped-def]
    sources = sorted({d.source for d in documents})
    bottom = [0] * len(sources)
    for category in CATEGORIES:
        counts = [sum(d.source == s and d.category == category for d in documents) for s in sources]
        if any(counts):
            axes.bar(sources, counts, 0.5, bottom=bottom, label=category)
        bottom = [a + b for a, b in zip(bottom, counts, strict=True)]
    axes.set_ylabel("documents")
    axes.margins(x=0.4, y=0.2)
    if documents:
        axes.legend(loc="upper right")


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: "Figure") -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90)
    return png.getvalue()
