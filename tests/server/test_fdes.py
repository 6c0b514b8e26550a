"""A server whose models have other FDEs than the default one: every format gives them, and says so."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import bounds
from starlette.testclient import TestClient

from vectorplug import Vectorizer
from vectorplug.compressor import Compressor
from vectorplug.errors import ConfigurationError, ModelNotFoundError
from vectorplug.lemur import Lemur
from vectorplug.models.encoder import Facts
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.residency.cache import ModelCache
from vectorplug.search.fitting import fit_on_texts
from vectorplug.server import serve as serving
from vectorplug.server.app import create_app
from vectorplug.server.engine import Engine
from vectorplug.server.fdes import fde_of, open_fdes
from vectorplug.server.names import Names
from vectorplug.settings import Settings
from vectorplug.vectorizer import default_fde

TEXTS = ["the sea", "a ship on the sea", "bread and flour"]
WORDS = ("sea", "ship", "bread", "flour", "salt", "wind")


@pytest.fixture(scope="module")
def names(tiny_colbert: Path, tiny_dense: Path) -> Names:
    return Names({"colbert": str(tiny_colbert), "dense": str(tiny_dense), "again": str(tiny_colbert)})


@pytest.fixture(scope="module")
def colbert(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def lemur(colbert: Vectorizer) -> Lemur:
    texts = [f"the {one} and the {other} of {one}" for one in WORDS for other in WORDS]
    dim = colbert.dims["tokens"]
    return fit_on_texts(Lemur(dim=dim, size=8, features=16, samples=64), colbert, texts, show_progress_bar=False)


@pytest.fixture(scope="module")
def file(lemur: Lemur, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lemur.save(path := tmp_path_factory.mktemp("fits") / "texts.lemur")
    return path


@contextmanager
def asking(names: Names, fdes: Mapping[str, Compressor]) -> Iterator[TestClient]:
    limits = bounds(texts=100)
    engine = Engine(ModelCache(device="cpu", dtype="float32"), names, limits, fdes)
    with TestClient(create_app(engine, limits)) as client:
        yield client


@pytest.fixture(scope="module")
def api(names: Names, file: Path) -> Iterator[TestClient]:
    with asking(names, open_fdes({"": str(file)}, names)) as client:
        yield client


def told(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def assert_near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=1e-3, atol=1e-3)


def test_every_format_gives_the_fitted_vector(api: TestClient, colbert: Vectorizer, lemur: Lemur) -> None:
    local = colbert.with_fde(lemur)
    documents, queries = local.encode_document(TEXTS).fde, local.encode_query(TEXTS).fde
    assert documents is not None
    assert documents.shape == (3, 8)
    own = told(api, "/v1/encode", input=TEXTS)
    assert (own["fde_fingerprint"], own["fingerprint"]) == (lemur.fingerprint, colbert.fingerprint)
    assert_near(own["fde"], documents)
    assert_near(told(api, "/v1/encode", input=TEXTS, role="query", outputs=["fde"])["fde"], queries)
    named = told(api, "/v1/encode", input=TEXTS, outputs=["fde"], fde=lemur.fingerprint)
    assert_near(named["fde"], documents)
    for name, expected in (("colbert:fde", documents), ("again:fde:query", queries)):
        reply = told(api, "/openai/v1/embeddings", input=TEXTS, model=name, encoding_format="float")
        assert_near([row["embedding"] for row in reply["data"]], expected)
    reply = told(api, "/openai/v1/embeddings", input=TEXTS, model="colbert:fde", encoding_format="base64")
    assert_near([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in reply["data"]], documents)
    reply = told(api, "/cohere/v2/embed", texts=TEXTS, model="colbert:fde", input_type="search_query")
    assert_near(reply["embeddings"]["float"], queries)
    reply = told(api, "/ollama/api/embed", input=TEXTS, model="colbert:fde")
    assert_near(reply["embeddings"], documents)
    rows = [{"data": text, "data_type": "text", "model": "colbert:fde", "options": None} for text in TEXTS]
    reply = told(api, "/infer", inputs=rows, inference="search", token=None)
    assert_near(reply["embeddings"], queries)


def test_tokens_that_are_sent_are_folded_by_it(api: TestClient, colbert: Vectorizer, lemur: Lemur) -> None:
    tokens = colbert.encode_document(TEXTS).tokens
    assert tokens is not None
    sent = [rows.tolist() for rows in tokens]
    for asked in ({}, {"fde": lemur.fingerprint}):
        reply = told(api, "/v1/fde", tokens=sent, **asked)
        assert reply["fde_fingerprint"] == lemur.fingerprint
        assert_near(reply["fde"], lemur.encode_documents(tokens))
    assert_near(told(api, "/v1/fde", tokens=sent, role="query")["fde"], lemur.encode_queries(tokens))
    other = told(api, "/v1/fde", tokens=[[[1.0, 2.0], [0.5, 1.0]]])
    assert other["fde_fingerprint"] == default_fde(2).fingerprint
    named = told(api, "/v1/fde", tokens=sent, fde=default_fde(tokens.dim).fingerprint)
    assert named["fde_fingerprint"] == default_fde(tokens.dim).fingerprint


def test_the_listing_names_it_and_its_file_comes_by_that_name(api: TestClient, lemur: Lemur) -> None:
    told(api, "/v1/models/dense/load")
    rows = {row["id"]: row for row in api.get("/v1/models").json()["data"]}
    for name, fingerprint, size in (
        ("colbert", lemur.fingerprint, 8),
        ("again", lemur.fingerprint, 8),
        (
            "dense",
            default_fde(rows["dense"]["dims"]["tokens"]).fingerprint,
            default_fde(rows["dense"]["dims"]["tokens"]).size,
        ),
    ):
        assert (rows[name]["fde_fingerprint"], rows[name]["dims"]["fde"]) == (fingerprint, size)
    reply = api.get(f"/v1/fits/{lemur.fingerprint}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/vnd.safetensors")
    assert Lemur.from_bytes(reply.content) == lemur
    for none in ("lemur1:d16:m8:f16:n64:s42:0000000000000000", rows["dense"]["fde_fingerprint"], "x"):
        refused = api.get(f"/v1/fits/{none}")
        assert (refused.status_code, "no fit of this server" in refused.text) == (404, True)


def test_another_fit_is_refused_and_named(api: TestClient, lemur: Lemur) -> None:
    other = "lemur1:d16:m8:f16:n64:s42:0000000000000000"
    for path, body in (("/v1/encode", {"input": TEXTS}), ("/v1/fde", {"tokens": [[[0.0] * lemur.dim]]})):
        refused = api.post(path, json={**body, "fde": other})
        assert refused.status_code == 400
        assert f"{other} is a fit, and not one that this server has" in refused.json()["error"]["message"]
    # The fit of a model is no FDE of another model.
    refused = api.post("/v1/encode", json={"model": "dense", "input": TEXTS, "fde": lemur.fingerprint})
    assert refused.status_code == 400


def test_a_muvera_of_other_parameters(names: Names, colbert: Vectorizer) -> None:
    muvera = Muvera(dim=colbert.dims["tokens"], repetitions=3, ksim=2, dproj=4, fill=False)
    with asking(names, open_fdes({"again": muvera.fingerprint}, names)) as client:
        own = told(client, "/v1/encode", input=TEXTS)
        assert own["fde_fingerprint"] == muvera.fingerprint
        assert_near(own["fde"], colbert.with_fde(muvera).encode_document(TEXTS).fde)
        assert client.get(f"/v1/fits/{muvera.fingerprint}").status_code == 404


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("nowhere.lemur", r"'nowhere\.lemur' cannot be opened: .*Lemur\.save\(\), or a fingerprint of MUVERA"),
        (__file__, "is no fit of Lemur, or cut off"),
        ("muvera1:fastembed:d8:r2", "is no fingerprint of MUVERA"),
        ("lemur1:d16:m8:f16:n64:s42:0000000000000000", "cannot be opened"),
    ],
)
def test_what_is_no_fde_is_refused(names: Names, said: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_fdes({"": said}, names)


def test_names_that_do_not_fit(names: Names, file: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="'other' is not served here"):
        open_fdes({"other": str(file)}, names)
    with pytest.raises(ConfigurationError, match=r"is to have the FDEs lemur1:.* and muvera1:.*: give it one"):
        open_fdes({"": str(file), "again": Muvera(dim=16).fingerprint}, names)
    assert len(open_fdes({"": str(file), "again": str(file)}, names)) == 1


def test_the_fit_of_another_model_ends_the_start(
    file: Path, lemur: Lemur, tiny_colbert: Path, tiny_dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(serving.uvicorn, "run", lambda *given, **_: started.append(given))
    monkeypatch.setattr(serving, "configure_logs", lambda: None)
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)
    settings = Settings(device="cpu", dtype="float32", allow_models=f"dense={tiny_dense}")
    fitted_elsewhere = file.with_name("elsewhere.lemur")
    replace(lemur, encoder="another@1").save(fitted_elsewhere)
    for said, message in (
        (Muvera(dim=7, dproj=4).fingerprint, "made for tokens of 7 numbers"),
        (str(fitted_elsewhere), "was fitted to tokens of another@1, .*tiny-colbert is tiny-colbert@"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            serving.serve(settings.with_(fde=f"dense={said}" if "7" in message else said), str(tiny_colbert))
    assert started == []
    both = settings.with_(fde=f"{file}, dense={default_fde(16).fingerprint},")
    assert both.fde == {"": str(file), "dense": default_fde(16).fingerprint}
    serving.serve(settings.with_(fde=str(file)), str(tiny_colbert))
    assert len(started) == 1


def test_a_fit_says_whose_tokens_it_was_made_of(lemur: Lemur, colbert: Vectorizer) -> None:
    assert lemur.encoder == colbert.fingerprint
    facts = colbert._facts
    assert isinstance(facts, Facts)
    assert fde_of(facts, lemur) is lemur
    assert fde_of(facts, replace(lemur, encoder=None)).fingerprint == lemur.fingerprint
    tokens = colbert.encode_document(TEXTS).tokens
    assert isinstance(tokens, MultiVectors)
    assert lemur.fit(tokens).encoder is None
