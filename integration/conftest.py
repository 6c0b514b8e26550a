"""What the store suite needs: two tiny models, and the folders from which the tests import."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import checkpoints
from corpus import FDE
from qdrant_server import RunningQdrant, qdrant_server
from serving import Running, serving

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
