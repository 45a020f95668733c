"""Plots are drawn for full, small and empty corpora alike."""

import numpy as np
import pytest

from tests.support.chunks import chunk
from twin_assets.feature.plots import clusters_plot, corpus_plot, vectors_plot

PNG = b"\x89PNG"


@pytest.mark.parametrize("count", [0, 2, 40])
def test_a_map_of_the_chunks(count: int) -> None:
    rng = np.random.default_rng(0)
    chunks = [
        chunk(str(n), f"text {n}", 0).model_copy(update={"vector": rng.random(8).tolist()})
        for n in range(count)
    ]
    assert vectors_plot(chunks).startswith(PNG)


def test_an_empty_corpus_and_no_duplicates_have_plots_too() -> None:
    assert corpus_plot([]).startswith(PNG)
    assert clusters_plot({}).startswith(PNG)
    assert clusters_plot({"near": [2, 3, 60], "exact": [2]}).startswith(PNG)
