-- Every version of every document with the time it was in force; a deletion is a version without a body.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

with versions as (
  select
    *,
    row_number() over (partition by doc_id order by fetched_at, version_id) as version,
    lead(fetched_at) over (partition by doc_id order by fetched_at, version_id) as valid_to
  from {{ ref('stg_documents') }}
  where persona = {{ quoted(var('persona')) }}
)

select
  version_id,
  doc_id,
  persona,
  source,
  category,
  item_id,
  version,
  kind = 'deleted' as is_deleted,
  valid_to is null as is_current,
  fetched_at as valid_from,
  valid_to,
  url,
  title,
  author,
  published_at,
  language,
  mime,
  body,
  content_hash,
  visibility,
  partial
from versions
