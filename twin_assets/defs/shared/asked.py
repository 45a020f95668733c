"""What a sensor or a schedule that goes through all personas gives Dagster."""

from collections.abc import Iterator, Sequence

import dagster as dg

from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.resources import Platform

Asked = list[dg.RunRequest] | dg.SkipReason


def who_goes_on(instance: dg.DagsterInstance, platform: Platform, reasons: list[str]) -> Iterator[str]:
    """All personas but those who are paused, of whom `reasons` gets a line each."""
    for persona in instance.get_dynamic_partitions(PERSONAS):
        if mark := platform.paused.get(persona):
            reasons.append(f"{persona}: {mark.sentence}")
        else:
            yield persona


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
