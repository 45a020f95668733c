"""What production took, from the mart `requests`: money, tokens and time, by version, kind, key and day.

The warehouse counts, so that memory does not grow with the number of requests.
"""

from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb

from twin_assets.core.errors import TwinError
from twin_assets.core.records import Record

Dimension = Literal["model", "kind", "asked_by", "day"]


class CostGroup(Record):
    """Requests that share a value of a dimension. `cost_usd` is None where none of them has a known price,
    `usd_per_accepted` where none was accepted. Times are in milliseconds."""

    by: Dimension
    group: str
    requests: int
    failed: int
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    accepted: int
    usd_per_accepted: float | None
    latency_p50: float | None
    latency_p95: float | None


class StepTime(Record):
    """A step of answers, in milliseconds; `total` is all steps of a request."""

    step: str
    requests: int
    p50: float
    p95: float


class CostReport(Record):
    """Production since a day, and what making the model cost beside it; None where no price is known.

    `usd_per_accepted` is the money of all requests over those that someone liked or made their own version from,
    of which only those with feedback are known.
    """

    since: date | None
    requests: int
    tokens_in: int
    tokens_out: int
    cost_usd: float | None
    accepted: int
    usd_per_accepted: float | None
    steps: list[StepTime] = []
    groups: list[CostGroup] = []
    training_usd: float | None = None
    training_hours: float = 0.0
    training_runs: int = 0
    teacher_usd: float = 0.0


_COUNTS = """
    count(*) as requests, count(*) filter (where outcome = 'failed') as failed,
    coalesce(sum(tokens_in), 0)::bigint as tokens_in, coalesce(sum(tokens_out), 0)::bigint as tokens_out,
    sum(cost_usd) as cost_usd, count(*) filter (where accepted) as accepted,
    sum(cost_usd) / nullif(count(*) filter (where accepted), 0) as usd_per_accepted,
    quantile_cont(latency_ms, 0.5) as latency_p50, quantile_cont(latency_ms, 0.95) as latency_p95
"""
_WHERE = "where persona = $persona and day >= coalesce($since, day)"


def read_costs(warehouse: Path, persona: str, since: date | None = None) -> CostReport:
    """The report of a persona, of days from `since` (UTC) on. Raises TwinError when the mart was never built."""
    given = {"persona": persona, "since": since}
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:

            def ask(query: str) -> list[dict[str, Any]]:
                result = connection.execute(query, given)
                names = [column[0] for column in result.description or []]
                return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

            (total,) = ask(f"select {_COUNTS} from requests {_WHERE}")  # noqa: S608
            groups = [
                CostGroup(by=by, **row)
                for by in get_args(Dimension)
                for row in ask(
                    f"""select coalesce({by}::varchar, 'unknown') as "group", {_COUNTS}
                    from requests {_WHERE} group by 1 order by 1"""  # noqa: S608
                )
            ]
            steps = [StepTime(**row) for row in ask(_STEPS)]
            there = connection.execute("from duckdb_tables() where table_name = 'experiments'").fetchone()
            (training,) = ask(_TRAINING) if there else ({},)
    except (duckdb.CatalogException, duckdb.IOException):
        raise TwinError(
            f"{warehouse.name} has no requests that can be read.", "materialise `requests`."
        ) from None
    shown = {name: total[name] for name in CostReport.model_fields if name in total}
    return CostReport(since=since, steps=steps, groups=groups, **shown, **training)


_TRAINING = """
    select sum(cost_usd) as training_usd, coalesce(sum(seconds), 0) / 3600 as training_hours, count(*) as training_runs
    from experiments
    where persona = $persona and make_timestamp(epoch_us(started_at))::date >= coalesce($since, date '1970-01-01')
"""
_STEPS = f"""
    with each as (
        select unnest(map_entries(steps_ms)) as entry from requests {_WHERE}
    )
    select entry.key as step, count(*) as requests, quantile_cont(entry.value, 0.5) as p50,
        quantile_cont(entry.value, 0.95) as p95
    from each group by 1
    union all
    select 'total', count(latency_ms), quantile_cont(latency_ms, 0.5), quantile_cont(latency_ms, 0.95)
    from requests {_WHERE} having count(latency_ms) > 0
    order by 1
"""  # noqa: S608
