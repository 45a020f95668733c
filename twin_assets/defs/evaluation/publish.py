"""The evaluation as a Weights & Biases artifact: offline by default, `wandb sync` sends it later."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twin_assets.settings import Settings

SECONDS, RETRIES = 60.0, 3  # of each call of W&B; its own are days


def publish_report(settings: Settings, persona: str, model: str, html: bytes, data: bytes) -> str:
    """Log page and JSON as one artifact; says where, or why not: a tracker that is away fails no evaluation.

    W&B speaks to its own process through the environment, which what is started later would inherit: a training
    would log into this process's session. Both are gone when this returns.
    """
    if settings.wandb_mode == "disabled":
        return "not published: TWIN_WANDB_MODE is disabled"
    import wandb

    folder = settings.home / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    key = settings.wandb_api_key
    options = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        x_disable_stats=True,
        init_timeout=SECONDS,
        x_graphql_timeout_seconds=SECONDS,
        x_graphql_retry_max=RETRIES,
        x_file_transfer_timeout_seconds=10 * SECONDS,
        x_file_transfer_retry_max=RETRIES,
        x_file_stream_timeout_seconds=SECONDS,
        x_file_stream_retry_max=RETRIES,
        api_key=key.get_secret_value() if key else None,
    )
    try:
        with (
            tempfile.TemporaryDirectory() as staged,
            _artifacts_wait_in(folder),
            wandb.init(
                project=settings.wandb_project,
                mode=settings.wandb_mode,
                dir=str(folder),
                settings=options,
                job_type="evaluation",
                name=f"evaluate {model}",
                reinit="finish_previous",
            ) as run,
        ):
            artifact = wandb.Artifact(f"evaluation-{persona}", "evaluation", metadata={"model": model})
            for name, content in (("report.html", html), ("report.json", data)):
                (Path(staged) / name).write_bytes(content)
                artifact.add_file(str(Path(staged) / name), name=name)
            run.log_artifact(artifact)
            return run.url or f"{Path(run.dir).parent.name} in {folder / 'wandb'}: wandb sync it"
    except (wandb.Error, OSError) as error:
        return f"not published: {type(error).__name__}; try again, or set TWIN_WANDB_MODE=offline"
    finally:
        wandb.teardown()


@contextmanager
def _artifacts_wait_in(folder: Path) -> Iterator[None]:
    """Where artifacts wait to be synced: only the environment can say so."""
    before = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = before or str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_DATA_DIR"]
