"""A real Weaviate through its asynchronous client does what every asynchronous store must."""

import asyncio
from typing import Any

import pytest
from async_suite import AsyncSuite, OpenAsync
from store_suite import DOCUMENTS, QUERIES
from vectorplug_weaviate import AsyncWeaviateStore, WeaviateStore
from weaviate_server import WeaviateServer

from vectorplug.errors import ConfigurationError, StoreUnavailableError


class TestWeaviateAsync(AsyncSuite):
    @pytest.fixture
    def open_async(self, weaviate_under_test: WeaviateServer, prefix: str) -> OpenAsync:
        def open_store(collection: str, **options: Any) -> Any:
            return AsyncWeaviateStore.open(weaviate_under_test.store_url, prefix + collection, **options)

        return open_store


def test_the_callers_client_is_used_and_stays_open(weaviate_under_test: WeaviateServer, prefix: str) -> None:
    async def life() -> None:
        async with weaviate_under_test.connect_async() as client:
            async with await AsyncWeaviateStore.from_client(client, f"{prefix}docs", mode="fde+rerank") as store:
                assert (await store.add_encoded(DOCUMENTS, ids=list(range(60)))).added == 60
                assert len(await store.search_encoded(QUERIES[:1])) == 10
            assert client.is_connected()
            assert await client.collections.exists(f"{prefix}docs")
            with pytest.raises(ConfigurationError, match="AsyncWeaviateStore"):
                WeaviateStore.from_client(client, f"{prefix}docs")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="not connected"):
            await AsyncWeaviateStore.from_client(client, f"{prefix}docs")

    asyncio.run(life())


def test_tenants(weaviate_under_test: WeaviateServer, prefix: str) -> None:
    async def life() -> None:
        url = weaviate_under_test.store_url
        async with await AsyncWeaviateStore.open(url, f"{prefix}docs", tenant="one", mode="fde") as one:
            assert (await one.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3])).added == 3
            async with await AsyncWeaviateStore.open(url, f"{prefix}docs", tenant="two") as two:
                assert (await one.count(), await two.count()) == (3, 0)

    asyncio.run(life())


def test_a_client_of_the_other_kind_is_refused(weaviate_under_test: WeaviateServer) -> None:
    async def life() -> None:
        expected = pytest.raises(ConfigurationError, match=r"expected a weaviate\.WeaviateAsyncClient")
        with weaviate_under_test.connect() as client, expected:
            await AsyncWeaviateStore.from_client(client)  # type: ignore[arg-type]

    asyncio.run(life())


def test_nobody_at_the_url() -> None:
    with pytest.raises(StoreUnavailableError, match="no Weaviate answers"):
        asyncio.run(AsyncWeaviateStore.open("weaviate+http://127.0.0.1:9?grpc_port=10"))
