{# The raw payloads: their columns, a persona's files, and one view over everything. #}

{% macro raw_columns() %}
  {{ return({
    'persona': 'varchar', 'source': 'varchar', 'item_id': 'varchar', 'kind': 'varchar',
    'category': 'varchar', 'url': 'varchar', 'title': 'varchar', 'author': 'varchar',
    'published_at': 'varchar', 'fetched_at': 'varchar', 'language': 'varchar', 'mime': 'varchar',
    'body': 'varchar', 'content_hash': 'varchar', 'visibility': 'varchar', 'partial': 'boolean',
    'payload': 'json'
  }) }}
{% endmacro %}

{# Where raw objects lie: raw_dir/<source>/<persona>/<crawl>.jsonl; '*' means everyone's. #}
{% macro raw_glob(persona) %}
  {{ return(var('raw_dir') ~ '/*/' ~ persona ~ '/*.jsonl') }}
{% endmacro %}

{% macro raw_files(persona) %}{{ return(files_like(raw_glob(persona))) }}{% endmacro %}

{% macro whole_line() %}
  {# Whether a row has what every item has. A damaged line comes as a row of nulls, or with values that are none. #}
  persona is not null and source is not null and item_id is not null and url is not null and mime is not null
  and body is not null and content_hash is not null and category in ('post', 'article', 'code')
  and kind in ('item', 'deleted') and try_cast(fetched_at as timestamptz) is not null
  and coalesce(visibility, 'public') in ('public', 'connections', 'private')
{% endmacro %}

{% macro read_lines(files) %}{{ return(read_json_files(raw_columns(), files, 'newline_delimited', 'raw_file')) }}{% endmacro %}

{% macro read_raw(files) %}
  {# Damaged lines are left out, and the others are read. #}
  {{ return('select * from (' ~ read_lines(files) ~ ') where ' ~ whole_line()) }}
{% endmacro %}

{% macro count_damaged() %}
  {# Note how many lines of the new raw objects are damaged, so that what is left out shows. #}
  insert into raw.damaged
  with counted as (
    select {{ quoted(var('persona')) }} as persona, split(replace(raw_file, '\\', '/'), '/') as path, count(*) as lines
    from ({{ read_lines(new_raw_files()) }})
    where not coalesce({{ whole_line() }}, false)
    group by all
  )
  select persona, path[-3] as source, path[-1] as raw_file, lines
  from counted
  where (path[-3], path[-1]) not in (select (source, raw_file) from raw.damaged where persona = {{ quoted(var('persona')) }})
{% endmacro %}

{% macro create_raw_view() %}
  {# So that the payloads can be queried beside the models, and their freshness be measured. #}
  {% if execute %}
    {% do run_query("create schema if not exists raw") %}
    {% do run_query("create table if not exists raw.damaged (persona varchar, source varchar, raw_file varchar, lines bigint)") %}
    {% do run_query("create or replace view raw.items as " ~ read_raw([raw_glob('*')] if raw_files('*') else [])) %}
  {% endif %}
  select 1
{% endmacro %}

{% macro new_raw_files() %}
  {# This persona's raw objects that the staging table hasn't seen. #}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set files = raw_files(var('persona')) %}
  {% if is_incremental() %}
    {% set query %}
      select distinct source || '/' || persona || '/' || raw_file from {{ this }}
      where persona = {{ quoted(var('persona')) }}
    {% endset %}
    {% set seen = run_query(query).columns[0].values() | list %}
    {% set fresh = [] %}
    {% for file in files if file.replace('\\', '/').split('/')[-3:] | join('/') not in seen %}
      {% do fresh.append(file) %}
    {% endfor %}
    {{ return(fresh) }}
  {% endif %}
  {{ return(files) }}
{% endmacro %}

{% macro forget_gone_raw() %}
  {# This persona's rows of raw objects that are no more: an erasure put others in their place. #}
  {% if is_incremental() %}
  {% set files = raw_files(var('persona')) %}
  delete from {{ this }}
  where persona = {{ quoted(var('persona')) }}
    and source || '/' || persona || '/' || raw_file not in (
      {% for file in files %}{{ quoted(file.replace('\\', '/').split('/')[-3:] | join('/')) }}{{ ', ' if not loop.last }}{% endfor %}{{ "''" if not files }}
    )
  {% endif %}
{% endmacro %}
