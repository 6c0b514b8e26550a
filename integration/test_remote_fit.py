"""The remote vectorizer against a server whose FDE was fitted: the same vectors, and the fit beside a collection."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import sentences
from serving import Running, serving

from vectorplug import Vectorizer, errors, open_store
from vectorplug.lemur import Lemur
from vectorplug.remote import RemoteVectorizer
from vectorplug.search.fitting import fit_on_texts

TEXTS = sentences(60)


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> Vectorizer:
    plain = Vectorizer(str(tiny_model), fde=None, device="cpu", dtype="float32")
    unfitted = Lemur(dim=plain.dims["tokens"], size=8, features=16, samples=64)
    return plain.with_fde(fit_on_texts(unfitted, plain, TEXTS, show_progress_bar=False))


@pytest.fixture(scope="module")
def file(local: Vectorizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fits") / "texts.lemur"
    assert isinstance(local.fde, Lemur)
    local.fde.save(path)
    return path


@pytest.fixture(scope="module")
def running(tiny_model: Path, file: Path) -> Iterator[Running]:
    with serving({"tiny": str(tiny_model)}, keys=("key",), fdes={"": str(file)}) as running:
        yield running


@pytest.fixture
def remote(running: Running) -> Iterator[RemoteVectorizer]:
    with Vectorizer.remote(running.url, api_key="key") as remote:
        yield remote


def test_a_fit_of_another_model_is_refused(remote: RemoteVectorizer) -> None:
    assert isinstance(remote.fde, Lemur)
    with pytest.raises(errors.ConfigurationError, match=r"was fitted to tokens of other, .* is .*: fit one to this"):
        remote.with_fde(replace(remote.fde, encoder="other"))


def folded_here(*_: Any) -> Any:
    raise AssertionError("the server folds with what it has")


def test_it_has_the_servers_fit_and_the_server_folds(
    remote: RemoteVectorizer, local: Vectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (remote.fde, remote.dims) == (local.fde, local.dims)
    expected = [local.encode_document(TEXTS[:5]).fde, local.encode_query(TEXTS[:5]).fde]
    monkeypatch.setattr(remote, "_folded", folded_here)
    found = [remote.encode_document(TEXTS[:5], outputs=["fde"]), remote.encode_query(TEXTS[:5], outputs=["fde"])]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.fde, other, rtol=1e-3, atol=1e-3)  # type: ignore[arg-type]


def test_a_collection_of_one_opens_with_the_other(remote: RemoteVectorizer, local: Vectorizer, tmp_path: Path) -> None:
    url = f"edge:{tmp_path}"
    with open_store(url, vectorizer=remote, mode="fde+rerank") as store:
        assert store.add(TEXTS, ids=range(60)).added == 60
        found = store.search(TEXTS[3], limit=5)
        kept = store.info
        assert kept is not None
        assert local.fde is not None
        assert kept.fde == local.fde.fingerprint
    with open_store(url, vectorizer=local) as store:
        assert store.info == kept
        assert [hit.id for hit in store.search(TEXTS[3], limit=5)] == [hit.id for hit in found]
        fit = store._database.read_fit(kept.fde)
        assert fit is not None
        assert Lemur.from_bytes(fit) == local.fde
    other = local.with_fde(Lemur(dim=local.dims["tokens"], size=8, features=16, samples=64, seed=7))
    with pytest.raises(errors.FingerprintError, match=local.fde.fingerprint):
        open_store(url, vectorizer=other)


def test_a_server_that_has_another_fit_by_now_says_so(tiny_model: Path, file: Path) -> None:
    with serving({"tiny": str(tiny_model)}, fdes={"": str(file)}) as first:
        remote = Vectorizer.remote(first.url)
        assert len(remote.encode_query("the sea", outputs=["fde"])) == 1
    with (
        serving({"tiny": str(tiny_model)}, port=first.port),
        pytest.raises(errors.ConfigurationError, match="is a fit, and not one that this server has"),
    ):
        remote.encode_query("the sea", outputs=["fde"])
