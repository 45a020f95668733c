-- One row a request of production, with its scores and what people said of it.
-- The persona's rows are joined anew each time, as scores and feedback come after the request.
{{ config(
  materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns',
  pre_hook="{{ forget_persona() }}"
) }}

select
  request.* exclude (personal_data, lake_object),
  score.request_key is not null as is_scored,
  score.words,
  coalesce(score.declined, request.outcome = 'refused') as declined,
  coalesce(request.personal_data, score.personal_data) as personal_data,
  score.toxic,
  score.weight,
  score.claims,
  score.grounded_share,
  score.support,
  score.sense_share,
  score.sense_far,
  score.sense_loss,
  score.sense_coherence,
  score.voice_figure,
  score.voice_margin,
  feedback.thumb,
  coalesce(feedback.edited, false) as edited,
  coalesce(feedback.thumb = 'up', false) or coalesce(feedback.edited, false) as accepted
from {{ ref('stg_requests') }} as request
left join {{ ref('stg_scores') }} as score
  on score.request_key = request.request_key and score.persona = request.persona
left join {{ ref('stg_feedback') }} as feedback
  on feedback.request_id = request.request_id and feedback.persona = request.persona
where request.persona = {{ quoted(var('persona')) }}
