{# The raw payloads: which sources there are, their columns, their files, and a view over each source. #}

{% macro raw_sources() %}{{ return(['linkedin', 'medium', 'substack', 'github', 'web']) }}{% endmacro %}

{% macro raw_columns() %}
  {{ return({
    'persona': 'varchar', 'source': 'varchar', 'item_id': 'varchar', 'kind': 'varchar',
    'category': 'varchar', 'url': 'varchar', 'title': 'varchar', 'author': 'varchar',
    'published_at': 'varchar', 'fetched_at': 'varchar', 'language': 'varchar', 'mime': 'varchar',
    'body': 'varchar', 'content_hash': 'varchar', 'visibility': 'varchar', 'partial': 'boolean',
    'payload': 'json'
  }) }}
{% endmacro %}

{# Where a persona's raw objects lie; '*' means everyone's. #}
{% macro raw_glob(source, persona) %}
  {{ return(var('raw_dir') ~ '/' ~ source ~ '/' ~ persona ~ '/*.jsonl') }}
{% endmacro %}

{% macro raw_files(source, persona) %}
  {% set found = run_query("select file from glob(" ~ quoted(raw_glob(source, persona)) ~ ") order by file") %}
  {{ return(found.columns[0].values() | list) }}
{% endmacro %}

{% macro quoted(text) %}{{ return("'" ~ (text | string | replace("'", "''")) ~ "'") }}{% endmacro %}

{% macro read_raw(files) %}
  {# A query over raw objects; typed and empty when there are none, as DuckDB can't read no file. #}
  {% set columns = raw_columns() %}
  {% if files %}
    select {{ columns.keys() | join(', ') }}, filename as raw_file
    from read_json(
      [{% for file in files %}{{ quoted(file) }}{{ ', ' if not loop.last }}{% endfor %}],
      format = 'newline_delimited', filename = true, maximum_object_size = 67108864,
      columns = { {%- for name, type in columns.items() %}{{ name }}: '{{ type }}'{{ ', ' if not loop.last }}{% endfor -%} }
    )
  {% else %}
    select {% for name, type in columns.items() %}null::{{ type }} as {{ name }}, {% endfor %}null::varchar as raw_file
    where false
  {% endif %}
{% endmacro %}

{% macro create_raw_views() %}
  {# One view a source, so that the payloads can be queried beside the models. #}
  {% if execute %}
    {% do run_query("create schema if not exists raw") %}
    {% for source in raw_sources() %}
      {% do run_query("create or replace view raw." ~ source ~ " as " ~ read_raw([raw_glob(source, '*')] if raw_files(source, '*') else [])) %}
    {% endfor %}
  {% endif %}
  select 1
{% endmacro %}

{% macro new_raw_files(source) %}
  {# This persona's raw objects that the staging table hasn't seen. #}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set files = raw_files(source, var('persona')) %}
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
