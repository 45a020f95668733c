"""What Weights & Biases is told of a run besides its metrics: the dataset it read, the model it made.

Both by name and manifest; the texts and the weights stay where they are.
"""

from typing import Any

from transformers import TrainerCallback

from twin_assets.core.datasets.rows import kind_for
from twin_assets.training.configs.job import TrainingJob


class ArtifactLogger(TrainerCallback):
    """Adds a dataset artifact at the beginning of a W&B run, and a model artifact at its end."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        import wandb

        if wandb.run is None:
            return
        kind = kind_for(self.job.stage)
        version = self.job.lineage.datasets[kind]
        about = {"version": version, "rows": self.job.rows}
        dataset = wandb.Artifact(f"{self.job.lineage.persona}-{kind}", "dataset", metadata=about)
        manifest = self.job.dataset_dir / "manifest.json"
        if manifest.is_file():
            dataset.add_file(str(manifest))
        # Only online can an artifact be marked as what a run has read.
        (wandb.run.log_artifact if wandb.run.offline else wandb.run.use_artifact)(dataset)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        import wandb

        if wandb.run is None or state.global_step < state.max_steps:
            return
        lineage = self.job.lineage
        about = {"registry_tag": self.job.model_tag, "lineage": lineage.model_dump(exclude_none=True)}
        model = wandb.Artifact(f"twin-{lineage.persona}-{lineage.stage}", "model", metadata=about)
        with model.new_file("lineage.json") as file:
            file.write(lineage.model_dump_json(indent=2))
        wandb.run.log_artifact(model)
