"""What a sensor or a schedule that goes through all personas gives Dagster."""

from collections.abc import Sequence

import dagster as dg

Asked = list[dg.RunRequest] | dg.SkipReason


def runs_or_reasons(
    context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext,
    requests: Sequence[dg.RunRequest],
    reasons: Sequence[str],
) -> Asked:
    """The runs asked for, with the reasons why others are not in the tick's log; the reasons alone where there is no run, since
    Dagster takes either runs or a reason, and fails a tick that gives both."""
    if not requests:
        return dg.SkipReason("; ".join(reasons) or "no personas yet")
    for reason in reasons:
        context.log.info(reason)
    return list(requests)
