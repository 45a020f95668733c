"""Jobs by hand that erase for good: requests, or one document."""

import dagster as dg

from twin_assets.core.errors import TwinError
from twin_assets.defs.shared.common import WAREHOUSE_POOL
from twin_assets.defs.shared.resources import Platform
from twin_assets.inference.twin.request_log import user_hash
from twin_assets.monitoring.erasure import Erased, ErasedDocument, erase, erase_document


class DocumentConfig(dg.Config):
    """Whose document, and its id, as citations and the web page's Library have it."""

    persona: str
    doc_id: str


class RequestsConfig(dg.Config):
    """Whose requests: all that fit what is given. `user` is as requests of that key named it."""

    persona: str
    request_id: str | None = None
    key: str | None = None
    user: str | None = None


@dg.op(pool=WAREHOUSE_POOL)
def erase_one_document(context: dg.OpExecutionContext, config: DocumentConfig, platform: Platform) -> None:
    """Take a document out of every place that keeps texts; see `inference.erasure.places`."""
    persona = platform.persona(config.persona).name
    told = erase_document(platform.settings, platform.lake, persona, config.doc_id)
    _tell(context, told)


@dg.op(pool=WAREHOUSE_POOL)
def erase_some_requests(context: dg.OpExecutionContext, config: RequestsConfig, platform: Platform) -> None:
    """Take requests out of the log, their scores, reactions and pairs, datasets and the warehouse."""
    if config.user and not config.key:
        raise TwinError("A user is known within a key.", "give the key too.")
    user = user_hash(config.key, config.user) if config.key and config.user else None
    persona = platform.persona(config.persona).name
    _tell(context, erase(platform.settings, platform.lake, persona, config.request_id, user, config.key))


def _tell(context: dg.OpExecutionContext, told: Erased | ErasedDocument) -> None:
    context.add_output_metadata(
        {name: dg.MetadataValue.json(value) for name, value in told.model_dump().items()}
    )
    if told.models:
        context.log.warning(f"{', '.join(told.models)} had learnt from it: train anew, or take them back")


@dg.job(name="erase_document", description="Erases one document for good, from raw to index.")
def erase_document_job() -> None:
    erase_one_document()


@dg.job(description="Erases requests by id, key or user from all that was kept of them.")
def erase_requests() -> None:
    erase_some_requests()
