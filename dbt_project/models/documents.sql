-- One row a document as it stands now: the newest version wins, deleted ones are gone.
{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_persona() }}") }}

select
  persona,
  source,
  category,
  doc_id,
  url,
  title,
  author,
  published_at,
  valid_from as fetched_at,
  language,
  mime,
  body,
  content_hash,
  visibility,
  partial
from {{ ref('document_history') }}
where is_current and not is_deleted and persona = {{ quoted(var('persona')) }}
