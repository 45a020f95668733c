-- Lines of raw objects that can't be read, and are left out.
-- depends_on: {{ ref('stg_documents') }}
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'stg_documents'}}}, fail_calc='coalesce(sum(lines), 0)') }}
select * from {{ source('raw', 'damaged') }} where persona = {{ quoted(var('persona')) }}
