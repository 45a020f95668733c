"""Brings one persona up to date, for `twin run`, `twin collect` and `twin demo`.

Collects, then materialises only the assets whose inputs or code have changed, in the order of the
flow, each in its own Dagster run that the UI shows. Approval stays with a person.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import SOURCES, load_persona
from twin_assets.core.release.callers import CALLER_TAG, system_user
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.dagster_home import ensure_dagster_home
from twin_assets.core.storage.lake import open_lake
from twin_assets.defs.collect.assets import ERROR, WHOLE
from twin_assets.defs.shared.common import COLLECT, PERSONAS, READS_OUTSIDE, STAGES, TRAINING
from twin_assets.defs.shared.console import say
from twin_assets.defs.shared.versions import latest, made_from, tags_of
from twin_assets.settings import Settings

# Dagster uses the code location's loggers only where a run asks for them.
CONSOLE: dict[str, Any] = {"loggers": {"console": {"config": {}}}}

PID_TAG = "twin/runner_pid"

MADE_BY_TRAINING = {dg.AssetKey("preference_dataset")}


@dataclass
class Step:
    """One asset (or the dbt assets together) of the walk. `state` is done, current, or failed; a source that failed
    has kept what it had."""

    name: str
    group: str
    state: str
    seconds: float = 0.0
    problem: str | None = None


class Runner:
    """Walks the graph for one persona."""

    def __init__(self, settings: Settings, persona: str) -> None:
        from twin_assets.definitions import defs  # imports every stage: seconds, so not at module load

        load_persona(settings.personas_dir, persona)
        load_profile(settings.profile)
        self.settings, self.persona = settings, persona
        self.instance = open_instance(settings)
        self.instance.add_dynamic_partitions(PERSONAS, [persona])
        self.job = defs.resolve_implicit_global_asset_job_def()
        self.graph = defs.resolve_asset_graph()
        self.defs = defs
        self.steps: list[Step] = []

    def materialize_stale(self) -> bool:
        """Materialise what is not current, up to the first asset that fails; True when none did.

        A source in error is none of these: the rest goes on with what is stored, unless nothing is. See
        `failed_sources`.
        """
        order = self._order()
        for number, keys in enumerate(order):
            step = Step(_name(keys), self.graph.get(keys[0]).group_name, "current")
            if step.group != COLLECT and self.failed_sources() and not self._has_writing():
                say(f"    not made, as nothing is collected yet: {', '.join(map(_name, order[number:]))}")
                return False
            self.steps.append(step)
            if self._reads_outside(keys[0]) or any(self._is_stale(key) for key in keys):
                self._materialize(keys, step)
            say(_line(step))
            if step.state == "failed" and step.group != COLLECT:
                say(f"    not made, for that reason: {', '.join(map(_name, order[number + 1 :]))}")
                return False
        return True

    def collect(self, sources: Sequence[str]) -> None:
        """Collect from these sources alone, whatever becomes of each; see `failed_sources`."""
        for source in sources:
            key = dg.AssetKey(f"raw_{source}")
            step = Step(_name([key]), COLLECT, "current")
            self.steps.append(step)
            self._materialize([key], step)
            say(_line(step))

    def failed_sources(self) -> list[Step]:
        """Sources that could not be read to their end in this walk."""
        return [step for step in self.steps if step.group == COLLECT and step.state == "failed"]

    def _has_writing(self) -> bool:
        lake = open_lake(self.settings)
        return any(next(iter(lake.keys(f"raw/{source}/{self.persona}")), None) for source in SOURCES)

    def waits_for_approval(self) -> bool:
        """Whether a candidate passed its gate and nobody has decided yet."""
        return Ledger(open_lake(self.settings), self.persona).waiting() is not None

    def approve(self, reviewer: str, reason: str) -> bool:
        """Press the red button, then deploy. False when nothing waits or a run failed."""
        waiting = Ledger(open_lake(self.settings), self.persona).waiting()
        if waiting is None:
            return False
        config = {
            "persona": self.persona, "evaluation": waiting.number, "reviewer": reviewer, "reason": reason,
        }  # fmt: skip
        job = self.defs.resolve_job_def("approve_release")
        result = job.execute_in_process(
            run_config={"ops": {"decide_approval": {"config": config}}} | CONSOLE,
            tags={CALLER_TAG: system_user()},
            instance=self.instance,
            raise_on_error=False,
        )
        if not result.success:
            return False
        step = Step("release", self.graph.get(dg.AssetKey("release")).group_name, "current")
        self._materialize([dg.AssetKey("release")], step)
        say(_line(step))
        return step.state == "done"

    def _order(self) -> list[list[dg.AssetKey]]:
        """Asset keys in topological order; assets of one computation (dbt) together."""
        order: list[list[dg.AssetKey]] = []
        seen: set[dg.AssetKey] = set()
        for key in sorted(self.graph.toposorted_asset_keys, key=self._stage):
            if key not in seen:
                together = sorted(self.graph.get(key).assets_def.keys)
                order.append(together)
                seen.update(together)
        return order

    def _stage(self, key: dg.AssetKey) -> int:
        """Stages in the order of the flow; preference data is made between the two trainings."""
        return STAGES.index(TRAINING if key in MADE_BY_TRAINING else str(self.graph.get(key).group_name))

    def _reads_outside(self, key: dg.AssetKey) -> bool:
        return READS_OUTSIDE.items() <= self.graph.get(key).tags.items()

    def _is_stale(self, key: dg.AssetKey) -> bool:
        """Never materialised, made by other code, or from other inputs than there are now."""
        newest = latest(self.instance, key, self.persona)
        if newest is None:
            return True
        code_version = self.graph.get(key).code_version
        if code_version and tags_of(newest).get("dagster/code_version") != code_version:
            return True
        return not all(
            made_from(newest, parent, latest(self.instance, parent, self.persona))
            for parent in self.graph.get(key).parent_keys
        )

    def _materialize(self, keys: Sequence[dg.AssetKey], step: Step) -> None:
        say(f"  … {step.name}")
        start = time.monotonic()
        with hears_stops() as stopped:
            result = self.job.execute_in_process(
                run_config=CONSOLE,
                tags={PID_TAG: str(os.getpid())},
                instance=self.instance,
                partition_key=self.persona,
                asset_selection=list(keys),
                raise_on_error=False,
            )
            was_stopped = stopped()
        step.seconds = time.monotonic() - start
        step.state = "done" if result.success else "failed"
        if not result.success:
            step.problem = _problem(result)
            if _interrupted(result):
                raise KeyboardInterrupt  # Dagster turns Ctrl-C into a failed step; the walk must end
        elif problem := _source_error(result):
            step.state, step.problem = "failed", problem
        if was_stopped:
            raise KeyboardInterrupt


@contextmanager
def hears_stops() -> Iterator[Callable[[], bool]]:
    """Gives whether Ctrl-C or SIGTERM came until now, also where a run of Dagster's forgets it.

    Outside its steps Dagster only notes a signal, and drops the note when the run ends: a walk of many short runs would go
    on. Python writes every signal's number to the wakeup descriptor, whoever handles it. Outside the main thread, where no
    signal arrives, nothing came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    told, teller = socket.socketpair()
    with told, teller:
        told.setblocking(False)
        teller.setblocking(False)

        def stopped() -> bool:
            try:
                return not {signal.SIGINT, signal.SIGTERM}.isdisjoint(told.recv(4096))
            except BlockingIOError:
                return False

        before = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
        try:
            yield stopped
        finally:
            signal.set_wakeup_fd(before)


# A forked child has the same socket, and what ends it is not meant for us.
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Dagster's instance of this home, in which runs of processes that died are over."""
    ensure_dagster_home(settings)
    os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
    instance = dg.DagsterInstance.get()
    _close_dead_runs(instance)
    return instance


def _close_dead_runs(instance: dg.DagsterInstance) -> None:
    """A runner that was killed leaves its run open and its pool slots taken: close and free them."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = run.tags.get(PID_TAG)
        if pid is not None and not _alive(int(pid)):
            instance.report_run_failed(run, "The process that ran this was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    errors = [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    return any(e is not None and "DagsterExecutionInterruptedError" in e.to_string() for e in errors)


def _source_error(result: dg.ExecuteInProcessResult) -> str | None:
    """What a source says of itself when it could not be read to its end: its asset is made all the same."""
    for check in result.get_asset_check_evaluations():
        if check.check_name == WHOLE and not check.passed:
            return str(check.metadata[ERROR].value)
    return None


def _problem(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause if error and error.cause else error
            # A message begins with the class of the error, which only its author cares for.
            return " ".join(cause.message.split()).split(": ", 1)[-1] if cause else "unknown"
    return "a blocking check failed"


def _name(keys: Sequence[dg.AssetKey]) -> str:
    return " + ".join(key.to_user_string() for key in keys)


def _line(step: Step) -> str:
    if step.state == "current":
        return f"  = {step.name}: up to date"
    if step.state == "failed":
        return f"  ✗ {step.name}: {step.problem}"
    return f"  ✓ {step.name}: {step.seconds:.1f} s"


def walk_log(settings: Settings, persona: str) -> Path:
    """Where the tools' own output of a walk goes."""
    return settings.home / "logs" / f"{persona}.log"
