"""A Weaviate collection as a store for an event loop, over Weaviate's asynchronous client."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self, Unpack

import weaviate
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import FilterReturn

from vectorplug.encoded import Output
from vectorplug.search.asynchronous import AsyncStore
from vectorplug.search.config import IndexConfig
from vectorplug.search.modes import Mode
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.layout import Creation
from vectorplug_weaviate.store import WeaviateStore

__all__ = ["AsyncWeaviateStore"]


class AsyncWeaviateStore(AsyncStore[FilterReturn]):
    """What a `WeaviateStore` does, awaited; its requests are made on the loop that opened it."""

    @classmethod
    async def open(
        cls,
        url: str,
        collection: str = "docs",
        *,
        api_key: str | None = None,
        tenant: str | None = None,
        consistency_level: ConsistencyLevel | None = None,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        **creation: Unpack[Creation],
    ) -> Self:
        """As `WeaviateStore`."""
        loop = asyncio.get_running_loop()
        return await cls._over(
            lambda: Connection.to(url, api_key, loop),
            collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config,
        )  # fmt: skip

    @classmethod
    async def from_client(
        cls,
        client: weaviate.WeaviateAsyncClient,
        collection: str = "docs",
        *,
        tenant: str | None = None,
        consistency_level: ConsistencyLevel | None = None,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        **creation: Unpack[Creation],
    ) -> Self:
        """As `WeaviateStore.from_client`, over a client that was connected on this loop."""
        loop = asyncio.get_running_loop()
        return await cls._over(
            lambda: Connection(client, owned=False, loop=loop),
            collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config,
        )  # fmt: skip

    @classmethod
    async def _over(
        cls,
        connect: Callable[[], Connection],
        collection: str,
        creation: Creation,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
        config: IndexConfig | None,
    ) -> Self:
        return await cls.opened(
            lambda: WeaviateStore.over(
                connect(), collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config
            )
        )
