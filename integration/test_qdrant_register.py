"""Registered models in a real qdrant-client: used like FastEmbed's, stored with the vectorizer's own vectors."""

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vectorplug_qdrant
from corpus import FDE, WordVectorizer, sentences
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_server import RunningQdrant, qdrant_server

from vectorplug import ModelCache, Vectorizer, maxsim
from vectorplug.encoded import Output
from vectorplug.models.encoder import Encoder

pytestmark = pytest.mark.filterwarnings(
    "ignore:Qdrant client version .* is incompatible with server version:UserWarning"
)

TEXTS = ["the sea is salt", "a ship on the sea, a wave", "bread of flour and yeast", "the wing has lift and drag"]
QUESTION = "salt of the sea"
CLOSE = {"rtol": 0, "atol": 1e-6}
PLACES = ["rest", "grpc", "memory"]


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningQdrant]:
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def registered(vectorizer: Vectorizer) -> None:
    vectorplug_qdrant.register(vectorizer, name="tiny")


def options_of(place: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if place == "memory":
        return {"location": ":memory:"}
    running: RunningQdrant = request.getfixturevalue("qdrant")
    return {"url": running.url, "grpc_port": running.grpc_port, "prefer_grpc": place == "grpc", "timeout": 60}


@pytest.fixture(params=PLACES)
def client(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    client = QdrantClient(**options_of(request.param, request))
    yield client
    client.close()


@pytest.fixture(params=PLACES)
async def async_client(request: pytest.FixtureRequest) -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(**options_of(request.param, request))
    yield client
    await client.close()


@pytest.fixture
def collection(client: QdrantClient) -> Iterator[str]:
    name = uuid.uuid4().hex
    client.create_collection(name, layout(client))
    yield name
    client.delete_collection(name)


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many texts have gone through a forward pass since the last call."""
    read: list[int] = []
    forward = Encoder.forward

    def counted(encoder: Encoder, texts: Any) -> Any:
        read.append(len(texts))
        return forward(encoder, texts)

    monkeypatch.setattr(Encoder, "forward", counted)

    def since() -> int:
        count = sum(read)
        read.clear()
        return count

    return since


def layout(client: QdrantClient | AsyncQdrantClient, model: str = "tiny") -> dict[str, models.VectorParams]:
    """The three vectors, of the sizes that the client tells."""

    def size(output: Output) -> int:
        return client.get_embedding_size(f"vectorplug/{model}:{output}")

    max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return {
        "colbert": models.VectorParams(size=size("tokens"), distance=models.Distance.DOT, multivector_config=max_sim),
        "fde": models.VectorParams(size=size("fde"), distance=models.Distance.DOT),
        "dense": models.VectorParams(size=size("dense"), distance=models.Distance.DOT),
    }


def document(text: str, output: str, model: str = "tiny", **options: Any) -> models.Document:
    return models.Document(text=text, model=f"vectorplug/{model}:{output}", **options)


def documents(text: str, model: str = "tiny") -> dict[str, Any]:
    return {
        "colbert": document(text, "tokens", model),
        "fde": document(text, "fde", model),
        "dense": document(text, "dense", model),
    }


def points(texts: Sequence[str], model: str = "tiny") -> list[models.PointStruct]:
    return [models.PointStruct(id=i, vector=documents(text, model)) for i, text in enumerate(texts)]


def assert_stored(records: Sequence[Any], texts: Sequence[str], vectorizer: Any) -> None:
    """The vectors of a text are those of the vectorizer."""
    assert sorted(record.id for record in records) == list(range(len(texts)))
    expected = vectorizer.encode_document(list(texts), outputs=("tokens", "fde", "dense"), show_progress_bar=False)
    for record in records:
        np.testing.assert_allclose(record.vector["colbert"], expected.tokens[record.id], **CLOSE)
        np.testing.assert_allclose(record.vector["fde"], expected.fde[record.id], **CLOSE)
        np.testing.assert_allclose(record.vector["dense"], expected.dense[record.id], **CLOSE)


def stored(client: QdrantClient, collection: str) -> list[Any]:
    return client.scroll(collection, limit=1000, with_vectors=True)[0]


def staged(question: str) -> dict[str, Any]:
    """Candidates by the dense vector, of these by the FDE, ranked by MaxSim."""
    asked = documents(question)
    first = models.Prefetch(query=asked["dense"], using="dense", limit=4)
    return {
        "prefetch": models.Prefetch(prefetch=first, query=asked["fde"], using="fde", limit=4),
        "query": asked["colbert"],
        "using": "colbert",
        "limit": 4,
    }


def assert_ranked(found: Sequence[Any], question: str, vectorizer: Vectorizer) -> None:
    """By exact MaxSim of the question's own tokens, encoded as a query."""
    tokens = vectorizer.encode_document(TEXTS).tokens
    asked = vectorizer.encode_query(question).tokens
    assert tokens is not None
    assert asked is not None
    scores = maxsim(asked[0], tokens)
    assert [hit.id for hit in found] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([hit.score for hit in found], np.sort(scores)[::-1], rtol=1e-5)


def test_an_upsert_stores_the_vectorizers_own_vectors_from_one_forward_pass_a_text(
    client: QdrantClient, collection: str, vectorizer: Vectorizer, texts_read: Callable[[], int]
) -> None:
    client.upsert(collection, points([*TEXTS, TEXTS[0]]))
    assert texts_read() == len(TEXTS)
    assert_stored(stored(client, collection), [*TEXTS, TEXTS[0]], vectorizer)


def test_an_upsert_of_a_batch(client: QdrantClient, collection: str, vectorizer: Vectorizer) -> None:
    columns = {name: [documents(text)[name] for text in TEXTS] for name in documents("")}
    client.upsert(collection, models.Batch(ids=list(range(len(TEXTS))), vectors=columns))
    assert_stored(stored(client, collection), TEXTS, vectorizer)


# Two processes that send what comes from the model; what they send it by makes no difference here.
@pytest.mark.parametrize(
    ("client", "parallel"), [("rest", 1), ("rest", 2), ("grpc", 1), ("memory", 1), ("memory", 2)], indirect=["client"]
)
def test_uploads_alone_and_in_parallel(
    client: QdrantClient, collection: str, vectorizer: Vectorizer, parallel: int
) -> None:
    texts = sentences(20)
    client.upload_points(collection, points(texts[:12]), parallel=parallel, wait=True)
    more = [documents(text) for text in texts[12:]]
    client.upload_collection(collection, more, ids=range(12, 20), parallel=parallel, wait=True)
    assert_stored(stored(client, collection), texts, vectorizer)


def test_vectors_of_points_that_exist(client: QdrantClient, collection: str, vectorizer: Vectorizer) -> None:
    client.upsert(collection, points(["nothing of it"] * len(TEXTS)))
    changed = [models.PointVectors(id=i, vector=documents(text)) for i, text in enumerate(TEXTS)]
    client.update_vectors(collection, changed)
    assert_stored(stored(client, collection), TEXTS, vectorizer)


def test_a_query_in_three_stages_is_one_forward_pass(
    client: QdrantClient, collection: str, vectorizer: Vectorizer, texts_read: Callable[[], int]
) -> None:
    client.upsert(collection, points(TEXTS))
    texts_read()
    question = f"{QUESTION} {uuid.uuid4().hex}"  # that nobody has asked yet
    found = client.query_points(collection, **staged(question)).points
    assert texts_read() == 1
    assert_ranked(found, question, vectorizer)


def test_many_queries_at_once(
    client: QdrantClient, collection: str, vectorizer: Vectorizer, texts_read: Callable[[], int]
) -> None:
    client.upsert(collection, points(TEXTS))
    texts_read()
    questions = [f"{QUESTION} {uuid.uuid4().hex}" for _ in range(3)]
    answers = client.query_batch_points(collection, [models.QueryRequest(**staged(question)) for question in questions])
    assert texts_read() == len(questions)
    for question, answer in zip(questions, answers, strict=True):
        assert_ranked(answer.points, question, vectorizer)


def test_a_name_may_say_the_role(client: QdrantClient, collection: str, vectorizer: Vectorizer) -> None:
    client.upsert(collection, [models.PointStruct(id=0, vector={"dense": document(TEXTS[0], "dense:query")})])
    (record,) = stored(client, collection)
    as_query, as_document = vectorizer.encode_query(TEXTS[0]).dense, vectorizer.encode_document(TEXTS[0]).dense
    assert as_query is not None
    assert as_document is not None
    np.testing.assert_allclose(record.vector["dense"], as_query[0], **CLOSE)
    for name, asked in (("dense:document", as_document), ("dense", as_query)):
        (hit,) = client.query_points(collection, query=document(TEXTS[0], name), using="dense").points
        assert hit.score == pytest.approx(float(asked[0] @ as_query[0]), abs=1e-5)


def test_inference_objects_examples_and_fewer_dimensions(
    client: QdrantClient, collection: str, vectorizer: Vectorizer
) -> None:
    client.upsert(collection, points(TEXTS))
    dense = vectorizer.encode_query(QUESTION).dense
    assert dense is not None
    by_vector = client.query_points(collection, query=dense[0].tolist(), using="dense").points
    thing = models.InferenceObject(object=QUESTION, model="vectorplug/tiny:dense")
    like = models.RecommendQuery(
        recommend=models.RecommendInput(
            positive=[document(QUESTION, "dense")], strategy=models.RecommendStrategy.AVERAGE_VECTOR
        )
    )
    for query in (thing, like):
        found = client.query_points(collection, query=query, using="dense").points
        assert [(hit.id, round(hit.score, 4)) for hit in found] == [(hit.id, round(hit.score, 4)) for hit in by_vector]

    name = f"{collection}-short"
    client.create_collection(name, models.VectorParams(size=8, distance=models.Distance.DOT))
    short = document(TEXTS[0], "dense", options={"dimensions": 8})
    client.upsert(name, [models.PointStruct(id=0, vector=short)])
    (record,) = stored(client, name)
    client.delete_collection(name)
    expected = vectorizer.encode_document(TEXTS[0], outputs=("dense",), dimensions=8).dense
    assert expected is not None
    np.testing.assert_allclose(record.vector, expected[0], **CLOSE)


async def test_the_async_client(async_client: AsyncQdrantClient, vectorizer: Vectorizer) -> None:
    name = uuid.uuid4().hex
    await async_client.create_collection(name, layout(async_client))
    await async_client.upsert(name, points(TEXTS[:2]))
    async_client.upload_points(name, points(TEXTS)[2:], wait=True)
    records, _ = await async_client.scroll(name, with_vectors=True)
    found = await async_client.query_points(name, **staged(QUESTION))
    (again,) = await async_client.query_batch_points(name, [models.QueryRequest(**staged(QUESTION))])
    await async_client.delete_collection(name)
    assert_stored(records, TEXTS, vectorizer)
    assert_ranked(found.points, QUESTION, vectorizer)
    assert_ranked(again.points, QUESTION, vectorizer)


# Local mode itself stores wrongly from several threads.
@pytest.mark.parametrize("client", ["rest", "grpc"], indirect=True)
def test_threads_that_share_a_client_get_their_own_vectors(client: QdrantClient, collection: str) -> None:
    words = WordVectorizer()
    vectorplug_qdrant.register(words, name="words")
    texts = sentences(160)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # as many turns between the threads as can be
    try:
        with ThreadPoolExecutor(8) as threads:
            parts = [points(texts, "words")[i : i + 4] for i in range(0, len(texts), 4)]
            list(threads.map(lambda part: client.upsert(collection, part), parts))
    finally:
        sys.setswitchinterval(interval)
    assert_stored(stored(client, collection), texts, words)


def test_workers_get_what_is_not_ours(qdrant: RunningQdrant, vectorizer: Vectorizer) -> None:
    """Qdrant's BM25 beside our models, and alone: the client hands it to its worker processes."""
    name = uuid.uuid4().hex

    def words(text: str) -> models.Document:
        return models.Document(text=text, model="Qdrant/bm25")

    mixed = [models.PointStruct(id=i, vector={**documents(text), "words": words(text)}) for i, text in enumerate(TEXTS)]
    alone = [models.PointStruct(id=len(TEXTS) + i, vector={"words": words(text)}) for i, text in enumerate(TEXTS)]
    client = QdrantClient(qdrant.url, timeout=60)
    client.create_collection(
        name,
        layout(client),
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    client.upload_points(name, [*mixed[:2], *alone, *mixed[2:]], parallel=2, wait=True)
    found = client.query_points(name, query=words("yeast"), using="words").points
    records = [record for record in stored(client, name) if record.id < len(TEXTS)]
    client.delete_collection(name)
    client.close()
    assert {hit.id for hit in found} == {2, len(TEXTS) + 2}
    assert_stored(records, TEXTS, vectorizer)


@pytest.mark.parametrize("client", ["memory"], indirect=True)
def test_a_model_of_the_catalogue_is_loaded_when_it_is_named(client: QdrantClient, minilm: Vectorizer) -> None:
    vectorplug_qdrant.register(cache=ModelCache(device="cpu", dtype="float32"))
    name = uuid.uuid4().hex
    client.create_collection(name, layout(client, "minilm"))
    client.upsert(name, points(TEXTS, "minilm"))
    records = stored(client, name)
    client.delete_collection(name)
    assert_stored(records, TEXTS, minilm)


WITHOUT_FASTEMBED = """
import sys
sys.modules["fastembed"] = None  # importing it fails, as where it is not installed
sys.path.insert(0, sys.argv[1])
from corpus import WordVectorizer
from qdrant_client import QdrantClient, models
import vectorplug_qdrant

client = QdrantClient(":memory:")
vectorplug_qdrant.register(WordVectorizer(), name="words")
size = client.get_embedding_size("vectorplug/words:fde")
client.create_collection("sea", models.VectorParams(size=size, distance=models.Distance.DOT))
client.upsert("sea", [models.PointStruct(id=i, vector=models.Document(text=text, model="vectorplug/words:fde"))
                      for i, text in enumerate(["sea ship", "bread flour"])])
query = models.Document(text="flour", model="vectorplug/words:fde")
print(size, [hit.id for hit in client.query_points("sea", query=query).points])
try:
    client.query_points("sea", query=models.Document(text="flour", model="BAAI/bge-small-en"))
except ValueError as error:
    print(error)
"""


def test_without_fastembed() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", WITHOUT_FASTEMBED, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert outcome.returncode == 0, outcome.stderr
    found, error = outcome.stdout.splitlines()
    assert found == f"{FDE.size} [1, 0]"
    assert "BAAI/bge-small-en" in error
