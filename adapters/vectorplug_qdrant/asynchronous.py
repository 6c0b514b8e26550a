"""A Qdrant collection as a store for an event loop."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from vectorplug.encoded import Output
from vectorplug.search.asynchronous import AsyncStore
from vectorplug.search.bridge import calls_on
from vectorplug.search.config import IndexConfig
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_qdrant.store import QdrantStore

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import AsyncQdrantClient, models

    from vectorplug_qdrant.layout import Creation

    Filter = qdrant_edge.Filter | models.Filter

__all__ = ["AsyncQdrantStore"]


class AsyncQdrantStore(AsyncStore["Filter"]):
    """A `QdrantStore` whose methods are awaited: `store = await AsyncQdrantStore.open(url, ...)`."""

    @classmethod
    async def open(
        cls,
        url: str,
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        api_key: str | None = None,
        **creation: "Unpack[Creation]",
    ) -> Self:
        """As `QdrantStore(url, ...)`."""
        return await cls.opened(
            lambda: QdrantStore(
                url,
                collection,
                vectorizer=vectorizer,
                mode=mode,
                outputs=outputs,
                config=config,
                api_key=api_key,
                **creation,
            )
        )

    @classmethod
    async def from_client(
        cls,
        client: "AsyncQdrantClient",
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        **creation: "Unpack[Creation]",
    ) -> Self:
        """As `QdrantStore.from_client`, over an `AsyncQdrantClient` of the running loop."""
        from vectorplug_qdrant.connection import Connection
        from vectorplug_qdrant.server import ServerCollection

        call = calls_on(asyncio.get_running_loop())

        def opened() -> Store[Any]:
            database = ServerCollection(Connection(client, collection, call), creation)
            return Store(database, collection, vectorizer=vectorizer, mode=mode, outputs=outputs, config=config)

        return await cls.opened(opened)
