"""Dagster's queue of runs, which notes on a run who launched it. `dagster.yaml` names it."""

from dagster import DagsterRun, OpExecutionContext, QueuedRunCoordinator, SubmitRunContext

from twin_assets.core.release.callers import CALLER_TAG, NOBODY


class CallersRunCoordinator(QueuedRunCoordinator):
    """Only the front of Dagster's webserver says who asks; a tag that somebody sends along counts for nothing."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        request = getattr(context.workspace, "source", None)
        caller = getattr(getattr(request, "state", None), "caller", NOBODY)
        run = context.dagster_run
        if caller != run.tags.get(CALLER_TAG, NOBODY):
            self._instance.add_run_tags(run.run_id, {CALLER_TAG: caller})
        return super().submit_run(context)


def caller_of(context: OpExecutionContext) -> str:
    """Who launched the run, as far as that is known. Under another coordinator anybody could have sent the tag."""
    ours = isinstance(context.instance.run_coordinator, CallersRunCoordinator)
    return context.run.tags.get(CALLER_TAG, NOBODY) if ours else NOBODY
