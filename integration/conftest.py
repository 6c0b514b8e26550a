"""What the store suite needs: two tiny models, and the folders from which the tests import."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import checkpoints
from corpus import FDE
from qdrant_server import RunningQdrant, qdrant_server
from serving import Running, serving
from store_suite import OpenStore
from weaviate_server import WeaviateServer, weaviate_server

from vectorplug.vectorizer import Vectorizer


@pytest.fixture(scope="session")
def vectorizer(tmp_path_factory: pytest.TempPathFactory) -> Vectorizer:
    folder = checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "tiny-colbert")
    return Vectorizer(str(folder), fde=FDE, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def another_vectorizer(tmp_path_factory: pytest.TempPathFactory) -> Vectorizer:
    folder = checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "another-colbert", seed=1)
    return Vectorizer(str(folder), fde=FDE, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Our server with the real MiniLM (the default) and a tiny ColBERT of random weights, both in float32."""
    folder = checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("served") / "tiny-colbert")
    with serving({"minilm": "minilm", "tiny-colbert": str(folder)}) as running:
        yield running


@pytest.fixture(scope="session")
def minilm() -> Vectorizer:
    """The same MiniLM in process: what every answer is compared with."""
    return Vectorizer("minilm", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny ColBERT of random weights."""
    return checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def inferring_qdrant(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningQdrant]:
    """A real Qdrant that asks our server for the vectors of texts."""
    with qdrant_server(tmp_path_factory.mktemp("qdrant"), inference=f"{server.url}/infer") as running:
        yield running


@pytest.fixture(scope="session")
def weaviate_under_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaviateServer]:
    """A real Weaviate for the tests of its store."""
    with weaviate_server(tmp_path_factory.mktemp("weaviate"), {}) as running:
        yield running


@pytest.fixture
def prefix(weaviate_under_test: WeaviateServer) -> Iterator[str]:
    """Of this test's collections in Weaviate, which are gone after it."""
    prefix = f"T{uuid.uuid4().hex[:8]}_"
    yield prefix
    with weaviate_under_test.connect() as client:
        client.collections.delete([name for name in client.collections.list_all() if name.startswith(prefix)])


@pytest.fixture
def open_weaviate(weaviate_under_test: WeaviateServer, prefix: str) -> Iterator[OpenStore]:
    """Opens stores by their URL; they are closed after the test."""
    from vectorplug_weaviate import WeaviateStore

    with ExitStack() as opened:

        def open_store(collection: str = "docs", **options: Any) -> WeaviateStore:
            return opened.enter_context(WeaviateStore(weaviate_under_test.store_url, prefix + collection, **options))

        yield open_store
