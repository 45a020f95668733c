-- Every logged request of the persona, typed, without its texts. Only log objects that weren't read before.
{{ config(
  materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_gone(logged_files()) }}"
) }}

{% set columns = {
  'request_id': 'varchar', 'time': 'timestamptz', 'persona': 'varchar', 'model': 'varchar', 'prompt_kind': 'varchar',
  'retrieved': 'varchar[]', 'scores': 'double[]', 'tokens_in': 'bigint', 'tokens_out': 'bigint',
  'steps_ms': 'map(varchar, double)', 'cost': 'double', 'outcome': 'varchar', 'key': 'varchar', 'user': 'varchar',
  'canary': 'boolean', 'personal_data': 'bigint'
} %}

{% set loose, packed = [], [] %}
{% for file in unseen_files(logged_files()) %}
  {% do (packed if file.endswith('.parquet') else loose).append(file) %}
{% endfor %}

with logged as (
  {{ read_json_files(columns, loose, 'newline_delimited') }}
  union all by name
  {{ read_parquet_files(columns, packed) }}
),

typed as (
  select
    {{ request_key() }} as request_key,
    request_id,
    time,
    make_timestamp(epoch_us(time))::date as day,
    persona,
    model,
    case when prompt_kind = 'answer' then 'answer' else 'write' end as kind,
    prompt_kind,
    outcome,
    coalesce(canary, false) as canary,
    key as asked_by,
    "user" as user_hash,
    coalesce(tokens_in, 0) as tokens_in,
    coalesce(tokens_out, 0) as tokens_out,
    cost as cost_usd,
    steps_ms,
    list_sum(map_values(steps_ms)) as latency_ms,
    steps_ms['generate'] as generate_ms,
    list_max(scores) as top_score,
    len(coalesce(retrieved, [])) as passages,
    personal_data,
    {{ object_name('file') }} as lake_object
  from logged
)

{{ new_rows('typed', 'request_key', 'lake_object') }}
