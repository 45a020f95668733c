-- Every document has exactly one current version.
select doc_id from {{ ref('document_history') }} group by doc_id having count(*) filter (where is_current) <> 1
