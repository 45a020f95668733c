-- What the live scorers found of each request. Only score objects that weren't read before.
{% set scores = files_of(var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet') %}
{{ config(
  materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns',
  pre_hook="{{ forget_gone(files_of(var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet'), score_columns()) }}"
) }}

with scored as (
  {{ read_parquet_files(score_columns(), unseen_files(scores, score_columns())) }}
),

typed as (
  select
    {{ request_key() }} as request_key,
    * exclude (file),
    {{ object_name('file') }} as lake_object
  from scored
)

{{ new_rows('typed', 'request_key', 'lake_object') }}
