"""New persona files become partitions."""

import dagster as dg

from twin_assets.core.persona.definition import persona_names
from twin_assets.defs.shared.common import PERSONAS, personas
from twin_assets.defs.shared.resources import Platform


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Adds a partition for every YAML file in personas/.",
)
def declare_personas(
    context: dg.SensorEvaluationContext, platform: Platform
) -> dg.SensorResult | dg.SkipReason:
    declared = set(context.instance.get_dynamic_partitions(PERSONAS))
    new = [name for name in persona_names(platform.settings.personas_dir) if name not in declared]
    if not new:
        return dg.SkipReason("no new persona file")
    return dg.SensorResult(dynamic_partitions_requests=[personas.build_add_request(new)])
