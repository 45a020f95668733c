-- What the evaluation found of each candidate of the persona, one row a report. Reports of before call systems contestants.
{{ config(
  materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns',
  pre_hook="{{ forget_persona() }}"
) }}

{% set columns = {
  'persona': 'varchar', 'candidate': 'varchar', 'systems': 'json', 'contestants': 'json', 'gain': 'double', 'gain_low': 'double',
  'gain_high': 'double', 'hit_rate': 'double', 'refusal_rate': 'double', 'false_refusal_rate': 'double'
} %}

select
  persona,
  candidate as tag,
  (coalesce(systems, contestants) -> 'candidate' -> 'voice' ->> 'margin')::double as voice_margin,
  (coalesce(systems, contestants) -> 'candidate' -> 'voice' -> 'figure' ->> 'value')::double as voice_figure,
  (coalesce(systems, contestants) -> 'candidate' -> 'sense' ->> 'share')::double as sense_share,
  (coalesce(systems, contestants) -> 'candidate' -> 'copying' ->> 'copied_share')::double as copied_share,
  gain as voice_gain,
  gain_low as voice_gain_low,
  gain_high as voice_gain_high,
  hit_rate,
  refusal_rate,
  false_refusal_rate
from ({{ read_json_files(columns, files_like(var('reports_dir') ~ '/' ~ var('persona') ~ '/*.json')) }})
