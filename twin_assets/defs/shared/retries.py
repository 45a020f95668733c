"""Steps whose store is away are tried again, where nobody waits for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import dagster as dg

from twin_assets.core.storage.database import DatabaseAway
from twin_assets.core.storage.s3 import StorageError
from twin_assets.core.vectors.away import StoreAway

# By automation's own account: whoever started a run by hand sees at once what is wrong.
UNATTENDED = ("dagster/from_automation_condition", "dagster/schedule_name", "dagster/sensor_name")
RETRIES, FIRST_PAUSE_SECONDS = 4, 60  # each pause is twice the one before: a quarter of an hour in all
Given = ParamSpec("Given")
Made = TypeVar("Made")


def retried_when_away(compute: Callable[Given, Made]) -> Callable[Given, Made]:
    """The function of an asset, which asks Dagster for another attempt where its store is away."""

    @wraps(compute)
    def step(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with retrying(dg.OpExecutionContext.get().get_step_execution_context()):
            return compute(*args, **kwargs)

    return step


@contextmanager
def retrying(step: Any) -> Iterator[None]:
    """Raises dagster's RetryRequested instead of the error of a store that is away, in a run that nobody waits for. `step` is
    Dagster's context of a step."""
    try:
        yield
    except (StoreAway, StorageError, DatabaseAway) as error:
        away = not isinstance(error, StorageError) or error.away
        unattended = any(step.dagster_run.tags.get(tag) for tag in UNATTENDED)
        tried = step.previous_attempt_count
        if not (away and unattended) or tried >= RETRIES:
            raise
        pause = FIRST_PAUSE_SECONDS * 2**tried
        step.log.warning(f"tried again in {pause} s: {error.problem}")
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=pause) from error
