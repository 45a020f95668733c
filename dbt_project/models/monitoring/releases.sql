-- One row a model version that the ledger has seen: its way to production and back, and what it did there.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

with events as (
  select * from {{ ref('stg_releases') }} where persona = {{ quoted(var('persona')) }}
),

versions as (
  select
    persona,
    model,
    arg_max(kind, number) as state,
    max(happened_at) filter (where kind = 'proposed') as proposed_at,
    max(happened_at) filter (where kind = 'evaluated') as evaluated_at,
    arg_max(passed, number) filter (where kind = 'evaluated') as passed,
    max(happened_at) filter (where kind = 'approved') as approved_at,
    arg_max(actor, number) filter (where kind = 'approved') as approved_by,
    max(happened_at) filter (where kind = 'canary_started') as canary_started_at,
    arg_max(share, number) filter (where kind = 'canary_started') as canary_share,
    max(happened_at) filter (where kind = 'deployed') as deployed_at,
    max(number) filter (where kind = 'deployed') as deployed_number,
    max(happened_at) filter (where kind = 'rolled_back') as rolled_back_at,
    max(number) filter (where kind = 'rolled_back') as rolled_back_number,
    arg_max(reason, number) as last_reason
  from events
  group by all
),

held as (
  select *, deployed_number is not null and deployed_number > coalesce(rolled_back_number, 0) as is_held
  from versions
),

used as (
  select
    model,
    count(*) as requests,
    count(*) filter (where outcome = 'failed') as failed,
    sum(cost_usd) as cost_usd,
    count(*) filter (where thumb = 'up') as thumbs_up,
    count(*) filter (where thumb = 'down') as thumbs_down
  from {{ ref('requests') }}
  where persona = {{ quoted(var('persona')) }}
  group by model
)

select
  held.* exclude (deployed_number, rolled_back_number, is_held),
  -- The last one that was deployed and not taken back, as core.history says it.
  is_held and deployed_number = max(deployed_number) filter (where is_held) over () as is_production,
  coalesce(used.requests, 0) as requests,
  coalesce(used.failed, 0) as failed,
  used.cost_usd,
  coalesce(used.thumbs_up, 0) as thumbs_up,
  coalesce(used.thumbs_down, 0) as thumbs_down
from held
left join used on used.model = held.model
