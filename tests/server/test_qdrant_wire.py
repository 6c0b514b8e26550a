"""Qdrant's `/infer`: what is asked for, in its order, with as few forward passes as there are texts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bounds import bounds
from starlette.testclient import TestClient

from vectorplug import Vectorizer
from vectorplug.errors import ModelLoadError, OverloadedError
from vectorplug.residency.cache import ModelCache
from vectorplug.server import auth
from vectorplug.server.app import create_app
from vectorplug.server.engine import Engine
from vectorplug.server.names import Names
from vectorplug.server.wire import qdrant

TEXTS = ["the sea", "a ship on the sea", "bread and flour"]
LONG = "sea " * 100


@dataclass(frozen=True)
class Asking:
    """A client of an application that serves a tiny ColBERT ("colbert") and a tiny dense model ("dense")."""

    client: TestClient
    engine: Engine

    def infer(self, *inputs: tuple[str, str], inference: str | None = "update", **extra: Any) -> httpx.Response:
        """The answer for (model, text) inputs."""
        rows = [{"data": text, "data_type": "text", "model": model, "options": None} for model, text in inputs]
        return self.client.post("/infer", json={"inputs": rows, "inference": inference, "token": None, **extra})

    def one(self, **changes: Any) -> httpx.Response:
        """The answer for one input that is right but for the changes."""
        right = {"data": "the sea", "data_type": "text", "model": "colbert", "options": None}
        return self.client.post("/infer", json={"inputs": [right | changes], "inference": "update", "token": None})

    def encoded_texts(self) -> int:
        """How many texts have gone through a forward pass."""
        batchers = [opening.result().batcher for opening in self.engine._served.values()]
        return sum(span.texts for batcher in batchers for span in batcher.trace() if span.stage == "forward")


@pytest.fixture(scope="module")
def models(tiny_colbert: Path, tiny_dense: Path) -> dict[str, str]:
    return {"colbert": str(tiny_colbert), "dense": str(tiny_dense)}


@pytest.fixture(scope="module")
def colbert(models: dict[str, str]) -> Vectorizer:
    return Vectorizer(models["colbert"], device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def dense(models: dict[str, str]) -> Vectorizer:
    return Vectorizer(models["dense"], device="cpu", dtype="float32")


@contextmanager
def asking(models: dict[str, str], *, keys: tuple[str, ...] = (), texts: int = 100) -> Iterator[Asking]:
    limits = bounds(*keys, texts=texts)
    engine = Engine(ModelCache(device="cpu", dtype="float32"), Names(models), limits)
    with TestClient(create_app(engine, limits)) as client:
        yield Asking(client, engine)


@pytest.fixture(scope="module")
def api(models: dict[str, str]) -> Iterator[Asking]:
    with asking(models) as opened:
        yield opened


@pytest.fixture(scope="module")
def closed(models: dict[str, str]) -> Iterator[Asking]:
    with asking(models, keys=("first", "second")) as opened:
        yield opened


def test_the_answers_come_in_the_order_of_the_inputs(api: Asking, colbert: Vectorizer, dense: Vectorizer) -> None:
    own = {"colbert": colbert.encode_document(TEXTS), "dense": dense.encode_document(TEXTS)}
    every = [(model, output, i) for model in own for output in ("tokens", "fde", "dense") for i in range(3)]
    shuffled = [every[i] for i in np.random.default_rng(3).permutation(len(every))]
    reply = api.infer(*((f"vectorplug/{model}:{output}", TEXTS[i]) for model, output, i in shuffled))
    embeddings = reply.raise_for_status().json()["embeddings"]
    assert len(embeddings) == len(every)
    for (model, output, i), embedding in zip(shuffled, embeddings, strict=True):
        np.testing.assert_allclose(embedding, getattr(own[model], output)[i], atol=1e-4)


def test_a_text_is_encoded_once_for_all_that_is_wanted_of_it(api: Asking) -> None:
    before = api.encoded_texts()
    wanted = [(f"colbert:{output}", text) for output in ("tokens", "fde", "dense") for text in TEXTS]
    # Another set of outputs, another role, and the same thing twice.
    reply = api.infer(*wanted, ("colbert:fde", "a wave"), ("colbert:query", TEXTS[0]), *wanted).raise_for_status()
    assert len(reply.json()["embeddings"]) == 20
    assert api.encoded_texts() - before == 5


def test_usage_counts_the_tokens_of_each_different_text(api: Asking, colbert: Vectorizer) -> None:
    counts = colbert.encode_document(TEXTS).token_counts
    assert counts is not None
    every, first = int(counts.sum()), int(counts[0])
    reply = api.infer(*(("vectorplug/colbert", text) for text in [*TEXTS, *TEXTS]), ("colbert:fde", TEXTS[0]))
    assert reply.json()["usage"] == {
        "models": {"vectorplug/colbert": {"tokens": every}, "colbert:fde": {"tokens": first}}
    }


def test_a_bare_name_means_what_the_model_was_trained_for(api: Asking, colbert: Vectorizer, dense: Vectorizer) -> None:
    rows = api.infer(("colbert", "the sea"), ("dense", "the sea")).json()["embeddings"]
    np.testing.assert_allclose(rows[0], colbert.encode_document("the sea").tokens[0], atol=1e-5)
    np.testing.assert_allclose(rows[1], dense.encode_document("the sea").dense[0], atol=1e-5)


@pytest.mark.parametrize(
    ("inference", "suffix", "role"),
    [
        ("update", "", "document"),
        ("search", "", "query"),
        (None, "", "document"),
        ("update", ":query", "query"),
        ("search", ":document", "document"),
    ],
)
@pytest.mark.parametrize("output", ["tokens", "fde"])
def test_the_role_is_the_requests_unless_the_name_says(
    api: Asking, colbert: Vectorizer, inference: str | None, suffix: str, role: str, output: str
) -> None:
    encode = colbert.encode_query if role == "query" else colbert.encode_document
    rows = api.infer((f"colbert:{output}{suffix}", "the sea"), inference=inference).json()["embeddings"]
    np.testing.assert_allclose(rows[0], getattr(encode("the sea"), output)[0], atol=1e-4)


@pytest.mark.parametrize("options", [None, {}, {"dimensions": None}])
def test_no_options_are_fine(api: Asking, options: dict[str, Any] | None) -> None:
    assert np.shape(api.one(options=options).raise_for_status().json()["embeddings"][0])[1] == 16


def test_dimensions_shape_the_input_that_asks_and_cost_no_forward_pass(api: Asking, colbert: Vectorizer) -> None:
    before = api.encoded_texts()
    asked = [("colbert:tokens", 8), ("colbert:tokens", None), ("colbert:dense", 4), ("colbert:fde", None)]
    inputs = [
        {"data": "the sea", "data_type": "text", "model": model, "options": {"dimensions": dimensions}}
        for model, dimensions in asked
    ]
    rows = api.client.post("/infer", json={"inputs": inputs}).raise_for_status().json()["embeddings"]
    whole = colbert.encode_document("the sea")
    np.testing.assert_allclose(rows[0], colbert.encode_document("the sea", dimensions=8).tokens[0], atol=1e-5)
    np.testing.assert_allclose(rows[1], whole.tokens[0], atol=1e-5)
    np.testing.assert_allclose(rows[2], colbert.encode_document("the sea", dimensions=4).dense[0], atol=1e-5)
    np.testing.assert_allclose(rows[3], whole.fde[0], atol=1e-4)
    assert api.encoded_texts() - before == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"pooling": "cls", "dimension": 8}}, "'dimension', 'pooling', expected 'dimensions'"),
        ({"options": {"dimensions": 17}}, "dimensions is 17, expected 1 to 16"),
        ({"options": {"dimensions": 0}}, "greater than or equal to 1"),
        ({"options": {"dimensions": 8}, "model": "colbert:fde"}, "leave options.dimensions out"),
        ({"data_type": "image"}, "data_type is 'image', and texts are all that is read here"),
        ({"data_type": "object", "data": {"a": 1}}, "data_type is 'object'"),
        ({"data": 7}, "inputs.0"),
        ({"model": "colbirt"}, "Did you mean colbert"),
        ({"model": "/etc/passwd"}, "not served here"),
        ({"model": "vectorplug/:fde"}, "not served here"),
    ],
)
def test_what_cannot_be_is_a_400_that_says_why(api: Asking, changes: dict[str, Any], said: str) -> None:
    reply = api.one(**changes)
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]
    assert said in reply.json()["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"inputs": {}}', b'{"inputs": [], "inference": "delete"}', b'{"inputs": ["the sea"]}',
     b'{"inputs": [{"data": "\\ud800", "data_type": "text", "model": "colbert"}]}', b"[" * 5000],
)  # fmt: skip
def test_what_is_no_request_is_a_400(api: Asking, body: bytes) -> None:
    reply = api.client.post("/infer", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, list(reply.json())) == (400, ["error"])


def test_no_input_no_vector(api: Asking) -> None:
    assert api.infer().json() == {"embeddings": [], "usage": {"models": {}}}


def test_a_long_text_is_cut_and_counted(api: Asking, colbert: Vectorizer) -> None:
    cut = colbert.encode_document(LONG).truncated
    assert cut is not None
    assert cut[0] > 0
    reply = api.infer(("colbert:tokens", LONG), ("colbert:fde", LONG)).raise_for_status()
    assert reply.headers["x-vectorplug-truncated"] == str(cut[0])
    assert api.one().headers["x-vectorplug-truncated"] == "0"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("colbert:fde", "10,240 numbers and Qdrant's vectors have at most 10,239"),
        ("dense", "32 numbers and Qdrant's vectors have at most 31"),
        ("colbert", "tokens of 16 numbers in 'colbert' .* fewer than 80 numbers.*{\"dimensions\": 15}"),
    ],
)
def test_what_qdrant_cannot_store_is_refused_with_the_fix(
    api: Asking, monkeypatch: pytest.MonkeyPatch, model: str, said: str
) -> None:
    assert len(api.infer(("colbert", "the sea")).json()["embeddings"][0]) == 5
    # As many as that is one too many, as it is to Qdrant.
    monkeypatch.setattr(qdrant, "MULTI_VECTOR_BELOW", 5 * 16)
    monkeypatch.setattr(qdrant, "MAX_VECTOR", 10_239 if "fde" in model else 31)
    reply = api.infer((model, "the sea"))
    assert reply.status_code == 400
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(reply.json()["error"])


def test_too_many_texts_are_refused(models: dict[str, str]) -> None:
    with asking(models, texts=2) as few:
        # Of two sets of outputs, so that no single group is too large.
        reply = few.infer(("colbert", "a"), ("colbert", "b"), ("colbert:fde", "c"))
        assert reply.status_code == 400
        assert "takes 2" in reply.json()["error"]
        assert few.infer(("colbert", "a"), ("colbert", "b"), ("colbert:fde", "b")).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (OverloadedError("too much waits", retry_after=2.5), 429, "3"),
        (ModelLoadError("damaged"), 503, "5"),
        (ZeroDivisionError(), 500, None),
    ],
)
def test_errors_have_the_status_that_qdrant_acts_on(
    api: Asking, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, retry_after: str | None
) -> None:
    async def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api.engine, "encode", failing)
    reply = api.one()
    assert (reply.status_code, list(reply.json())) == (status, ["error"])
    assert reply.headers.get("retry-after") == retry_after


def test_where_one_call_fails_the_others_give_up_their_places(api: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = []

    async def waiting(_: Any, texts: list[str], *__: Any) -> None:
        if texts == ["b"]:
            raise OverloadedError("too much waits", retry_after=1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(texts)
            raise

    monkeypatch.setattr(api.engine, "encode", waiting)
    assert api.infer(("colbert:tokens", "a"), ("colbert:fde", "b"), ("dense", "c")).status_code == 429
    assert cancelled == [["a"], ["c"]]


@pytest.mark.parametrize("key", ["first", "second"])
def test_a_key_comes_in_a_header_or_in_the_body(closed: Asking, key: str) -> None:
    body = {"inputs": [], "inference": "update"}
    assert closed.infer(token=key).status_code == 200
    for headers in ({"vectorplug-api-key": key}, {"authorization": f"Bearer {key}"}):
        assert closed.client.post("/infer", json=body, headers=headers).status_code == 200
    assert closed.client.post("/infer", json=body, auth=("any", key)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b'{"inputs": [], "token": "firs"}', b'{"inputs": [], "token": null}', b'{"token": ["first"]}', b'["first"]',
     b'{"token": "first"', b"", b'{"inputs": [{"token": "first"}]}'],
)  # fmt: skip
def test_without_a_key_nothing_is_told(closed: Asking, body: bytes) -> None:
    reply = closed.client.post("/infer", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 401
    assert "no valid key" in reply.json()["error"]


def test_a_key_in_the_body_opens_no_other_format(closed: Asking) -> None:
    body = {"input": "the sea", "model": "colbert", "token": "first"}
    assert closed.client.post("/openai/v1/embeddings", json=body).status_code == 401


@pytest.mark.parametrize(("token", "status"), [("first", 200), ("second", 200), ("wrong", 401)])
def test_a_token_is_compared_with_every_key_in_constant_time(
    closed: Asking, monkeypatch: pytest.MonkeyPatch, token: str, status: int
) -> None:
    compared = []
    compare = auth.hmac.compare_digest

    def recorded(key: bytes, offered: bytes) -> bool:
        compared.append((key, offered))
        return compare(key, offered)

    monkeypatch.setattr(auth.hmac, "compare_digest", recorded)
    assert closed.infer(token=token).status_code == status
    assert compared == [(b"first", token.encode()), (b"second", token.encode())]
