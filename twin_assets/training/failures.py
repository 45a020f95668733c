"""Names what went wrong in a training run from its exit status and its last lines of output."""

import errno

from twin_assets.core.errors import TwinError

# In this order: the first phrase found names the failure. Each has (phrases, problem, fix).
_KNOWN: list[tuple[tuple[str, ...], str, str]] = [
    (
        ("no space left on device", "errno 28", "disk quota exceeded"),
        "The disk is full.",
        "free some space (old runs under the cache folder can go), or move TWIN_HOME to a larger disk.",
    ),
    (
        # The last is how oneDNN, torch's CPU library, says it.
        (
            "out of memory",
            "can't allocate memory",
            "cannot allocate memory",
            "memoryerror",
            "bad_alloc",
            "could not create a primitive",
        ),
        "The training ran out of memory.",
        "set TWIN_TRAINING_MICRO_BATCH to fewer rows at once (a step keeps its rows), or take a smaller profile.",
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
_KILLED = -9
_FRAMES = (
    '  File "',
    "    ",
)  # where in the code it happened: train.log has that, a person needs the message


def name_failure(status: int, lines: list[str], shown: int = 12) -> TwinError:
    """The failure of a process that ended with `status` after printing `lines`; shows the last of them."""
    text = "\n".join(lines).lower()
    tail = "\n".join([line for line in lines if line.strip() and not line.startswith(_FRAMES)][-shown:])
    for phrases, problem, fix in _KNOWN:
        if any(phrase in text for phrase in phrases):
            return TwinError(f"{problem} Its last lines:\n{tail}\n", fix)
    if status == _KILLED:
        _, problem, fix = _KNOWN[1]
        return TwinError(f"{problem} The system killed it (signal 9). Its last lines:\n{tail}\n", fix)
    return TwinError(f"The training ended with status {status}. Its last lines:\n{tail}\n", "see train.log.")


def name_os_error(error: OSError) -> TwinError:
    """The failure of our own reading and writing around the run."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _, problem, fix = _KNOWN[0]
        return TwinError(f"{problem} {error}.", fix)
    return TwinError(f"The training could not use a file: {error}.", "see that it exists and may be written.")


def broken_loss(what: str, step: int) -> TwinError:
    """The loss or gradient stopped being a number."""
    return TwinError(
        f"The training broke at step {step}: {what} is no number any more.",
        "lower learning_rate or raise warmup_steps in the training config.",
    )
