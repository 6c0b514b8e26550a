"""A real Qdrant asks our server for the vectors of texts: stored, searched in stages, ranked by exact MaxSim."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_server import RunningQdrant, qdrant_server
from serving import Running, serving

from vectorplug import Encoded, MultiVectors, Vectorizer, maxsim
from vectorplug.errors import OverloadedError
from vectorplug.models.encoder import Encoder

pytestmark = pytest.mark.filterwarnings(
    "ignore:Qdrant client version .* is incompatible with server version:UserWarning"
)

ROOT = Path(__file__).resolve().parents[1]
SCIFACT = ROOT.parent / "shared" / "data" / "scifact"
SIZES = {"minilm": (384, 10_240, 384), "tiny-colbert": (16, 10_240, 16)}
TEXTS = ["the sea is salt", "a ship on the sea, a wave", "bread of flour and yeast", "the wing has lift and drag"]


@pytest.fixture(scope="module")
def client(inferring_qdrant: RunningQdrant) -> Iterator[QdrantClient]:
    with closing(QdrantClient(inferring_qdrant.url, cloud_inference=True, timeout=120)) as opened:
        yield opened


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


def create(client: QdrantClient, name: str, model: str = "minilm") -> str:
    """An empty collection of the three vectors of a model."""
    token, fde, dense = SIZES[model]
    client.create_collection(
        name,
        vectors_config={
            "colbert": models.VectorParams(
                size=token,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
                hnsw_config=models.HnswConfigDiff(m=0),
            ),
            "fde": models.VectorParams(size=fde, distance=models.Distance.DOT),
            "dense": models.VectorParams(size=dense, distance=models.Distance.DOT),
        },
    )
    return name


def document(text: str, output: str, model: str = "minilm", **options: Any) -> models.Document:
    return models.Document(text=text, model=f"vectorplug/{model}:{output}", **options)


def vectors(text: str, model: str = "minilm") -> dict[str, models.Document]:
    """The three vectors of one text."""
    return {
        "colbert": document(text, "tokens", model),
        "fde": document(text, "fde", model),
        "dense": document(text, "dense", model),
    }


def points(texts: list[str], first: int = 0, model: str = "minilm") -> list[models.PointStruct]:
    return [models.PointStruct(id=first + i, vector=vectors(text, model)) for i, text in enumerate(texts)]


def assert_stored(client: QdrantClient, collection: str, ids: list[int], own: Encoded) -> None:
    """The vectors of these points are those of the model in process, float32 apart."""
    stored = {record.id: record.vector for record in client.retrieve(collection, ids, with_vectors=True)}
    assert sorted(stored) == sorted(ids)
    for place, id in enumerate(ids):
        vector: Any = stored[id]
        np.testing.assert_allclose(vector["colbert"], own.tokens[place], atol=1e-5)  # type: ignore[index]
        np.testing.assert_allclose(vector["fde"], own.fde[place], atol=1e-4)  # type: ignore[index]
        np.testing.assert_allclose(vector["dense"], own.dense[place], atol=1e-5)  # type: ignore[index]


@pytest.fixture(scope="module")
def abstracts() -> list[str]:
    return [f"{row['title']} {row['text']}" for row in rows_of("corpus.jsonl", 200)]


@pytest.fixture(scope="module")
def questions() -> list[str]:
    return [row["text"] for row in rows_of("queries.jsonl", 5)]


def rows_of(name: str, count: int) -> list[dict[str, str]]:
    """The first lines of a file of SciFact."""
    if not (SCIFACT / name).is_file():
        pytest.skip(f"no real texts here: {SCIFACT / name} is not there")
    with (SCIFACT / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, count)]


@pytest.fixture(scope="module")
def own(minilm: Vectorizer, abstracts: list[str]) -> Encoded:
    return minilm.encode_document(abstracts, show_progress_bar=False)


@pytest.fixture(scope="module")
def scifact(client: QdrantClient, abstracts: list[str]) -> str:
    """A collection of 200 abstracts, of which Qdrant was given the texts."""
    collection = create(client, "scifact")
    for first in range(0, len(abstracts), 20):
        client.upsert(collection, points(abstracts[first : first + 20], first))
    return collection


def test_abstracts_are_stored_as_the_model_encodes_them(client: QdrantClient, scifact: str, own: Encoded) -> None:
    assert client.count(scifact).count == 200
    ids = [0, 7, 19, 20, 123, 199]
    assert_stored(client, scifact, ids, own.take(ids))


@pytest.mark.parametrize("depth", ["fde", "dense then fde"])
def test_stages_end_in_our_own_maxsim(
    client: QdrantClient, scifact: str, own: Encoded, minilm: Vectorizer, questions: list[str], depth: str
) -> None:
    for question in questions:
        asked = vectors(question)
        inner = models.Prefetch(query=asked["dense"], using="dense", limit=60) if depth != "fde" else None
        found = client.query_points(
            scifact,
            prefetch=models.Prefetch(query=asked["fde"], using="fde", limit=40, prefetch=inner),
            query=asked["colbert"],
            using="colbert",
            limit=40,
        ).points
        query = minilm.encode_query(question)
        scores = maxsim(query.tokens[0], own.tokens)  # type: ignore[index]
        candidates = set(range(200))
        if inner is not None:
            candidates = set(best(own.dense @ query.dense[0], 60))  # type: ignore[index]
        by_fde = own.fde @ query.fde[0]  # type: ignore[index]
        candidates = set(sorted(candidates, key=lambda i: -by_fde[i])[:40])
        ids = [int(hit.id) for hit in found]
        # The last candidate may be another one of equal score, up to rounding.
        assert len(candidates & set(ids)) >= 39
        np.testing.assert_allclose([hit.score for hit in found], scores[ids], rtol=1e-5)
        assert all(above.score >= below.score for above, below in pairwise(found))


def best(scores: np.ndarray, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-scores, kind="stable")[:count]]


def test_without_a_prefetch_the_order_is_that_of_all_scores(
    client: QdrantClient, scifact: str, own: Encoded, minilm: Vectorizer, questions: list[str]
) -> None:
    found = client.query_points(scifact, query=document(questions[0], "tokens"), using="colbert", limit=200).points
    scores = maxsim(minilm.encode_query(questions[0]).tokens[0], own.tokens)  # type: ignore[index]
    np.testing.assert_allclose([hit.score for hit in found], np.sort(scores)[::-1], rtol=1e-5)
    np.testing.assert_allclose([hit.score for hit in found], scores[[int(hit.id) for hit in found]], rtol=1e-5)


def test_a_batch_of_queries_finds_what_each_alone_finds(
    client: QdrantClient, scifact: str, questions: list[str]
) -> None:
    requests = [
        models.QueryRequest(
            prefetch=models.Prefetch(query=document(question, "fde"), using="fde", limit=30),
            query=document(question, "tokens"),
            using="colbert",
            limit=5,
        )
        for question in questions
    ]
    together = client.query_batch_points(scifact, requests)
    for request, answer in zip(requests, together, strict=True):
        alone = client.query_points(
            scifact, prefetch=request.prefetch, query=request.query, using=request.using, limit=5
        )
        assert [hit.id for hit in answer.points] == [hit.id for hit in alone.points]
        np.testing.assert_allclose([h.score for h in answer.points], [h.score for h in alone.points], rtol=1e-6)
    assert len({answer.points[0].id for answer in together}) > 1


def test_a_text_of_three_documents_is_read_once(
    client: QdrantClient, minilm: Vectorizer, texts_read: Callable[[], int]
) -> None:
    own = minilm.encode_document(TEXTS)
    collection = create(client, "once")
    texts_read()
    client.upsert(collection, points(TEXTS))
    assert texts_read() == len(TEXTS)
    asked = vectors("what floats")
    client.query_points(
        collection,
        prefetch=models.Prefetch(query=asked["fde"], using="fde", limit=3),
        query=asked["colbert"],
        using="colbert",
    )
    assert texts_read() == 1
    assert_stored(client, collection, [0, 1, 2, 3], own)


def test_batch_and_update_vectors_store_the_same(
    client: QdrantClient, minilm: Vectorizer, texts_read: Callable[[], int]
) -> None:
    own = minilm.encode_document(TEXTS)
    collection = create(client, "ways")
    every = [vectors(text) for text in TEXTS]
    named: Any = {name: [one[name] for one in every] for name in every[0]}
    texts_read()
    client.upsert(collection, models.Batch(ids=[0, 1, 2, 3], vectors=named))
    assert texts_read() == 3 * len(TEXTS)  # Qdrant asks once for each name
    assert_stored(client, collection, [0, 1, 2, 3], own)
    client.update_vectors(
        collection, [models.PointVectors(id=i, vector=vectors(text)) for i, text in enumerate(reversed(TEXTS))]
    )
    assert texts_read() == len(TEXTS)
    assert_stored(client, collection, [3, 2, 1, 0], own)


def test_grpc_takes_documents_too(inferring_qdrant: RunningQdrant, client: QdrantClient, minilm: Vectorizer) -> None:
    collection = create(client, "grpc")
    with closing(
        QdrantClient(
            inferring_qdrant.url,
            grpc_port=inferring_qdrant.grpc_port,
            prefer_grpc=True,
            cloud_inference=True,
            timeout=120,
        )
    ) as opened:
        opened.upsert(collection, points(TEXTS))
        (hit,) = opened.query_points(
            collection, query=document("what floats", "tokens"), using="colbert", limit=1
        ).points
    own = minilm.encode_document(TEXTS)
    assert_stored(client, collection, [0, 1, 2, 3], own)
    scores = maxsim(minilm.encode_query("what floats").tokens[0], own.tokens)  # type: ignore[index]
    assert hit.score == pytest.approx(scores.max(), rel=1e-5)


def test_queries_have_the_markers_of_queries(client: QdrantClient, server: Running) -> None:
    """The tiny ColBERT marks queries and documents, and expands queries: one text has other tokens in each role."""
    collection = create(client, "roles", "tiny-colbert")
    client.upsert(collection, points(TEXTS, model="tiny-colbert"))
    expected = {
        role: [
            np.array(row, np.float32)
            for row in httpx.post(
                f"{server.url}/infer",
                json={
                    "inputs": [
                        {"data": text, "data_type": "text", "model": f"tiny-colbert:tokens:{role}"} for text in TEXTS
                    ]
                },
            ).json()["embeddings"]
        ]
        for role in ("query", "document")
    }
    assert expected["query"][0].shape != expected["document"][0].shape
    for text, query, as_document in zip(TEXTS, expected["query"], expected["document"], strict=True):
        for name, asked in (("tiny-colbert:tokens", query), ("tiny-colbert:tokens:document", as_document)):
            found = client.query_points(
                collection, query=models.Document(text=text, model=f"vectorplug/{name}"), using="colbert", limit=4
            ).points
            scores = maxsim(asked, MultiVectors.from_list(expected["document"]))
            np.testing.assert_allclose([h.score for h in found], scores[[int(h.id) for h in found]], rtol=1e-5)


def test_raw_rest_needs_no_client_and_tells_usage(
    inferring_qdrant: RunningQdrant, client: QdrantClient, minilm: Vectorizer
) -> None:
    collection = create(client, "raw")
    body = {
        "points": [
            {
                "id": 1,
                "vector": {
                    "colbert": {"text": TEXTS[0], "model": "minilm:tokens"},
                    "dense": {"text": TEXTS[0], "model": "minilm"},
                },
            }
        ]
    }
    url = f"{inferring_qdrant.url}/collections/{collection}/points"
    stored = httpx.put(f"{url}?wait=true", json=body, timeout=60).raise_for_status().json()
    counts = minilm.encode_document(TEXTS[0]).token_counts
    assert counts is not None
    each = {"tokens": int(counts[0])}
    assert stored["usage"]["inference"]["models"] == {"minilm:tokens": each, "minilm": each}
    query = {"query": {"text": TEXTS[0], "model": "minilm"}, "using": "dense", "with_vector": True}
    found = httpx.post(f"{url}/query", json=query, timeout=60).raise_for_status().json()
    (hit,) = found["result"]["points"]
    assert hit["score"] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(hit["vector"]["colbert"], minilm.encode_document(TEXTS[0]).tokens[0], atol=1e-5)


def test_dimensions_go_through(client: QdrantClient, minilm: Vectorizer) -> None:
    client.create_collection("short", vectors_config={"dense": models.VectorParams(size=64, distance="Dot")})
    short = document(TEXTS[0], "dense", options={"dimensions": 64})
    client.upsert("short", [models.PointStruct(id=1, vector={"dense": short})])
    (record,) = client.retrieve("short", [1], with_vectors=True)
    own = minilm.encode_document(TEXTS[0], dimensions=64).dense
    assert own is not None
    np.testing.assert_allclose(record.vector["dense"], own[0], atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (models.Document(text="x", model="vectorplug/minilmm:tokens"), "Did you mean minilm"),
        (models.Document(text="x", model="minilm", options={"pooling": "cls"}), "there is no option 'pooling'"),
        (
            models.Document(text="x", model="minilm", options={"dimensions": 999}),
            "dimensions is 999, expected 1 to 384",
        ),
        (models.Image(image="http://x/y.png", model="minilm"), "data_type is 'image'"),
        (models.InferenceObject(object={"a": 1}, model="minilm"), "data_type is 'object'"),
    ],
)
def test_our_message_reaches_the_user(client: QdrantClient, wrong: Any, said: str) -> None:
    if not client.collection_exists("wrong"):
        create(client, "wrong")
    with pytest.raises(UnexpectedResponse) as caught:
        client.upsert("wrong", [models.PointStruct(id=1, vector={"dense": wrong})])
    assert caught.value.status_code == 400
    error = json.loads(caught.value.content)["status"]["error"]
    assert "Inference request validation failed: " in error
    assert said in error
    assert '{"error"' not in error  # a sentence, not the body of our answer
    assert client.count("wrong").count == 0


def test_too_much_work_is_a_rate_limit_with_a_time(
    client: QdrantClient, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overloaded(*_: Any, **__: Any) -> None:
        raise OverloadedError("too much waits", retry_after=6.5)

    collection = create(client, "busy")
    monkeypatch.setattr(server.app.state.engine, "encode", overloaded)
    with pytest.raises(ResourceExhaustedResponse, match="too much waits") as caught:
        client.upsert(collection, points(TEXTS))
    assert caught.value.retry_after_s == 7


@pytest.fixture(scope="module")
def closed() -> Iterator[Running]:
    """Our server, which asks for a key."""
    with serving({"minilm": "minilm"}, keys=("s3cret",)) as running:
        yield running


@pytest.mark.parametrize(
    ("userinfo", "token", "headers", "opens"),
    [
        ("", None, {}, False),
        ("", "wrong", {"vectorplug-api-key": "wrong"}, False),
        ("", "s3cret", {}, True),
        ("any:s3cret@", None, {}, True),
        ("", None, {"vectorplug-api-key": "s3cret"}, True),
        ("", "wrong", {"vectorplug-api-key": "s3cret"}, True),
    ],
    ids=["no key", "wrong key", "token", "password of the URL", "forwarded header", "header beside a wrong token"],
)
def test_keys(
    closed: Running, tmp_path: Path, userinfo: str, token: str | None, headers: dict[str, str], opens: bool
) -> None:
    address = f"http://{userinfo}127.0.0.1:{closed.port}/infer"
    with (
        qdrant_server(tmp_path, inference=address, token=token) as qdrant,
        closing(QdrantClient(qdrant.url, cloud_inference=True, timeout=60, headers=headers)) as client,
    ):
        collection = create(client, "keys")
        if opens:
            client.upsert(collection, points(TEXTS[:1]))
            assert client.count(collection).count == 1
        else:
            with pytest.raises(UnexpectedResponse, match="no valid key"):
                client.upsert(collection, points(TEXTS[:1]))


def test_the_page_shows_what_happens(inferring_qdrant: RunningQdrant) -> None:
    page = (ROOT / "docs" / "qdrant-inference.md").read_text("utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    assert "http://localhost:6333" in example
    shown: dict[str, Any] = {}
    exec(example.replace("http://localhost:6333", inferring_qdrant.url), shown)
    shown["client"].close()
    texts = [hit.payload["text"] for hit in shown["found"].points]
    assert f"# {texts}" in example
