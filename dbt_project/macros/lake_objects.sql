{# Tables that mirror immutable objects of the lake: each is read once, and rows of one that is gone go too.

   An object that lost rows (erased requests, texts past their days) comes back under another name. #}

{% macro object_name(path) %}regexp_extract(replace({{ path }}, '\', '/'), '[^/]+/[^/]+$'){% endmacro %}

{% macro forget_gone(pattern) %}
  {% if is_incremental() %}
  delete from {{ this }}
  where persona = {{ quoted(var('persona')) }}
    and lake_object not in (select {{ object_name('file') }} from glob({{ quoted(pattern) }}))
  {% endif %}
{% endmacro %}

{% macro unseen_files(pattern) %}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set query %}
    select file from glob({{ quoted(pattern) }})
    {% if is_incremental() %}
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
    select {% for name, type in columns.items() %}{{ name }}::{{ type }} as {{ name }}, {% endfor %}filename as file
    from (
      select * from read_parquet(
        [{% for file in files %}{{ quoted(file) }}{{ ', ' if not loop.last }}{% endfor %}],
        filename = true, union_by_name = true
      )
      union all by name
      select {% for name, type in columns.items() %}null::{{ type }} as {{ name }}{{ ', ' if not loop.last }}{% endfor %}
      where false
    )
    {% endset %}
  {% else %}
    {% set query %}
    select {% for name, type in columns.items() %}null::{{ type }} as {{ name }}, {% endfor %}null::varchar as file
    where false
    {% endset %}
  {% endif %}
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
