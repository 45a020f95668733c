"""What a sensor or a schedule that goes through all personas gives Dagster."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from twin_assets.defs.shared.common import PERSONAS
from twin_assets.defs.shared.resources import Platform

Asked = list[dg.RunRequest] | dg.SkipReason

# A line of a thousand personas names so many of those with whom it is the same, and tells so many different things.
NAMED, SENTENCES = 3, 12


def who_goes_on(
    instance: dg.DagsterInstance, platform: Platform, says: Callable[[str, str], None]
) -> Iterator[str]:
    """All personas but those who are paused, of whom `says` is told."""
    for persona in instance.get_dynamic_partitions(PERSONAS):
        if mark := platform.paused.get(persona):
            says(persona, mark.sentence)
        else:
            yield persona


def summed_up(said: Mapping[str, str]) -> str:
    """One line of what is told of each persona: whom the same is told of are counted, and the first of them named."""
    alike: dict[str, list[str]] = defaultdict(list)
    for persona, sentence in said.items():
        alike[sentence].append(persona)
    told = list[str]()
    for sentence, names in list(alike.items())[:SENTENCES]:
        if len(names) <= NAMED:
            told += [f"{name}: {sentence}" for name in names]
        else:
            told.append(f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more: {sentence}")
    if left := sum(map(len, list(alike.values())[SENTENCES:])):
        told.append(f"and {left} more personas, of whom other things are told")
    return "; ".join(told)


def runs_or_reasons(
    context: dg.ScheduleEvaluationContext, requests: Sequence[dg.RunRequest], said: Mapping[str, str]
) -> Asked:
    """The runs asked for, with a line of why others are not in the tick's log; that line alone where there is no run, since
    Dagster takes either runs or a reason, and fails a tick that gives both."""
    if not requests:
        return dg.SkipReason(summed_up(said) or "no personas yet")
    if said:
        context.log.info(summed_up(said))
    return list(requests)
