"""Names what went wrong in a training run from its exit status and its last lines of output."""

import errno
import json
import re
import signal

from twin_assets.core.errors import TwinError
from twin_assets.training.axolotl.checkpoints import kept_for_the_next_run
from twin_assets.training.axolotl.reporting.phases import FIRST_STEP, read_phase
from twin_assets.training.configs.job import TrainingJob

ZERO_LOSS = "zero loss"

# In this order: the first phrase found names the failure. Each has (phrases, problem, fix).
_KNOWN: list[tuple[tuple[str, ...], str, str]] = [
    (
        ("no space left on device", "errno 28", "disk quota exceeded"),
        "The disk is full.",
        "free some space (old runs under the cache folder can go), or move TWIN_HOME to a larger disk.",
    ),
    (
        (
            "no gpu found",
            "assertionerror: torch not compiled with cuda enabled",  # alone it is a warning that does no harm
            "found no nvidia driver",
            "no cuda gpus are available",
        ),
        "The training needs a GPU and found none.",
        "run it where there is one (TWIN_TRAINING_RUNNER=kubernetes or ray), or take a smaller profile.",
    ),
    (
        ("no api key configured", "api key verification failed"),
        "Weights & Biases refuses the run: it has no valid key.",
        "set TWIN_WANDB_API_KEY, or keep the metrics here with TWIN_WANDB_MODE=offline.",
    ),
    (
        ("exceeds configured sequence_len", "exceeds sequence_len"),
        "A row is longer than sequence_len.",
        "raise sequence_len in the training config, or make the dataset's rows shorter.",
    ),
    (
        ("validation error", "extra inputs are not permitted", "value error,"),
        "Axolotl refuses the training config.",
        "mend the field it names in training_configs/.",
    ),
]
# What ran out of memory shows in many ways: at import, in C code that loses Python's MemoryError (a SystemError then), in
# torch and oneDNN (its library for CPUs), in Ray, and by the kernel, whose SIGKILL a shell or a container reports as
# status 137.
_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "memoryerror", "bad_alloc",
    "could not create a primitive", "failed to map segment", "outofmemoryerror", "oomkilled", "errno 12", "sigkill",
    "exitcode: -9", "exitcode  : -9", "signal 9", "returned null without setting an exception",
)  # fmt: skip
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
_FRAMES = (
    '  File "',
    "    ",
)  # where in the code it happened: train.log has that, a person needs the message


def name_failure(status: int, lines: list[str], phase: str, shown: int = 12) -> TwinError:
    """The failure of a process that ended with `status` after printing `lines`, while it was in `phase`; shows the last of
    the lines."""
    text = "\n".join(lines).lower()
    telling = [line for line in lines if line.strip() and not line.startswith(_FRAMES)][-shown:]
    tail = " Its last lines:\n" + "\n".join(telling) + "\n" if telling else ""
    for phrases, problem, fix in _KNOWN:
        if any(phrase in text for phrase in phrases):
            return TwinError(f"{problem}{tail}", fix)
    if status in _KILLED or any(phrase in text for phrase in _MEMORY):
        return out_of_memory(phase, tail, killed=status in _KILLED)
    return TwinError(
        f"The training ended with status {status} while {phase}.{tail}", "see train.log in the job's folder."
    )


def out_of_memory(phase: str, tail: str = "", killed: bool = False) -> TwinError:
    """Memory ran out in a phase; the fix is what helps there."""
    how = (
        " The system killed it (signal 9), as it does when memory, or a container's limit, is used up."
        if killed
        else ""
    )
    fewer = "set TWIN_TRAINING_MICRO_BATCH to fewer rows at once (a step keeps its rows), or "
    steps = phase == FIRST_STEP or phase.startswith("training")
    return TwinError(
        f"The training ran out of memory while {phase}.{how}{tail}",
        f"{fewer if steps else ''}give it more memory (end what else runs, raise the container's limit), or take a "
        "smaller profile.",
    )


def name_exception(error: Exception, phase: str) -> TwinError:
    """The failure that an exception around the run means; for one that nobody has a name for, what it says itself."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _, problem, fix = _KNOWN[0]
        return TwinError(f"{problem} {error}.", fix)
    if isinstance(error, MemoryError) or any(phrase in text.lower() for phrase in _MEMORY):
        return out_of_memory(phase, f" {text[:300]}\n")
    if isinstance(error, OSError):
        return TwinError(
            f"The training could not use a file: {error}.", "see that it exists and may be written."
        )
    return TwinError(
        f"The training stopped while {phase}: {text[:300]}.",
        "this is a fault of the platform: report it with what the process printed, where the traceback is.",
    )


def read_error(job: TrainingJob) -> TwinError | None:
    """The reason that the last run gave for its failure; None when it didn't fail, or the disk had no room for it."""
    try:
        return TwinError(**json.loads(job.error_file.read_text()))
    except (OSError, ValueError):
        return None


def name_stop(job: TrainingJob, said: str) -> TwinError:
    """Why a training ended that left no result: its own reason, or what its phase and the exit status in `said` tell."""
    if named := read_error(job):
        return named
    phase, left = read_phase(job), kept_for_the_next_run(job.model_dir)
    if re.search(r"(?:code|status|signal)\D{0,3}(?:-9|137|9)\b|OOMKilled", said):
        return out_of_memory(phase, f" {left[0].upper()}{left[1:]}.", killed=True)
    return TwinError(
        f"The training stopped while {phase} without giving a reason ({said:.300}); {left}.",
        f"read {job.log_file}, then start it again.",
    )


def broken_loss(what: str, step: int) -> TwinError:
    """The loss or gradient stopped being a number, or is ZERO_LOSS."""
    if what == ZERO_LOSS:
        return TwinError(
            f"The training learns nothing: at step {step} the loss of its packed rows is zero.",
            "take `packing` out of TWIN_TRAINING_GPU_OPTIONS: the attention of this GPU loses its mask.",
        )
    return TwinError(
        f"The training broke at step {step}: {what} is no number any more.",
        "lower learning_rate or raise warmup_steps in the training config.",
    )
