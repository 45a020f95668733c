{# Tables that mirror immutable objects of the lake: each is read once, and rows of one that is gone go too.

   An object that lost rows (erased requests, texts past their days) comes back under another name. A table of before
   that lacks a column is emptied and read again: its rows, whoever's they are, don't have what the objects say. #}

{% macro object_name(path) %}regexp_extract(replace({{ path }}, '\', '/'), '[^/]+/[^/]+$'){% endmacro %}

{% macro files_of(pattern) %}{{ return('select file from glob(' ~ quoted(pattern) ~ ')') }}{% endmacro %}

{% macro lacks_columns(columns) %}
  {# Whether the table that stands was made before one of these columns was. #}
  {% if not execute or not is_incremental() %}{{ return(false) }}{% endif %}
  {% set there = adapter.get_columns_in_relation(this) | map(attribute='name') | map('lower') | list %}
  {{ return(columns | map('lower') | reject('in', there) | list | length > 0) }}
{% endmacro %}

{% macro forget_gone(standing, columns=[]) %}
  {# `standing` is a query for the files that there are. #}
  {% if lacks_columns(columns) %}
  delete from {{ this }}
  {% elif is_incremental() %}
  delete from {{ this }}
  where persona = {{ quoted(var('persona')) }}
    and lake_object not in (select {{ object_name('file') }} from ({{ standing }}))
  {% endif %}
{% endmacro %}

{% macro unseen_files(standing, columns=[]) %}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set query %}
    select file from ({{ standing }})
    {% if is_incremental() and not lacks_columns(columns) %}
    where {{ object_name('file') }} not in (
      select lake_object from {{ this }} where persona = {{ quoted(var('persona')) }}
    )
    {% endif %}
    order by file
  {% endset %}
  {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}

{% macro read_parquet_files(columns, files) %}
  {# Parquet objects as typed rows; typed and empty when there are none. A column that older ones lack is null. #}
  {% if files %}
    {% set query %}
    select {% for name, type in columns.items() %}"{{ name }}"::{{ type }} as "{{ name }}", {% endfor %}filename as file
    from (
      select * from read_parquet(
        [{% for file in files %}{{ quoted(file) }}{{ ', ' if not loop.last }}{% endfor %}],
        filename = true, union_by_name = true
      )
      union all by name
      select {% for name, type in columns.items() %}null::{{ type }} as "{{ name }}"{{ ', ' if not loop.last }}{% endfor %}
      where false
    )
    {% endset %}
  {% else %}
    {% set query %}
    select {% for name, type in columns.items() %}null::{{ type }} as "{{ name }}", {% endfor %}null::varchar as file
    where false
    {% endset %}
  {% endif %}
  {{ return(query) }}
{% endmacro %}

{% macro logged_files() %}
  {# A query for the objects of the persona's request log that stand, each day as its notes of rewritings say: what one
     of them replaces counts no more, and a Parquet object that none names doesn't count yet. #}
  {% set folder = var('requests_dir') ~ '/' ~ var('persona') ~ '/*/' %}
  {% set notes = files_like(folder ~ '*.json') %}
  {% if not notes %}{{ return(files_of(folder ~ '*.jsonl')) }}{% endif %}
  {% set query %}
    with notes as ({{ read_json_files({'object': 'varchar', 'replaces': 'varchar[]'}, notes) }}),
    days as (select split_part({{ object_name('file') }}, '/', 1) || '/' as day, object, replaces from notes)
    select file
    from (
      select file, {{ object_name('file') }} as name
      from (select file from glob({{ quoted(folder ~ '*.jsonl') }}) union all select file from glob({{ quoted(folder ~ '*.parquet') }}))
    )
    where name not in (select day || unnest(replaces) from days)
      and (name not like '%.parquet' or name in (select day || object from days where object is not null))
  {% endset %}
  {{ return(query) }}
{% endmacro %}

{% macro new_rows(typed, key, object_column) %}
  {# Rows that the model doesn't hold yet. The same row may lie in two objects: while one is being replaced, or when one
     was copied back. #}
  select * from {{ typed }}
  {% if is_incremental() %}
  where {{ key }} not in (select {{ key }} from {{ this }} where persona = {{ quoted(var('persona')) }})
  {% endif %}
  qualify row_number() over (partition by {{ key }} order by {{ object_column }}) = 1
{% endmacro %}

{# Identity of a request: ids may repeat, ids and times don't. #}
{% macro request_key() %}sha256(request_id || '/' || epoch_us(time))[:20]{% endmacro %}
