"""Pictures of a hyperparameter search."""

from itertools import accumulate

from twin_assets.training.axolotl.reporting.plots import png
from twin_assets.training.search.study import SearchResult


def history_plot(result: SearchResult) -> bytes:
    """Loss of each trial and the best so far, with the shipped values' loss as a line; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    for state, marker, colour in (("complete", "o", "C0"), ("pruned", "x", "0.6")):
        points = [(t.number, t.loss) for t in result.trials if t.state == state and t.loss is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=colour, label=state)
    complete = [(t.number, t.loss) for t in result.trials if t.state == "complete" and t.loss is not None]
    numbers, losses = zip(*complete, strict=True)
    axes.step(
        numbers, list(accumulate(losses, min)), where="post", color="C0", linewidth=1, label="best so far"
    )
    axes.axhline(result.shipped.loss or 0.0, color="C1", linestyle="--", linewidth=1, label="shipped values")
    axes.set(xlabel="trial", ylabel="evaluation loss (nats a token)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def importance_plot(result: SearchResult) -> bytes:
    """How much of the loss's variation each dimension explains; a PNG. Says so when too few trials tell."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.5), layout="constrained")
    axes = figure.subplots()
    if result.importance:
        names = sorted(result.importance, key=lambda name: result.importance[name])
        axes.barh(names, [result.importance[name] for name in names], color="C0")
        axes.set(xlabel="share of the variation in loss", xlim=(0, 1))
        axes.spines[["top", "right"]].set_visible(False)
    else:
        axes.text(0.5, 0.5, "too few trials to tell", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
    return png(figure)
