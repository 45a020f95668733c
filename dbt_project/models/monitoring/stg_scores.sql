-- What the live scorers found of each request. Only score objects that weren't read before.
{% set scores = files_of(var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet') %}
{{ config(
  materialized='incremental', incremental_strategy='append',
  pre_hook="{{ forget_gone(files_of(var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet')) }}"
) }}

{% set columns = {
  'request_id': 'varchar', 'time': 'timestamptz', 'persona': 'varchar', 'words': 'bigint', 'declined': 'boolean',
  'personal_data': 'bigint', 'toxic': 'boolean', 'weight': 'double', 'claims': 'bigint', 'grounded_share': 'double',
  'support': 'double', 'voice_margin': 'double'
} %}

with scored as (
  {{ read_parquet_files(columns, unseen_files(scores)) }}
),

typed as (
  select
    {{ request_key() }} as request_key,
    * exclude (file),
    {{ object_name('file') }} as lake_object
  from scored
)

{{ new_rows('typed', 'request_key', 'lake_object') }}
