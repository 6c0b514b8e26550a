"""What every store must do with an FDE that was fitted: keep the fit beside the collection, and find it again."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pytest
from corpus import sentences
from store_suite import OpenStore, assert_same

from vectorplug.errors import ConfigurationError, FingerprintError, StoreError
from vectorplug.lemur import Lemur
from vectorplug.search import AddReport, IndexConfig
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.vectorizer import Vectorizer

TEXTS = sentences(300)
SMALL: dict[str, Any] = {"size": 8, "features": 32, "samples": 64}
QUESTION = "wind and wave"


def unfitted(vectorizer: Vectorizer, **options: Any) -> Vectorizer:
    return vectorizer.with_fde(Lemur(dim=vectorizer.dims["tokens"], **{**SMALL, **options}))


class FitSuite:
    """Within the life of one store."""

    def test_it_is_fitted_and_finds(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=unfitted(vectorizer), mode="fde+rerank")
        with pytest.raises(ConfigurationError, match=r"lemur1:.*:unfitted is not fitted, and nothing was written"):
            store.add(TEXTS)
        assert store.info is None
        report = store.fit(iter(TEXTS))
        assert report is not None
        assert (report.texts, report.sampled) == (300, 300)
        assert store.info is None
        added = store.add(TEXTS, ids=range(300))
        assert added == AddReport(added=300)
        assert len(added.sample) == 256
        assert set(added.sample) < set(TEXTS)
        assert store.info is not None
        assert (store.info.fde, store.info.dims["fde"]) == (report.fingerprint, 8)
        drift = store.drift(added.sample)
        assert drift is not None
        assert drift.ratio < 1.5
        hits = store.search(QUESTION, limit=5, candidates=300)
        fde = store.vectorizer.fde
        assert fde is not None
        asked = store.vectorizer.encode_query([QUESTION], outputs=("fde",)).fde
        documents = store.vectorizer.encode_document(TEXTS, outputs=("fde",)).fde
        assert asked is not None
        assert documents is not None
        scores = documents @ asked[0]
        found = store.search(QUESTION, limit=300, mode="fde")
        np.testing.assert_allclose(
            [hit.score for hit in found], scores[[hit.id for hit in found]], rtol=1e-4, atol=1e-5
        )
        assert {hit.id for hit in hits} <= set(range(300))
        assert store.fit(TEXTS) is None  # it has a fit

    def test_what_has_no_fit_is_not_fitted(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        assert store.fit(TEXTS) is None
        assert store.drift(TEXTS[:2]) is None
        assert store.add(TEXTS[:5]).sample == []


class KeptFitSuite(FitSuite, ABC):
    """A store whose collections outlive it; `lose_fit` takes the fit away, `spoil_fit` changes a byte of it."""

    @abstractmethod
    def lose_fit(self, store: Any) -> None: ...

    def spoil_fit(self, store: Any) -> None:
        """Write another's bytes under the name of this one."""
        assert store.info.fde is not None
        data = bytearray(store._database.read_fit(store.info.fde))
        data[-1] ^= 4
        store._database.keep_fit(store.info.fde, bytes(data))

    def test_reopened_it_knows_its_fit(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        vectorizer = Vectorizer(vectorizer.model)  # as it is loaded when a store is opened
        with open_store_under_test(vectorizer=unfitted(vectorizer), mode="fde+rerank") as store:
            store.fit(TEXTS)
            store.add(TEXTS[:200], ids=range(200))
            before, made_with = store.search(QUESTION), store.vectorizer.fde
        with open_store_under_test() as store:
            assert_same(store.search(QUESTION), before)
            assert store.vectorizer.fde == made_with
            assert store.add(TEXTS, ids=range(300)) == AddReport(added=100, skipped=200)
        for again in (unfitted(vectorizer), vectorizer.with_fde(made_with)):
            with open_store_under_test(vectorizer=again) as store:
                assert store.vectorizer.fde == made_with
                assert store.fit(TEXTS) is None
        lemur: Any = {"kind": "lemur", **SMALL}
        with open_store_under_test(config=IndexConfig.of({"model": vectorizer.model, "fde": lemur})) as store:
            assert store.vectorizer.fde == made_with

    def test_another_fit_is_refused(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        with open_store_under_test(vectorizer=unfitted(vectorizer)) as store:
            store.fit(TEXTS)
            store.add(TEXTS[:10])
            assert store.vectorizer.fde is not None
            fingerprint = store.vectorizer.fde.fingerprint
        with open_store_under_test(collection="others", vectorizer=unfitted(vectorizer)) as others:
            others.fit(TEXTS[:150])
            other_fit = others.vectorizer.fde
        for other in (unfitted(vectorizer, size=16), vectorizer.with_fde(other_fit), vectorizer):
            with pytest.raises(FingerprintError) as caught:
                open_store_under_test(vectorizer=other)
            assert fingerprint in str(caught.value)
            assert other.fde is not None
            assert other.fde.fingerprint in str(caught.value)

    def test_a_fit_that_is_gone_or_damaged(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        with open_store_under_test(vectorizer=unfitted(vectorizer)) as store:
            store.fit(TEXTS)
            store.add(TEXTS[:10])
            kept = store.vectorizer.fde
            for harm, said in ((self.spoil_fit, "is damaged"), (self.lose_fit, "is not beside it any more")):
                harm(store)
                with open_again(open_store_under_test, store) as again:
                    with pytest.raises(StoreError, match=rf"{said}[\s\S]*fde=Lemur\.open\(path\)"):
                        again.search(QUESTION)
                    assert again.count() == 10
                store = open_store_under_test(vectorizer=vectorizer.with_fde(kept))
                assert store.search(QUESTION)
                assert store.backfill(outputs=("fde",), show_progress_bar=False).filled == 0
                store.close()
                with open_store_under_test() as again:
                    assert again.vectorizer.fde == kept
                store = open_store_under_test()

    def test_killed_between_the_fit_and_the_collection(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectorizer = Vectorizer(vectorizer.model)
        store = open_store_under_test(vectorizer=unfitted(vectorizer))
        store.fit(TEXTS)

        def die(_: CollectionInfo) -> None:
            raise ConnectionResetError

        with monkeypatch.context() as patched:
            patched.setattr(store._database, "create", die)
            with pytest.raises(ConnectionResetError):
                store.add(TEXTS)
        store.close()
        with open_store_under_test(vectorizer=unfitted(vectorizer)) as again:
            assert again.info is None
            again.fit(TEXTS[:150])  # another fit than the one that was left
            assert again.add(TEXTS).added == 300
            found = again.search(QUESTION)
        with open_store_under_test() as last:
            assert_same(last.search(QUESTION), found)

    def test_a_fit_of_many_parts(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        with open_store_under_test(vectorizer=unfitted(vectorizer)) as store:
            store.fit(TEXTS)
            store.add(TEXTS[:10])
            for size in (0, 1, 2**18, 2**18 + 1, 5_000_000):
                data = np.random.default_rng(size).bytes(size)
                store._database.keep_fit(f"lemur1:{size}", data)
                store._database.keep_fit(f"lemur1:{size}", data)
                assert store._database.read_fit(f"lemur1:{size}") == data
            assert store._database.read_fit("lemur1:none") is None
            assert store.count() == 10


def open_again(open_store: OpenStore, store: Any) -> Any:
    """The same collection with nothing but its name; an embedded one has one user at a time."""
    store.close()
    return open_store()
