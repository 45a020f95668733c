-- Every raw version of every item, typed. Only this persona's raw objects that weren't read before.
-- An object that lost an erased document comes back under another name.
{{ config(
  materialized='incremental', incremental_strategy='append',
  pre_hook=["{{ forget_gone_raw() }}", "{{ count_damaged() }}"]
) }}

-- depends_on: {{ source('raw', 'items') }}

with raw as (
  {{ read_raw(new_raw_files()) }}
),

typed as (
  select
    persona,
    source,
    category,
    sha256(persona || '/' || source || '/' || item_id)[:16] as doc_id,
    item_id,
    kind,
    url,
    nullif(trim(title), '') as title,
    nullif(trim(author), '') as author,
    try_cast(published_at as timestamptz) as published_at,
    try_cast(fetched_at as timestamptz) as fetched_at,
    language,
    mime,
    body,
    content_hash,
    coalesce(visibility, 'public') as visibility,
    coalesce(partial, false) as partial,
    payload,
    parse_filename(raw_file) as raw_file
  from raw
),

versions as (
  select
    sha256(doc_id || '/' || kind || '/' || content_hash || '/' || epoch_us(fetched_at))[:20] as version_id,
    *
  from typed
)

{{ new_rows('versions', 'version_id', 'raw_file') }}
