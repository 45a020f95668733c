{# What is kept of a score object, in its names; what older objects lack is null. #}

{% macro score_columns() %}
  {{ return({
    'request_id': 'varchar', 'time': 'timestamptz', 'persona': 'varchar', 'words': 'bigint', 'declined': 'boolean',
    'personal_data': 'bigint', 'toxic': 'boolean', 'weight': 'double', 'claims': 'bigint', 'grounded_share': 'double',
    'support': 'double', 'voice_margin': 'double', 'sense_share': 'double', 'sense_far': 'double', 'sense_loss': 'double',
    'sense_coherence': 'double', 'voice_figure': 'double'
  }) }}
{% endmacro %}
