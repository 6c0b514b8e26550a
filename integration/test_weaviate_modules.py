"""Weaviate's modules, pointed at our server: a real Weaviate, configured as docs/weaviate-modules.md shows.

200 abstracts of SciFact go in through the Python client; what `near_text` and `hybrid` answer equals our own scores.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import weaviate
from serving import Running, serving
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import MetadataQuery, Rerank
from weaviate.exceptions import WeaviateInsertManyAllFailedError, WeaviateQueryError
from weaviate_server import WeaviateServer, weaviate_server

from vectorplug import Encoded, Vectorizer, maxsim

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "weaviate-modules.md").read_text("utf-8")
DATA = ROOT.parent / "shared" / "data"
DOCUMENTS = 200
KEY = "the-key"
HEADERS = {"X-Weaviate-Cluster-Url": "http://localhost", "X-Jinaai-Ratelimit-RequestPM-Embedding": "1000000"}
VOCABULARY = "TIKTOKEN_CACHE_DIR"
# They count tokens before they send any.
COUNTING = ("text2multivec-jinaai", "text2vec-jinaai", "text2vec-openai", "text2vec-voyageai")
# They have no way to say that a text is a query.
ONE_ROLE = ("text2vec-openai", "text2vec-ollama", "text2vec-huggingface")
# They send one text a request; several writers' come into one forward pass.
ONE_TEXT = ("multi2multivec-jinaai", "text2vec-transformers", "text2vec-model2vec")
# What Weaviate asks when it starts.
PROBES = ("/.well-known/ready", "/meta")
# Weaviate's own numbers are float32, as ours, and pass through JSON.
CLOSE = 1e-4


@dataclass(frozen=True)
class Corpus:
    """Texts and queries, and what our own vectorizer makes of them."""

    texts: list[str]
    queries: list[str]
    documents: Encoded
    asked: Encoded
    asked_as_documents: Encoded

    def maxsim(self, query: int) -> np.ndarray:
        assert self.asked.tokens is not None
        assert self.documents.tokens is not None
        return maxsim(self.asked.tokens[query], self.documents.tokens)

    def relevance(self, query: int) -> np.ndarray:
        assert self.asked.tokens is not None
        return self.maxsim(query) / len(self.asked.tokens[query])

    def cosine(self, query: int, *, as_document: bool) -> np.ndarray:
        asked = (self.asked_as_documents if as_document else self.asked).dense
        assert asked is not None
        assert self.documents.dense is not None
        return self.documents.dense @ asked[query]


@pytest.fixture(scope="module")
def checkpoint() -> Path:
    """A trained ColBERT with markers and expansion: a query that is taken for a document has other vectors."""
    folder = DATA / "colbert-minilm"
    if not folder.is_dir():
        pytest.skip(f"no real data here: {folder} is not there")
    return folder


@pytest.fixture(scope="module")
def corpus(checkpoint: Path) -> Corpus:
    """Four queries, what answers them, and other abstracts."""
    folder = DATA / "scifact"
    answers = [line.split("\t")[:2] for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:5]]
    by_id = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    abstracts = {row["_id"]: f"{row['title']} {row['text']}" for row in _rows(folder / "corpus.jsonl")}
    wanted = list(dict.fromkeys([document for _, document in answers] + list(abstracts)))[:DOCUMENTS]
    texts, queries = [abstracts[i] for i in wanted], [by_id[query] for query, _ in answers]
    own = Vectorizer(str(checkpoint), fde=None, device="cpu", dtype="float32")
    return Corpus(texts, queries, own.encode_document(texts), own.encode_query(queries), own.encode_document(queries))


@pytest.fixture(scope="module")
def ours(checkpoint: Path) -> Iterator[Running]:
    """Our server, which asks for a key and cuts what is too long."""
    names = {"colbert": str(checkpoint), "colbert-v3": str(checkpoint)}
    with serving(names, keys=(KEY,), truncate=True) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(ours: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeaviateServer]:
    """A Weaviate whose modules ask our server; its start waits for ours."""
    hosted = ("JINAAI", "COHERE", "OPENAI", "VOYAGEAI", "HUGGINGFACE", "NVIDIA")
    containers = ("TRANSFORMERS", "MODEL2VEC", "RERANKER")
    environment = {
        "ENABLE_MODULES": "text2vec-transformers,text2vec-model2vec,text2vec-ollama,reranker-transformers",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": KEY,
        "AUTHENTICATION_APIKEY_USERS": "tester",
        **{f"{name}_APIKEY": KEY for name in hosted},
        **{f"{name}_INFERENCE_API": f"http://any:{KEY}@127.0.0.1:{ours.port}/weaviate" for name in containers},
        **({VOCABULARY: os.environ[VOCABULARY]} if VOCABULARY in os.environ else {}),
    }
    with weaviate_server(tmp_path_factory.mktemp("weaviate"), environment) as running:
        if not running.is_ours:
            pytest.skip("a Weaviate that runs already has modules that ask somebody else")
        yield running


@pytest.fixture(scope="module")
def client(theirs: WeaviateServer) -> Iterator[weaviate.WeaviateClient]:
    with theirs.connect(headers=HEADERS, key=KEY) as connected:
        yield connected


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _as_shown(module: str, ours: Running, *, model: str = "colbert-v3") -> Any:
    """The page's configuration of a module, with the addresses and the key of this run."""
    if module in COUNTING and VOCABULARY not in os.environ:
        pytest.skip(f"{module} counts tokens: set {VOCABULARY} as docs/weaviate-modules.md says, or it downloads")
    found = re.search(rf"^### {module}$.*?^```py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no section on {module}"
    shown = found[1].replace("localhost:8090", f"127.0.0.1:{ours.port}").replace(":KEY@", f":{KEY}@")
    shown = shown.replace("colbert-v3", model)
    return eval(shown, {"Configure": Configure})


def _filled(
    client: weaviate.WeaviateClient, name: str, module: str, reranker: str, corpus: Corpus, ours: Running
) -> Any:
    """A collection with all texts in it, by four writers at once."""
    client.collections.delete(name)
    collection = client.collections.create(
        name,
        vector_config=_as_shown(module, ours),
        reranker_config=_as_shown(reranker, ours),
        properties=[Property(name="text", data_type=DataType.TEXT), Property(name="place", data_type=DataType.INT)],
    )
    with collection.batch.fixed_size(batch_size=25, concurrent_requests=8) as batch:
        for place, text in enumerate(corpus.texts):
            batch.add_object({"text": text, "place": place})
    assert collection.batch.failed_objects == []
    assert len(collection) == len(corpus.texts)
    return collection


def _places(answered: Any) -> list[int]:
    return [found.properties["place"] for found in answered.objects]


def _distances(answered: Any) -> list[float]:
    return [found.metadata.distance for found in answered.objects]


def _requests(ours: Running) -> int:
    """How many requests with texts our server has answered."""
    return int(
        sum(
            sample.value
            for family in ours.app.state.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "vectorplug_requests_total" and sample.labels["route"] not in PROBES
        )
    )


def _batches(ours: Running) -> int:
    _, batchers = ours.app.state.engine.stats()
    return sum(batcher.batches for batcher in batchers.values())


def _reranked_as_our_own(collection: Any, corpus: Corpus, *, raw: bool = False) -> None:
    for number, query in enumerate(corpus.queries[:2]):
        answered = collection.query.hybrid(
            query, limit=10, rerank=Rerank(prop="text", query=query), return_metadata=MetadataQuery(score=True)
        )
        own = corpus.maxsim(number) if raw else corpus.relevance(number)
        places = _places(answered)
        assert len(places) == 10
        scores = [found.metadata.rerank_score for found in answered.objects]
        np.testing.assert_allclose(scores, own[places], atol=CLOSE * (32 if raw else 1))
        assert scores == sorted(scores, reverse=True)


# The client has moved `multi_vector` and its `encoding`, and not to where a custom module is configured.
@pytest.mark.filterwarnings("ignore:Dep02[67]:DeprecationWarning")
@pytest.mark.parametrize("module", ["multi2multivec-jinaai", "text2multivec-jinaai"])
def test_multi_vectors(client: weaviate.WeaviateClient, ours: Running, corpus: Corpus, module: str) -> None:
    requests, batches = _requests(ours), _batches(ours)
    collection = _filled(client, "Abstracts", module, "reranker-cohere", corpus, ours)
    requests, batches = _requests(ours) - requests, _batches(ours) - batches
    print(f"{module}: {requests} requests, {batches} forward passes")  # shown by -rP
    if module in ONE_TEXT:
        assert batches < requests == DOCUMENTS
    else:
        assert requests < DOCUMENTS

    assert corpus.documents.tokens is not None
    for found in collection.iterator(include_vector=True):
        own = corpus.documents.tokens[found.properties["place"]]
        np.testing.assert_allclose(found.vector["text"], own, atol=CLOSE)
    for number, query in enumerate(corpus.queries):
        answered = collection.query.near_text(query, limit=DOCUMENTS, return_metadata=MetadataQuery(distance=True))
        own = corpus.maxsim(number)
        places = _places(answered)
        assert sorted(places) == list(range(DOCUMENTS))
        np.testing.assert_allclose(_distances(answered), -own[places], atol=CLOSE * 32)
        np.testing.assert_allclose(own[places], np.sort(own)[::-1], atol=CLOSE * 32)
        assert places[0] == own.argmax()
    _reranked_as_our_own(collection, corpus)


@pytest.mark.parametrize(
    ("module", "reranker"),
    [
        ("text2vec-transformers", "reranker-transformers"),
        ("text2vec-model2vec", "reranker-nvidia"),
        ("text2vec-weaviate", "reranker-transformers"),
        ("text2vec-huggingface", "reranker-nvidia"),
        ("text2vec-ollama", "reranker-cohere"),
        ("text2vec-cohere", "reranker-cohere"),
        ("text2vec-voyageai", "reranker-transformers"),
        ("text2vec-jinaai", "reranker-nvidia"),
        ("text2vec-openai", "reranker-cohere"),
    ],
)
def test_dense_vectors(
    client: weaviate.WeaviateClient, ours: Running, corpus: Corpus, module: str, reranker: str
) -> None:
    requests, batches = _requests(ours), _batches(ours)
    collection = _filled(client, "Abstracts", module, reranker, corpus, ours)
    requests, batches = _requests(ours) - requests, _batches(ours) - batches
    print(f"{module}: {requests} requests, {batches} forward passes")
    if module in ONE_TEXT:
        assert batches < requests == DOCUMENTS
    else:
        assert requests < DOCUMENTS
    assert corpus.documents.dense is not None
    for found in collection.iterator(include_vector=True):
        own = corpus.documents.dense[found.properties["place"]]
        np.testing.assert_allclose(found.vector["text"], own, atol=CLOSE)
    for number, query in enumerate(corpus.queries):
        answered = collection.query.near_text(query, limit=10, return_metadata=MetadataQuery(distance=True))
        own = corpus.cosine(number, as_document=module in ONE_ROLE)
        places = _places(answered)
        assert places[0] == own.argmax()
        np.testing.assert_allclose(_distances(answered), 1 - own[places], atol=CLOSE)
    _reranked_as_our_own(collection, corpus, raw=reranker == "reranker-nvidia")


@pytest.mark.filterwarnings("ignore:Dep02[67]:DeprecationWarning")
@pytest.mark.parametrize(
    "module",
    [
        "multi2multivec-jinaai", "text2multivec-jinaai", "text2vec-cohere", "text2vec-jinaai", "text2vec-ollama",
        "text2vec-openai", "text2vec-voyageai", "text2vec-weaviate",
    ],
)  # fmt: skip
def test_an_error_reaches_whoever_inserts(client: weaviate.WeaviateClient, ours: Running, module: str) -> None:
    client.collections.delete("Refused")
    collection = client.collections.create(
        "Refused",
        vector_config=_as_shown(module, ours, model="absent"),
        properties=[Property(name="text", data_type=DataType.TEXT)],
    )
    with pytest.raises(WeaviateInsertManyAllFailedError, match="the model 'absent' is not served here"):
        collection.data.insert_many([{"text": "a cat"}])


@pytest.mark.parametrize("reranker", ["reranker-cohere", "reranker-nvidia"])
def test_an_error_reaches_whoever_reranks(client: weaviate.WeaviateClient, ours: Running, reranker: str) -> None:
    client.collections.delete("Refused")
    collection = client.collections.create(
        "Refused",
        vector_config=_as_shown("text2vec-transformers", ours),
        reranker_config=_as_shown(reranker, ours, model="absent"),
        properties=[Property(name="text", data_type=DataType.TEXT)],
    )
    assert collection.data.insert_many([{"text": "a cat"}]).errors == {}
    with pytest.raises(WeaviateQueryError, match="the model 'absent' is not served here"):
        collection.query.near_text("a kitten", rerank=Rerank(prop="text", query="a kitten"))
