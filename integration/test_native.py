"""Our own API on a real port, compared with the same model in this process."""

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from serving import Running, serving

from vectorplug import MultiVectors, Muvera, Vectorizer, maxsim
from vectorplug.blobs import dump, encoded_of, parse
from vectorplug.encoded import Encoded
from vectorplug.errors import ConfigurationError
from vectorplug.server.stored import open_stored
from vectorplug.server.wire.native import residency
from vectorplug.vectorizer import default_fde

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x", "a cat sat on the mat"]
BLOB = "application/vnd.safetensors"
RANDOM = np.random.default_rng(7)


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def encoded_by(client: httpx.Client, **body: Any) -> tuple[Encoded, dict[str, str]]:
    answer = client.post("/v1/encode", json=body, headers={"accept": BLOB})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == BLOB
    arrays, facts = parse(answer.content)
    return encoded_of(arrays), facts


def assert_same(found: Encoded, expected: Encoded, tolerance: float = 1e-5) -> None:
    found_vectors, expected_vectors = dict(found.vectors()), dict(expected.vectors())
    assert found_vectors.keys() == expected_vectors.keys()
    if found.tokens is not None and expected.tokens is not None:
        assert found.tokens.offsets.tolist() == expected.tokens.offsets.tolist()
        for one, other in zip(found.tokens, expected.tokens, strict=True):
            np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), atol=tolerance)
    for name in ("fde", "dense"):
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=tolerance * 10)
    for name in ("truncated", "token_counts"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    return error


# Encode.


@pytest.mark.parametrize("role", ["document", "query"])
def test_all_vectors_come_in_one_answer(client: httpx.Client, minilm: Vectorizer, role: str) -> None:
    found, facts = encoded_by(client, input=TEXTS, role=role, model="minilm")
    own = minilm.encode_query(TEXTS) if role == "query" else minilm.encode_document(TEXTS)
    assert_same(found, own)
    assert minilm.fde is not None
    assert facts == {
        "format": "vectorplug.encoded/1",
        "model": minilm.model,
        "fingerprint": minilm.fingerprint,
        "fde_fingerprint": minilm.fde.fingerprint,
    }


def test_roles_differ_where_the_model_tells_them_apart(client: httpx.Client) -> None:
    document, _ = encoded_by(client, input="the sea", model="tiny-colbert")
    query, facts = encoded_by(client, input="the sea", model="tiny-colbert", role="query")
    assert document.tokens is not None
    assert query.tokens is not None
    assert document.tokens[0].shape != query.tokens[0].shape
    assert facts["model"] == "tiny-colbert"  # its folder on the server is nobody's business


def test_json_msgpack_and_npy_hold_what_the_blob_holds(client: httpx.Client) -> None:
    blob, _ = encoded_by(client, input=TEXTS)
    assert blob.tokens is not None
    assert blob.dense is not None
    answer = client.post("/v1/encode", json={"input": TEXTS}).json()
    assert [len(text) for text in answer["tokens"]] == blob.tokens.lengths.tolist()
    np.testing.assert_allclose(answer["tokens"][1], blob.tokens[1], atol=1e-6)
    np.testing.assert_allclose(answer["fde"], blob.fde, atol=1e-6)
    np.testing.assert_allclose(answer["dense"], blob.dense, atol=1e-6)
    packed = client.post("/v1/encode", json={"input": TEXTS}, headers={"accept": "application/msgpack"})
    tokens = msgpack.unpackb(packed.content)["tokens"]["values"]
    np.testing.assert_allclose(
        np.frombuffer(tokens["data"], "<f4").reshape(tokens["shape"]), blob.tokens.values, atol=1e-6
    )
    for body, own in (
        ({"input": TEXTS, "outputs": ["dense"]}, blob.dense),
        ({"input": TEXTS[1], "outputs": ["tokens"]}, blob.tokens[1]),
    ):
        npy = client.post("/v1/encode", json=body, headers={"accept": "application/x-npy"})
        np.testing.assert_allclose(np.load(io.BytesIO(npy.content)), own, atol=1e-5)


def test_dtypes_of_tokens_and_vectors(client: httpx.Client, minilm: Vectorizer) -> None:
    own = minilm.encode_document(TEXTS)
    for dtype in ("float16", "int8"):
        found, _ = encoded_by(client, input=TEXTS, token_dtype=dtype, vector_dtype="float16")
        assert found.tokens is not None
        assert found.tokens.dtype == dtype
        assert found.dense is not None
        assert found.fde is not None
        assert (found.dense.dtype, found.fde.dtype) == (np.float16, np.float16)
        assert_same(found, own, tolerance=4e-3)


def test_dimensions_and_pooling_shape_what_is_returned_and_not_the_fde(
    client: httpx.Client, minilm: Vectorizer
) -> None:
    found, _ = encoded_by(client, input=TEXTS, dimensions=64, pool_factor=2)
    assert_same(found, minilm.encode_document(TEXTS, dimensions=64, pool_factor=2))


def test_another_fde_is_folded_from_the_whole_tokens(client: httpx.Client, minilm: Vectorizer) -> None:
    muvera = Muvera.preset("weaviate", dim=384)
    own = minilm.encode_document(TEXTS)
    assert own.tokens is not None
    asked = {"input": TEXTS, "fde": muvera.fingerprint}
    found, facts = encoded_by(client, **asked, dimensions=64, pool_factor=2, token_dtype="float16")
    assert found.tokens is not None
    assert (found.tokens.dim, found.tokens.dtype) == (64, np.float16)
    np.testing.assert_allclose(found.fde, muvera.encode_documents(own.tokens), atol=1e-4)
    assert facts["fde_fingerprint"] == muvera.fingerprint
    query, _ = encoded_by(client, **asked, outputs=["fde"], role="query")
    assert [name for name, _ in query.vectors()] == ["fde"]
    tokens = minilm.encode_query(TEXTS).tokens
    assert tokens is not None
    np.testing.assert_allclose(query.fde, muvera.encode_queries(tokens), atol=1e-4)


@pytest.mark.parametrize(
    ("fde", "said"),
    [
        ("muvera9:nonsense", "no fingerprint of MUVERA"),
        ("muvera1:fastembed:d128:r20:k5:p16:s42:fill", "384 numbers each, this Muvera was made for dim=128"),
        ("muvera1:fastembed:d384:r90000:k5:p16:s42:fill", "1,048,576 numbers"),
    ],
)
def test_an_fde_that_cannot_be_made_is_refused(client: httpx.Client, fde: str, said: str) -> None:
    assert said in refused(client.post("/v1/encode", json={"input": "x", "fde": fde}), 400)["message"]


def test_what_is_cut_is_counted_or_refused(client: httpx.Client) -> None:
    long = " word" * 400
    answer = client.post("/v1/encode", json={"input": ["x", long], "outputs": ["dense"]})
    assert answer.json()["truncated"] == [0, 146]
    assert answer.headers["x-vectorplug-truncated"] == "146"
    error = refused(client.post("/v1/encode", json={"input": long, "truncate": False}), 400)
    assert error["exception"] == "TooLongError"
    assert (error["tokens"], error["limit"], error["index"]) == (402, 256, 0)
    assert "402 tokens and the model reads 256" in error["message"]


def test_a_name_may_choose_and_must_not_contradict(client: httpx.Client, minilm: Vectorizer) -> None:
    found, _ = encoded_by(client, input="x", model="minilm:dense:query")
    assert [name for name, _ in found.vectors()] == ["dense"]
    np.testing.assert_allclose(found.dense, minilm.encode_query("x").dense, atol=1e-5)
    for field in ({"outputs": ["fde"]}, {"role": "document"}):
        body = {"input": "x", "model": "minilm:dense:query", **field}
        assert refused(client.post("/v1/encode", json=body), 400)["param"] == next(iter(field))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["a", 3]}, "input"),
        ({"input": "x", "outputs": []}, "outputs"),
        ({"input": "x", "outputs": ["sparse"]}, "outputs.0"),
        ({"input": "x", "role": "passage"}, "role"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "pool_factor": 0.5}, "pool_factor"),
        ({"input": "x", "token_dtype": "bfloat16"}, "token_dtype"),
        ({"input": "x", "dimensions": 9999}, None),
        ({"input": "x", "fde": "muvera1:fastembed:d384:r20:k5:p16:s1:fill", "dimensions": 9999}, None),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, body: dict[str, Any], param: str | None) -> None:
    assert refused(client.post("/v1/encode", json=body), 400)["param"] == param


@pytest.mark.parametrize(
    ("body", "fix"),
    [
        ({"input": "x"}, "one array"),
        ({"input": ["x", "y"], "outputs": ["tokens"]}, "send one text"),
        ({"input": "x", "outputs": ["tokens"], "token_dtype": "int8"}, "float16"),
    ],
)
def test_npy_of_what_is_no_single_array_is_not_acceptable(client: httpx.Client, body: dict[str, Any], fix: str) -> None:
    answer = client.post("/v1/encode", json=body, headers={"accept": "application/x-npy"})
    assert fix in refused(answer, 406)["message"]


def test_an_unknown_form_or_model_is_refused(client: httpx.Client) -> None:
    refused(client.post("/v1/encode", json={"input": "x"}, headers={"accept": "text/csv"}), 406)
    error = refused(client.post("/v1/encode", json={"input": "x", "model": "bert-9"}), 404)
    assert (error["code"], error["exception"]) == ("model_not_found", "ModelNotFoundError")


# Score.


def scores_of(answer: httpx.Response) -> dict[int, float]:
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [r["score"] for r in results] == sorted((r["score"] for r in results), reverse=True)
    return {r["index"]: r["score"] for r in results}


def assert_scores(answer: httpx.Response, expected: Any) -> None:
    found = scores_of(answer)
    np.testing.assert_allclose([found[i] for i in range(len(found))], expected, atol=1e-4)


def random_tokens(count: int, dim: int = 16) -> MultiVectors:
    return MultiVectors.from_list([RANDOM.normal(size=(2 + i % 5, dim)).astype(np.float32) for i in range(count)])


def test_texts_against_texts_is_exact_maxsim(client: httpx.Client, minilm: Vectorizer) -> None:
    query, documents = minilm.encode_query("a cat").tokens, minilm.encode_document(TEXTS).tokens
    assert query is not None
    assert documents is not None
    answer = client.post("/v1/score", json={"query": "a cat", "documents": TEXTS})
    assert_scores(answer, maxsim(query[0], documents))
    assert answer.json()["model"] == "minilm"
    best = client.post("/v1/score", json={"query": "a cat", "documents": TEXTS, "top_k": 1})
    assert scores_of(best).keys() == {0}
    # A query as text, documents as vectors that came from /v1/encode.
    vectors = [document.tolist() for document in documents]
    assert_scores(client.post("/v1/score", json={"query": "a cat", "documents": vectors}), maxsim(query[0], documents))


@pytest.mark.parametrize("way", ["lists", "base64", "safetensors"])
def test_vectors_sent_are_scored_without_a_model(client: httpx.Client, way: str) -> None:
    query, documents = RANDOM.normal(size=(3, 16)).astype(np.float32), random_tokens(7)
    if way == "lists":
        body = {"query": query.tolist(), "documents": [d.tolist() for d in documents], "model": "not-asked"}
        answer = client.post("/v1/score", json=body)
    elif way == "base64":

        def packed(values: Any, **more: Any) -> dict[str, Any]:
            return {"values": base64.b64encode(values.tobytes()).decode(), "shape": values.shape, **more}

        whole = packed(documents.values, offsets=documents.offsets.tolist())
        answer = client.post("/v1/score", json={"query": packed(query), "documents": whole})
    else:
        arrays = {
            "query.values": query,
            "documents.values": documents.values,
            "documents.offsets": documents.offsets,
        }
        answer = client.post("/v1/score", content=dump(arrays, {}), headers={"content-type": BLOB})
    assert_scores(answer, maxsim(query, documents))
    assert answer.json()["model"] is None


def test_int8_documents_are_scored_with_their_scales(client: httpx.Client) -> None:
    query, documents = RANDOM.normal(size=(3, 16)).astype(np.float32), random_tokens(7).astype("int8")
    arrays = {
        "query.values": query,
        "documents.values": documents.values,
        "documents.offsets": documents.offsets,
        "documents.scales": documents.scales,
    }
    answer = client.post("/v1/score", content=dump(arrays, {"top_k": "3"}), headers={"content-type": BLOB})
    expected = maxsim(query, documents)
    assert list(scores_of(answer)) == np.argsort(-expected)[:3].tolist()


@pytest.fixture(scope="module")
def stored_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, MultiVectors]]:
    folder = tmp_path_factory.mktemp("stored")
    documents = random_tokens(30)
    documents.save(folder / "a.safetensors")
    documents.astype("int8").save(folder / "b.safetensors")
    stored = open_stored({"docs": str(folder / "a.safetensors"), "small": str(folder / "b.safetensors")})
    with serving({"minilm": "minilm"}, stored=stored) as running:
        yield running, documents


def test_stored_vectors_are_scored_by_position(stored_server: tuple[Running, MultiVectors]) -> None:
    running, documents = stored_server
    query = RANDOM.normal(size=(3, 16)).astype(np.float32)
    url = f"{running.url}/v1/score"
    assert_scores(httpx.post(url, json={"query": query.tolist(), "stored": "docs"}), maxsim(query, documents))
    some = {"query": query.tolist(), "stored": "docs", "candidates": [20, 3, 11]}
    found = scores_of(httpx.post(url, json=some))
    expected = maxsim(query, documents, candidates=[20, 3, 11])
    np.testing.assert_allclose([found[i] for i in (20, 3, 11)], expected, atol=1e-4)
    assert scores_of(httpx.post(url, json={**some, "candidates": []})) == {}
    small = scores_of(httpx.post(url, json={**some, "stored": "small", "top_k": 2}))
    assert list(small) == [(20, 3, 11)[i] for i in np.argsort(-expected)[:2]]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"stored": "other"}, 404, "there are 'docs', 'small'"),
        ({"stored": "docs", "candidates": [30]}, 400, "document 30 is asked for"),
        ({"stored": "docs", "candidates": [-1]}, 400, "document -1 is asked for"),
        ({"stored": "docs", "candidates": [2**80]}, 400, "candidates"),
        ({"stored": "docs", "query": [[1.0, 2.0]]}, 400, "the query has 2 numbers a token, the documents have 16"),
        ({"stored": "docs", "query": "a cat"}, 400, "the query has 384 numbers a token, the documents have 16"),
        ({"stored": "docs", "documents": ["x"]}, 400, "either documents, or stored"),
        ({}, 400, "either documents, or stored"),
        ({"documents": [[[1.0] * 16]], "candidates": [0]}, 400, "positions in stored vectors"),
        ({"documents": []}, 400, "documents"),
        ({"documents": ["x"], "model": "minilm:fde"}, 400, "MaxSim needs tokens"),
        ({"documents": [[[3e38] * 16]], "query": [[3e38] * 16]}, 400, "too large for float32"),
        ({"stored": "docs", "query": []}, 400, "query"),
        ({"stored": "docs", "top_k": 0}, 400, "top_k"),
    ],
)
def test_a_score_that_cannot_be_had_is_refused(
    stored_server: tuple[Running, MultiVectors], body: dict[str, Any], status: int, said: str
) -> None:
    answer = httpx.post(f"{stored_server[0].url}/v1/score", json={"query": [[1.0] * 16], **body})
    assert said in refused(answer, status)["message"]


def test_a_query_of_two_texts_is_refused(client: httpx.Client) -> None:
    arrays = {
        "query.values": np.ones((2, 3), np.float32),
        "query.offsets": np.array([0, 1, 2]),
        "documents.values": np.ones((2, 3), np.float32),
    }
    answer = client.post("/v1/score", content=dump(arrays, {}), headers={"content-type": BLOB})
    assert "2 texts, expected one" in refused(answer, 400)["message"]


def test_stored_files_are_opened_or_the_fix_is_said(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"nonsense")
    for file in ("absent", "cut"):
        with pytest.raises(ConfigurationError, match=r"'docs' cannot be opened.*MultiVectors\.save"):
            open_stored({"docs": str(tmp_path / file)})


# FDE.


@pytest.mark.parametrize("role", ["document", "query"])
def test_vectors_become_fdes_without_a_model(client: httpx.Client, role: str) -> None:
    tokens = random_tokens(5)
    lists = [document.tolist() for document in tokens]

    def expected(muvera: Muvera) -> Any:
        return muvera.encode_queries(tokens) if role == "query" else muvera.encode_documents(tokens)

    answer = client.post("/v1/fde", json={"tokens": lists, "role": role}).json()
    np.testing.assert_allclose(answer["fde"], expected(default_fde(16)), atol=1e-4)
    assert answer["fde_fingerprint"] == default_fde(16).fingerprint
    parameters = {"dialect": "weaviate", "repetitions": 3, "ksim": 2, "dproj": 4}
    answer = client.post("/v1/fde", json={"tokens": lists, "role": role, "fde": parameters}).json()
    muvera = Muvera(dim=16, **parameters)  # type: ignore[arg-type]
    np.testing.assert_allclose(answer["fde"], expected(muvera), atol=1e-4)
    blob = dump(
        {"tokens.values": tokens.values, "tokens.offsets": tokens.offsets}, {"role": role, "fde": muvera.fingerprint}
    )
    for accept in (BLOB, "application/x-npy"):
        binary = client.post("/v1/fde", content=blob, headers={"content-type": BLOB, "accept": accept})
        found = parse(binary.content)[0]["fde"] if accept == BLOB else np.load(io.BytesIO(binary.content))
        np.testing.assert_array_equal(found, expected(muvera))


def test_an_fde_in_float16_is_half_of_it(client: httpx.Client) -> None:
    body = {"tokens": [[[0.1, 0.2]]], "vector_dtype": "float16"}
    answer = client.post("/v1/fde", json=body, headers={"accept": BLOB})
    assert parse(answer.content)[0]["fde"].dtype == np.float16
    big = {**body, "tokens": [[[1e6, 1e6]]]}
    assert "too large for float16" in refused(client.post("/v1/fde", json=big), 400)["message"]


@pytest.mark.parametrize(
    ("fde", "said"),
    [
        ({"dialect": "french"}, "fde"),
        ({"ksim": 99}, "ksim is 99"),
        ({"repetitions": 10**9}, "1,048,576 numbers"),
        ("muvera1:fastembed:d3:r1:k1:identity:s42:fill", "2 numbers each, this Muvera was made for dim=3"),
    ],
)
def test_an_fde_of_wrong_parameters_is_refused(client: httpx.Client, fde: Any, said: str) -> None:
    answer = client.post(
        "/v1/fde", json={"tokens": [[[1.0, 2.0]]], "fde": {"dproj": 2, **fde} if isinstance(fde, dict) else fde}
    )
    assert said in refused(answer, 400)["message"]


# Models.


def test_models_are_loaded_pinned_and_unloaded(tiny_model: Path) -> None:
    with serving({"org/name:v1": str(tiny_model), "minilm": "minilm"}) as running:
        engine = running.app.state.engine

        def rows() -> dict[str, Any]:
            return {row["id"]: row for row in asyncio.run(residency(engine))}

        def post(action: str, name: str = "org/name:v1") -> httpx.Response:
            return httpx.post(f"{running.url}/v1/models/{name}/{action}", timeout=60)

        assert rows()["minilm"]["state"] == "absent"  # saying so has loaded nothing
        assert rows()["minilm"]["dims"] is rows()["minilm"]["fingerprint"] is None
        assert next(iter(rows())) == "org/name:v1"
        row = post("pin").json()
        own = Vectorizer(str(tiny_model), device="cpu", dtype="float32")
        assert row == rows()["org/name:v1"]
        assert (row["state"], row["pinned"], row["leases"], row["queue_tokens"]) == ("resident", True, 0, 0)
        assert (row["dims"], row["fingerprint"]) == (dict(own.dims), own.fingerprint)
        assert row["device_bytes"] > 0
        assert "pinned" in refused(post("unload"), 409)["message"]
        assert post("unpin").json()["pinned"] is False
        gone = post("unload").json()
        assert (gone["state"], gone["device_bytes"], gone["fingerprint"]) == ("absent", 0, own.fingerprint)
        assert post("unload").status_code == 200
        assert post("load").json()["state"] == "resident"
        refused(post("load", "org/other"), 404)
        refused(post("sing"), 400)
        assert rows()["minilm"]["state"] == "absent"


def test_the_native_routes_ask_for_a_key(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, keys=("secret",)) as running:
        for path in ("encode", "score", "fde", "models/tiny/load"):
            error = refused(httpx.post(f"{running.url}/v1/{path}", json={"input": "x"}), 401)
            assert error["code"] == "invalid_api_key"
