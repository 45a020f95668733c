{# Models that are rebuilt for one persona at a time, leaving everyone else's rows alone. #}

{% macro forget_persona() %}
  {% if is_incremental() %}delete from {{ this }} where persona = {{ quoted(var('persona')) }}{% endif %}
{% endmacro %}
