-- A persona has at most one version in production.
{{ config(tags=['monitoring']) }}
select persona from {{ ref('releases') }} where is_production group by persona having count(*) > 1
