-- Every event of the persona's release ledger.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

{% set columns = {
  'number': 'bigint', 'persona': 'varchar', 'model': 'varchar', 'kind': 'varchar', 'actor': 'varchar',
  'reason': 'varchar', 'at': 'timestamptz', 'passed': 'boolean', 'share': 'double'
} %}

select persona, number, model, kind, actor, reason, "at" as happened_at, passed, share
from ({{ read_json_files(columns, files_like(var('ledger_dir') ~ '/' ~ var('persona') ~ '/*.json')) }})
