"""A Qdrant as a store for an event loop: over an asynchronous client by gRPC and by REST, and opened by its URL."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from async_suite import AsyncSuite, OpenAsync
from corpus import WordVectorizer, sentences
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_server import RunningQdrant, qdrant_server
from store_suite import DOCUMENTS
from vectorplug_qdrant import AsyncQdrantStore, QdrantStore

from vectorplug.errors import ConfigurationError
from vectorplug.search import AsyncStore


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningQdrant]:
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture
def prefix(qdrant: RunningQdrant) -> Iterator[str]:
    """Begins the names of a test's collections, which end with it."""
    prefix = uuid.uuid4().hex[:8]
    yield prefix
    client = QdrantClient(qdrant.url, timeout=60, check_compatibility=False)
    for each in client.get_collections().collections:
        if each.name.startswith(prefix):
            client.delete_collection(each.name)
    client.close()


def client_of(qdrant: RunningQdrant, *, prefer_grpc: bool) -> AsyncQdrantClient:
    return AsyncQdrantClient(
        qdrant.url, grpc_port=qdrant.grpc_port, prefer_grpc=prefer_grpc, timeout=60, check_compatibility=False
    )


class TestClientByGrpc(AsyncSuite):
    prefer_grpc = True

    @pytest.fixture
    def open_async(self, qdrant: RunningQdrant, prefix: str) -> OpenAsync:
        async def open_one(collection: str, **options: Any) -> AsyncStore[Any]:
            client = client_of(qdrant, prefer_grpc=self.prefer_grpc)
            return await AsyncQdrantStore.from_client(client, f"{prefix}-{collection}", **options)

        return open_one


class TestClientByRest(TestClientByGrpc):
    prefer_grpc = False


class TestByUrl(AsyncSuite):
    @pytest.fixture
    def open_async(self, qdrant: RunningQdrant, prefix: str) -> OpenAsync:
        async def open_one(collection: str, **options: Any) -> AsyncStore[Any]:
            url = f"{qdrant.url}?grpc_port={qdrant.grpc_port}"
            return await AsyncQdrantStore.open(url, f"{prefix}-{collection}", **options)

        return open_one


class TestEdge(AsyncSuite):
    @pytest.fixture
    def open_async(self, tmp_path: Path) -> OpenAsync:
        async def open_one(collection: str, **options: Any) -> AsyncStore[Any]:
            return await AsyncQdrantStore.open(f"edge:{tmp_path}", collection, **options)

        return open_one


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_both_clients_write_the_same(qdrant: RunningQdrant, prefix: str, prefer_grpc: bool) -> None:
    texts = sentences(300)
    options: dict[str, Any] = {"vectorizer": WordVectorizer(), "mode": "hybrid+rerank"}

    async def write() -> None:
        client = client_of(qdrant, prefer_grpc=prefer_grpc)
        async with await AsyncQdrantStore.from_client(client, f"{prefix}-aio", **options) as store:
            await store.add(texts, ids=range(300))
            assert (await store.search(texts[7], limit=1))[0].id == 7
        assert (await client.count(f"{prefix}-aio")).count == 300  # still open
        await client.close()
        url = f"{qdrant.url}?grpc_port={qdrant.grpc_port}"
        async with await AsyncQdrantStore.open(url, f"{prefix}-url", **options) as store:
            await store.add(texts, ids=range(300))

    asyncio.run(write())
    eyes = QdrantClient(qdrant.url, timeout=60, check_compatibility=False)
    points = [eyes.scroll(f"{prefix}-{name}", limit=400, with_vectors=True)[0] for name in ("aio", "url")]
    eyes.close()
    assert len(points[0]) == 300
    assert points[0] == points[1]


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_bytes_go_over_the_client_s_own_channel(qdrant: RunningQdrant, prefix: str, prefer_grpc: bool) -> None:
    async def life() -> None:
        client: Any = client_of(qdrant, prefer_grpc=prefer_grpc)
        async with await AsyncQdrantStore.from_client(client, f"{prefix}-docs", mode="fde") as store:
            database: Any = store._store._database
            assert (database._writing._upsert is not None) == prefer_grpc
            if prefer_grpc:
                assert database._connection._channel[0] is client._client._grpc_channel_pool[0]
            await store.add_encoded(DOCUMENTS, ids=list(range(60)))
            assert (await client.count(f"{prefix}-docs")).count == 60
        await client.close()

    asyncio.run(life())


def test_what_is_no_asynchronous_client_of_a_server(qdrant: RunningQdrant) -> None:
    async def life() -> None:
        blocking: Any = QdrantClient(qdrant.url, check_compatibility=False)
        with pytest.raises(ConfigurationError, match=r"is a QdrantClient, expected a qdrant_client\.AsyncQdrantClient"):
            await AsyncQdrantStore.from_client(blocking)
        blocking.close()
        with pytest.raises(ConfigurationError, match="edge:FOLDER"):
            await AsyncQdrantStore.from_client(AsyncQdrantClient(":memory:"))
        with pytest.raises(ConfigurationError, match="is a AsyncQdrantClient"):
            QdrantStore.from_client(client_of(qdrant, prefer_grpc=True))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="no folder and no server"):
            await AsyncQdrantStore.open("ftp://h")

    asyncio.run(life())
