"""Pictures of a hyperparameter search, as Optuna draws them."""

from collections.abc import Callable
from typing import Any

from twin_assets.settings import Settings
from twin_assets.training.axolotl.reporting.plots import png
from twin_assets.training.search.study import SearchResult, storage


def study_plots(settings: Settings, result: SearchResult) -> dict[str, bytes]:
    """PNGs by name: the loss of each trial with that of the shipped values, each trial's way there, the loss by each dimension, and how
    much of its variation each explains (PED-ANOVA, Watanabe et al. 2023). What too few trials tell nothing of is left out."""
    import matplotlib

    matplotlib.use("Agg")  # Optuna draws with pyplot, which would look for a screen
    import optuna
    from matplotlib import pyplot
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as plots

    study = optuna.load_study(study_name=result.study, storage=storage(settings))
    drawn: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(study, target_name="evaluation loss"),
        "courses": lambda: plots.plot_intermediate_values(study),
    }
    if len({trial.loss for trial in result.trials if trial.state == "complete"}) > 1:
        drawn["slices"] = lambda: plots.plot_slice(study, target_name="evaluation loss")
        drawn["importance"] = lambda: plots.plot_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator()
        )
    pictures = {}
    for name, draw in drawn.items():
        draw()
        if name == "history" and result.shipped.loss is not None:
            pyplot.axhline(
                result.shipped.loss, color="black", linestyle="--", linewidth=1, label="shipped values"
            )
            pyplot.legend()
        # Optuna writes legends and long names beside the axes.
        pictures[name] = png(pyplot.gcf(), bbox_inches="tight")
        pyplot.close("all")
    return pictures
