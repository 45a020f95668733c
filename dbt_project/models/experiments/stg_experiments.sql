-- Every training run of the persona as it was recorded, typed.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

{% set columns = {
  'run_id': 'varchar', 'tag': 'varchar', 'persona': 'varchar', 'stage': 'varchar', 'profile': 'varchar',
  'parent': 'varchar', 'datasets': 'json', 'config_hash': 'varchar', 'hyperparameters': 'json',
  'code_version': 'varchar', 'seed': 'bigint', 'metrics': 'json', 'rows': 'bigint', 'tokens': 'bigint',
  'seconds': 'double', 'cost_usd': 'double', 'host': 'varchar', 'status': 'varchar', 'error': 'varchar',
  'started_at': 'timestamptz', 'study': 'varchar', 'trial': 'bigint'
} %}

select {{ columns.keys() | join(', ') }}
from ({{ read_json_files(columns, files_like(var('experiments_dir') ~ '/' ~ var('persona') ~ '/*.json')) }})
