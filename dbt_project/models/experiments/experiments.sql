-- Every training run: configuration, data, metrics, cost and time, with its evaluation where there is one.
{{ config(
  materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns',
  pre_hook="{{ forget_persona() }}"
) }}

select
  run.run_id,
  run.persona,
  run.tag,
  run.stage,
  run.profile,
  run.parent,
  run.status,
  run.error,
  run.started_at,
  run.seconds,
  run.cost_usd,
  run.host,
  run.rows,
  run.tokens,
  coalesce(run.datasets ->> 'preference', run.datasets ->> 'instruct') as dataset,
  run.datasets,
  run.config_hash,
  run.hyperparameters,
  (run.hyperparameters ->> 'learning_rate')::double as learning_rate,
  (run.hyperparameters ->> 'num_epochs')::double as num_epochs,
  run.code_version,
  run.seed,
  run.study,
  run.trial,
  run.metrics,
  (run.metrics ->> 'train_loss')::double as train_loss,
  (run.metrics ->> 'eval_loss')::double as eval_loss,
  evaluation.sense_share,
  evaluation.voice_figure,
  evaluation.voice_margin,
  evaluation.voice_gain,
  evaluation.voice_gain_low,
  evaluation.copied_share,
  evaluation.hit_rate,
  evaluation.refusal_rate
from {{ ref('stg_experiments') }} as run
left join {{ ref('stg_evaluations') }} as evaluation on evaluation.tag = run.tag and run.status = 'finished'
where run.persona = {{ quoted(var('persona')) }}
