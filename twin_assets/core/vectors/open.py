"""The one place that chooses the implementation of the vector store."""

import functools

from twin_assets.core.storage.lake import platform_name
from twin_assets.core.vectors.base import VectorStore
from twin_assets.settings import Settings


def open_store(settings: Settings, persona: str) -> VectorStore:
    """The persona's store in the implementation that the settings name; connects on first use.

    TwinError when the settings of that implementation are incomplete.
    """
    if settings.vector_store == "weaviate":
        from twin_assets.core.vectors.weaviate import WeaviateStore
        from twin_assets.core.vectors.weaviate_connection import server_of
        from twin_assets.core.vectors.weaviate_tenant import WeaviateTenant

        tenant = WeaviateTenant(server_of(settings), settings.weaviate_collection, persona)
        owner = functools.partial(platform_name, settings)
        return WeaviateStore(tenant, persona, owner, settings.weaviate_sync_timeout)
    from twin_assets.core.vectors.lance import LanceStore

    return LanceStore(settings.vectors_uri, persona)
