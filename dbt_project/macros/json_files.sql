{# JSON objects of the lake as typed rows. #}

{% macro quoted(text) %}{{ return("'" ~ (text | string | replace("'", "''")) ~ "'") }}{% endmacro %}

{% macro files_like(pattern) %}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set found = run_query("select file from glob(" ~ quoted(pattern) ~ ") order by file") %}
  {{ return(found.columns[0].values() | list) }}
{% endmacro %}

{% macro read_json_files(columns, files, format='auto', file_column='file') %}
  {# A query over JSON objects; typed and empty when there are none, as DuckDB can't read no file. #}
  {% set names = '"' ~ columns.keys() | join('", "') ~ '"' %}
  {% if files %}
    {% set query %}
    select {{ names }}, filename as {{ file_column }}
    from read_json(
      [{% for file in files %}{{ quoted(file) }}{{ ', ' if not loop.last }}{% endfor %}],
      format = {{ quoted(format) }}, filename = true, ignore_errors = {{ 'true' if format == 'newline_delimited' else 'false' }}, maximum_object_size = 67108864,
      columns = { {%- for name, type in columns.items() %}{{ quoted(name) }}: '{{ type }}'{{ ', ' if not loop.last }}{% endfor -%} }
    )
    {% endset %}
  {% else %}
    {% set query %}
    select {% for name, type in columns.items() %}null::{{ type }} as "{{ name }}", {% endfor %}null::varchar as {{ file_column }}
    where false
    {% endset %}
  {% endif %}
  {{ return(query) }}
{% endmacro %}
