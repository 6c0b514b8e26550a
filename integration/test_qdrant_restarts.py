"""A Qdrant server that is killed in the middle of an add, is away for good, or asks for a key."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from corpus import WordVectorizer, sentences
from qdrant_client import QdrantClient
from qdrant_server import environment, free_ports, wait_until_ready
from stamina.instrumentation import RetryDetails, set_on_retry_hooks
from store_suite import QUERIES, assert_same, filled, plain_store
from vectorplug_qdrant import QdrantStore, writing

from vectorplug import open_store
from vectorplug.errors import StoreError, StoreUnavailableError
from vectorplug.search import AddReport
from vectorplug.search.hits import Rows
from vectorplug.settings import settings

COUNT = 900
KEY = "a-key-of-the-tests"


class Qdrant:
    """A `qdrant` program on two ports and a folder that stay the same however often it is started."""

    def __init__(self, folder: Path, **settings: str) -> None:
        program = shutil.which("qdrant")
        if program is None:
            pytest.skip("no Qdrant to start here: put a `qdrant` program on PATH")
        self._restarting = threading.Lock()
        self.http, self.grpc = free_ports(2)
        self.url = f"http://127.0.0.1:{self.http}"
        self._program, self._folder = program, folder
        self._environment = environment(folder, self.http, self.grpc, None, None) | settings
        self.start()

    def start(self) -> None:
        with (self._folder / "qdrant.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--disable-telemetry"],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        with self._restarting:
            self.kill()
            self.start()

    def eyes(self) -> QdrantClient:
        wait_until_ready(self.url, self._process)
        return QdrantClient(self.url, timeout=60, check_compatibility=False)


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[Qdrant]:
    running = Qdrant(tmp_path)
    try:
        wait_until_ready(running.url, running._process)
        yield running
    finally:
        running.kill()


@pytest.fixture
def retries() -> Iterator[list[RetryDetails]]:
    """Every time that something is about to be tried again."""
    seen: list[RetryDetails] = []
    set_on_retry_hooks([seen.append])
    yield seen
    set_on_retry_hooks(None)


def url_of(qdrant: Qdrant, way: str) -> str:
    return f"{qdrant.url}?grpc_port={qdrant.grpc}" if way == "grpc" else qdrant.url


def everything(client: QdrantClient, collection: str) -> list[tuple[Any, Any, Any]]:
    points, after = client.scroll(collection, limit=COUNT + 100, with_vectors=True)
    assert after is None
    return [(point.id, point.payload, point.vector) for point in points]


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_killed_server_is_ridden_out(qdrant: Qdrant, way: str, retries: list[RetryDetails]) -> None:
    texts, starting = sentences(COUNT), []

    def disturbed() -> Iterator[str]:
        for i, text in enumerate(texts):
            if i in (300, 700):  # away before the next request, back some time after it
                qdrant.kill()
                starting.append(threading.Timer(0.5, qdrant.start))
                starting[-1].start()
            yield text

    with QdrantStore(url_of(qdrant, way), "disturbed", vectorizer=WordVectorizer(), mode="fde+rerank") as store:
        assert store.add(disturbed(), ids=iter(range(COUNT))) == AddReport(added=COUNT)
        assert store.count() == COUNT
    for each in starting:
        each.join()
    assert retries
    with QdrantStore(url_of(qdrant, way), "undisturbed", vectorizer=WordVectorizer(), mode="fde+rerank") as store:
        store.add(texts, ids=range(COUNT))
    client = qdrant.eyes()
    assert everything(client, "disturbed") == everything(client, "undisturbed")
    assert client.get_collection("disturbed").config.optimizer_config.indexing_threshold
    client.close()


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_server_killed_while_it_writes(qdrant: Qdrant, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upserting = writing.Writing._upserting
    written: list[threading.Thread] = []
    one_at_a_time = threading.Lock()

    def while_killed(self: writing.Writing, rows: Rows, texts: Any) -> Callable[[], object]:
        write = upserting(self, rows, texts)
        with one_at_a_time:
            if len(written) < 5:
                written.append(threading.Thread(target=qdrant.restart))
                written[-1].start()
        return write

    texts = sentences(COUNT)
    monkeypatch.setattr(QdrantStore, "chunk_bytes", 100_000)
    with QdrantStore(url_of(qdrant, way), "docs", vectorizer=WordVectorizer(), mode="fde+rerank") as store:
        with monkeypatch.context() as patch:
            patch.setattr(writing.Writing, "_upserting", while_killed)
            assert store.add(texts, ids=range(COUNT)) == AddReport(added=COUNT)
        for each in written:
            each.join()
        assert len(written) == 5
        wait_until_ready(qdrant.url, qdrant._process)
        assert store.count() == COUNT
        assert store.add(texts, ids=range(COUNT)) == AddReport(skipped=COUNT)


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_server_that_stays_away_is_named(qdrant: Qdrant, way: str) -> None:
    store = filled(QdrantStore(url_of(qdrant, way), "docs", mode="fde+rerank"))
    qdrant.kill()
    with stamina.set_testing(True, attempts=3):
        with pytest.raises(StoreUnavailableError, match=rf"{qdrant.url} does not answer.*See that it runs"):
            store.search_encoded(QUERIES[:1])
        with pytest.raises(StoreUnavailableError, match=qdrant.url):
            QdrantStore(url_of(qdrant, way), "docs")
    store.close()
    qdrant.start()
    wait_until_ready(qdrant.url, qdrant._process)
    with QdrantStore(url_of(qdrant, way), "docs") as again:
        assert again.count() == 60


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_a_key(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Qdrant(tmp_path, QDRANT__SERVICE__API_KEY=KEY)
    try:
        wait_until_ready(running.url, running._process)
        url = url_of(running, way)
        with pytest.warns(UserWarning, match="insecure connection"):
            store = QdrantStore(url, "docs", mode="fde+rerank", api_key=KEY)
        with filled(store):
            assert_same(store.search_encoded(QUERIES[:1]), plain_store().search_encoded(QUERIES[:1], mode="fde+rerank"))
        monkeypatch.setenv("VECTORPLUG_STORE_API_KEY", KEY)
        settings.cache_clear()
        with pytest.warns(UserWarning, match="insecure connection"), open_store(f"qdrant+{url}") as again:
            assert again.count() == 60
        with pytest.raises(StoreError, match=r"refuses the API key.*api_key=\.\.\."):
            QdrantStore(url, "docs")
        with (
            pytest.warns(UserWarning, match="insecure connection"),
            pytest.raises(StoreError, match="refuses the API key"),
        ):
            QdrantStore(url, "docs", api_key="another")
    finally:
        settings.cache_clear()
        running.kill()


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_a_client_with_a_key(tmp_path: Path, prefer_grpc: bool) -> None:
    running = Qdrant(tmp_path, QDRANT__SERVICE__API_KEY=KEY)
    try:
        wait_until_ready(running.url, running._process)
        options: dict[str, Any] = {"grpc_port": running.grpc, "prefer_grpc": prefer_grpc, "check_compatibility": False}
        with pytest.warns(UserWarning, match="insecure connection"):
            client = QdrantClient(running.url, api_key=KEY, **options)
        with filled(QdrantStore.from_client(client, "docs", mode="fde+rerank")) as store:
            assert_same(store.search_encoded(QUERIES[:1]), plain_store().search_encoded(QUERIES[:1], mode="fde+rerank"))
        client.close()
        bare = QdrantClient(running.url, **options)
        with pytest.raises(StoreError, match="api_key"):
            QdrantStore.from_client(bare, "docs")
        bare.close()
    finally:
        running.kill()
