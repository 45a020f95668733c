"""The evaluation as a Weights & Biases artifact: offline by default, `wandb sync` sends it later."""

import os
import tempfile
from pathlib import Path

from twin_assets.settings import Settings


def publish_report(settings: Settings, persona: str, model: str, html: bytes, data: bytes) -> str:
    """Log page and JSON as one artifact; says where, or why not: a tracker that is away fails no evaluation."""
    if settings.wandb_mode == "disabled":
        return "not published: TWIN_WANDB_MODE is disabled"
    import wandb

    folder = settings.home / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    # Artifacts wait there to be synced; only the environment can say so.
    os.environ.setdefault("WANDB_DATA_DIR", str(folder))
    key = settings.wandb_api_key
    options = wandb.Settings(
        silent=True, console="off", disable_git=True, x_disable_stats=True,
        api_key=key.get_secret_value() if key else None,
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as staged, wandb.init(
            project=settings.wandb_project, mode=settings.wandb_mode, dir=str(folder), settings=options,
            job_type="evaluation", name=f"evaluate {model}", reinit="finish_previous",
        ) as run:  # fmt: skip
            artifact = wandb.Artifact(f"evaluation-{persona}", "evaluation", metadata={"model": model})
            for name, content in (("report.html", html), ("report.json", data)):
                (Path(staged) / name).write_bytes(content)
                artifact.add_file(str(Path(staged) / name), name=name)
            run.log_artifact(artifact)
            where = run.url or f"{Path(run.dir).parent.name} in {folder / 'wandb'}: wandb sync it"
    except (wandb.Error, OSError) as error:
        return f"not published: {type(error).__name__}; try again, or set TWIN_WANDB_MODE=offline"
    return where
