{# Tests of columns beside dbt's own. Each selects the rows that are wrong. #}

{% test in_range(model, column_name, low=none, high=none) %}
  select {{ column_name }} from {{ model }}
  where false
    {% if low is not none %}or {{ column_name }} < {{ low }}{% endif %}
    {% if high is not none %}or {{ column_name }} > {{ high }}{% endif %}
{% endtest %}

{% test there_with(model, column_name, other) %}
  {# Both are there, or neither. #}
  select {{ column_name }} from {{ model }} where ({{ column_name }} is null) <> ({{ other }} is null)
{% endtest %}

{% test never_with(model, column_name, other) %}
  select {{ column_name }} from {{ model }} where {{ column_name }} is not null and {{ other }} is not null
{% endtest %}
