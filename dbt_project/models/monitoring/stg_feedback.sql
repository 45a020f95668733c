-- What people said of each request: the last thumb, and whether they wrote their own version. No texts.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

{% set columns = {
  'request_id': 'varchar', 'time': 'timestamptz', 'persona': 'varchar', 'thumb': 'varchar', 'edited': 'varchar'
} %}

select
  persona,
  request_id,
  arg_max(thumb, time) filter (where thumb is not null) as thumb,
  bool_or(edited is not null) as edited,
  max(time) as said_at
from ({{ read_json_files(columns, files_like(var('feedback_dir') ~ '/' ~ var('persona') ~ '/*/*.json')) }})
group by all
