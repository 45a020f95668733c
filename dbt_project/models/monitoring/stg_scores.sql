-- What the live scorers found of each request. Only score objects that weren't read before.
{% set pattern = var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet' %}
{{ config(
  materialized='incremental', incremental_strategy='append',
  pre_hook="{{ forget_gone(var('scores_dir') ~ '/' ~ var('persona') ~ '/*/*.parquet') }}"
) }}

{% set columns = {
  'request_id': 'varchar', 'time': 'timestamptz', 'persona': 'varchar', 'words': 'bigint', 'declined': 'boolean',
  'personal_data': 'bigint', 'toxic': 'boolean', 'weight': 'double', 'claims': 'bigint', 'grounded_share': 'double',
  'support': 'double', 'voice_margin': 'double'
} %}

with scored as (
  {{ read_parquet_files(columns, unseen_files(pattern)) }}
),

typed as (
  select
    sha256(request_id || '/' || epoch_us(time))[:20] as request_key,
    * exclude (file),
    {{ object_name('file') }} as lake_object
  from scored
)

select * from typed
{% if is_incremental() %}
where request_key not in (select request_key from {{ this }} where persona = {{ quoted(var('persona')) }})
{% endif %}
qualify row_number() over (partition by request_key order by lake_object) = 1
