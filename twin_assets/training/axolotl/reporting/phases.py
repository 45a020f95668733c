"""What a training is doing, in a file of its job: a process that is killed can't say it any more."""

from contextlib import suppress

from twin_assets.training.configs.job import TrainingJob

STARTING = "starting"
READING = "reading and checking the rows"
LOADING = "loading Axolotl, the model and the rows"
FIRST_STEP = "making its first step"
SAVING = "saving a checkpoint"
WRITING = "writing the model"
MERGING = "merging the adapter into its base"


def training_after(step: int) -> str:
    """The phase after so many steps."""
    return f"training, after step {step}" if step else FIRST_STEP


def enter_phase(job: TrainingJob, phase: str) -> None:
    """Note what the training does from now on. A disk without room for it is named by what needs more."""
    with suppress(OSError):
        job.phase_file.write_text(phase)


def read_phase(job: TrainingJob) -> str:
    """What the training was doing last."""
    try:
        return job.phase_file.read_text() or STARTING
    except OSError:
        return STARTING
