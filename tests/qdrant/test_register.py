"""What may be registered and named, what a client is told of it, and with which clients this works."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import vectorplug_qdrant
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.embed.model_embedder import ModelEmbedder
from vectorplug_qdrant.hooks import check_version
from vectorplug_qdrant.inference import Registry

from vectorplug import Muvera, Vectorizer
from vectorplug.errors import ConfigurationError, InputError, ModelNotFoundError, VectorplugError

FDE = Muvera(dim=16, repetitions=4, ksim=3, dproj=8)
ONE_PROCESS = """
import json, sys
{before}
import vectorplug_qdrant
from vectorplug.errors import ConfigurationError
try:
    vectorplug_qdrant.register()
except ConfigurationError as error:
    print(error)
{after}
"""


@pytest.fixture(scope="module")
def tiny(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), fde=FDE, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def dense(tiny_dense: Path) -> Vectorizer:
    return Vectorizer(str(tiny_dense), fde=None, device="cpu", dtype="float32")


@pytest.fixture
def client(tiny: Vectorizer, dense: Vectorizer) -> Iterator[QdrantClient]:
    vectorplug_qdrant.register(tiny, name="tiny")
    vectorplug_qdrant.register(dense, name="plain")
    client = QdrantClient(":memory:")
    client.create_collection("docs", models.VectorParams(size=16, distance=models.Distance.DOT))
    yield client
    client.close()


def in_a_process(before: str = "", after: str = "") -> list[str]:
    code = ONE_PROCESS.format(before=before, after=after)
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return outcome.stdout.splitlines()


def ask(client: QdrantClient, query: Any) -> None:
    client.query_points("docs", query=query)


@pytest.mark.parametrize("found", ["1.17.0", "1.20.0", "1.20.7"])
def test_a_client_that_it_is_made_for(found: str) -> None:
    check_version(found)


@pytest.mark.parametrize("found", ["1.16.2", "1.21.0", "2.0.0", "0.11", "unknown"])
def test_another_client_is_refused_with_the_versions_that_do(found: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"qdrant-client is {found}.*qdrant-client>=1\.17,<1\.21"):
        check_version(found)


def test_a_client_without_what_is_extended_is_refused_and_left_as_it_is() -> None:
    before = """
from qdrant_client.qdrant_fastembed import QdrantFastembedMixin
from qdrant_client.embed.model_embedder import ModelEmbedder
del QdrantFastembedMixin._get_model_params
original = ModelEmbedder._embed_accumulator
"""
    error, kept = in_a_process(before, "print(ModelEmbedder._embed_accumulator is original)")
    assert "qdrant-client>=1.17,<1.21" in error
    assert kept == "True"


def test_registering_loads_neither_torch_nor_a_model() -> None:
    heavy = ["torch", "transformers", "sentence_transformers", "qdrant_edge"]
    (found,) = in_a_process(after=f"print(json.dumps([name for name in {heavy} if name in sys.modules]))")
    assert json.loads(found) == []


def test_registering_again_and_at_once_changes_the_client_once(tiny: Vectorizer) -> None:
    vectorplug_qdrant.register()
    hooked = ModelEmbedder._embed_accumulator
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: vectorplug_qdrant.register(tiny, name="tiny"), range(32)))
    assert ModelEmbedder._embed_accumulator is hooked


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vectorplug/tiny", 16),
        ("vectorplug/tiny:tokens", 16),
        ("vectorplug/tiny:fde", FDE.size),
        ("tiny:fde:query", FDE.size),
        ("vectorplug/tiny:dense:document", 16),
        ("vectorplug/plain", 32),
        ("vectorplug/answerai-colbert-small", 96),
        ("vectorplug/answerdotai/answerai-colbert-small-v1:fde", 10_240),
        ("minilm", 384),
    ],
)
def test_sizes_are_known_before_anything_is_loaded(client: QdrantClient, name: str, size: int) -> None:
    assert client.get_embedding_size(name) == size
    assert AsyncQdrantClient(":memory:").get_embedding_size(name) == size


async def test_the_client_lists_them_by_what_they_give(client: QdrantClient) -> None:
    tokens, single = client.list_late_interaction_text_models(), client.list_text_models()
    assert tokens["vectorplug/tiny"] == tokens["vectorplug/tiny:tokens"] == (16, models.Distance.DOT)
    assert single["vectorplug/tiny:fde"] == (FDE.size, models.Distance.DOT)
    assert single["vectorplug/tiny:dense"] == (16, models.Distance.COSINE)
    assert single["vectorplug/plain"] == (32, models.Distance.COSINE)
    assert "vectorplug/plain:fde" not in single
    assert "vectorplug/tiny" not in single
    assert await AsyncQdrantClient(":memory:").list_text_models() == single


@pytest.mark.parametrize("name", ["vectorplug/tinny:fde", "tinny:dense", "vectorplug/tinny"])
def test_an_unknown_name_is_refused_with_the_nearest(client: QdrantClient, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'tinny' is no model.*Did you mean tiny"):
        ask(client, models.Document(text="sea", model=name))
    with pytest.raises(ModelNotFoundError, match="Did you mean tiny"):
        client.get_embedding_size(name)


def test_other_models_stay_the_clients(client: QdrantClient) -> None:
    with pytest.raises(ValueError, match="BAAI/none") as caught:
        ask(client, models.Document(text="sea", model="BAAI/none"))
    assert not isinstance(caught.value, VectorplugError)
    assert not Registry().knows("sentence-transformers/all-MiniLM-L6-v2"), "FastEmbed's, under its own name"
    assert Registry().knows("vectorplug/sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        (models.Image(image="a.png", model="vectorplug/tiny"), InputError, "an? Image came .* send models.Document"),
        (models.InferenceObject(object={"a": 1}, model="vectorplug/tiny"), InputError, "InferenceObject of a dict"),
        (models.Document(text="sea", model="vectorplug/plain:fde"), ConfigurationError, "fde=None.*fde='default'"),
        (models.Document(text="sea", model="vectorplug/tiny", options={"cuda": True}), InputError, "options cuda"),
        (
            models.Document(text="sea", model="vectorplug/tiny:dense", options={"dimensions": 17}),
            InputError,
            "dimensions 17, expected a whole number from 1 to 16",
        ),
        (
            models.Document(text="sea", model="vectorplug/tiny:fde", options={"dimensions": 8}),
            InputError,
            "an FDE, which has one size",
        ),
    ],
)
def test_what_a_model_does_not_do_is_refused(
    client: QdrantClient, query: Any, error: type[VectorplugError], says: str
) -> None:
    with pytest.raises(error, match=says):
        ask(client, query)


def test_after_an_error_the_client_goes_on(client: QdrantClient) -> None:
    good = models.Document(text="sea", model="vectorplug/tiny:dense")
    bad = models.Document(text="salt", model="vectorplug/tinny:dense")
    with pytest.raises(ModelNotFoundError):
        client.upsert("docs", [models.PointStruct(id=i, vector=each) for i, each in enumerate([good, bad])])
    assert client.count("docs").count == 0
    client.upsert("docs", [models.PointStruct(id=0, vector=good)])
    assert client.count("docs").count == 1


def test_a_name_belongs_to_a_vectorizer_and_says_nothing_else(tiny: Vectorizer) -> None:
    with pytest.raises(ConfigurationError, match=r"without a vectorizer: register\(vectorizer, name='mine'\)"):
        vectorplug_qdrant.register(name="mine")
    for name in ("mine:fde", "vectorplug/mine", "mine:query", "mine:latest"):
        with pytest.raises(ConfigurationError, match="use 'mine'"):
            vectorplug_qdrant.register(tiny, name=name)


def test_the_newer_vectorizer_of_a_name_is_used(tiny: Vectorizer, tiny_colbert: Path) -> None:
    registry = Registry()
    registry.add(tiny, None, None)
    assert registry.described(f"vectorplug/{tiny.model}:fde") == ("fde", FDE.size)
    larger = Muvera(dim=16, repetitions=8, ksim=3, dproj=8)
    registry.add(Vectorizer(str(tiny_colbert), fde=larger, device="cpu", dtype="float32"), None, None)
    assert registry.described(f"vectorplug/{tiny.model}:fde") == ("fde", larger.size)
