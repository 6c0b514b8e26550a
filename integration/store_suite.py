"""What every store must do. A database's test module subclasses a suite and says how its store is opened.

`open_store_under_test(collection=..., vectorizer=..., mode=..., outputs=...)` opens the same place every time within
a test, and `group_is(n)` gives the database's own filter for payloads with {"group": n}.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest
from corpus import DIM, FDE, encode, random_texts, sentences

from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.errors import ConfigurationError, FingerprintError, InputError, StoreError
from vectorplug.maxsim import maxsim
from vectorplug.muvera import Muvera
from vectorplug.search import VECTOR_MODES, AddReport, Hit, IndexConfig, Store
from vectorplug.search.brute import BruteStore
from vectorplug.vectorizer import Vectorizer

DOCUMENTS = random_texts(60, seed=1)
QUERIES = random_texts(4, seed=2, role="query", longest=12)
PAYLOADS = [{"group": i % 3, "name": f"d{i}"} for i in range(60)]
RANKED_BY_MAXSIM = [mode for mode in VECTOR_MODES if mode == "native" or mode.endswith("rerank")]


class OpenStore(Protocol):
    def __call__(self, **options: Any) -> Store[Any]: ...


def filled(store: Store[Any]) -> Store[Any]:
    report = store.add_encoded(DOCUMENTS, ids=list(range(60)), payloads=PAYLOADS)
    assert report == AddReport(added=60)
    return store


def plain_store() -> BruteStore:
    store = BruteStore(outputs=OUTPUTS)
    filled(store)
    return store


def assert_same(found: list[Hit], expected: list[Hit]) -> None:
    assert [hit.id for hit in found] == [hit.id for hit in expected]
    np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], rtol=1e-4, atol=1e-5)
    assert [hit.payload for hit in found] == [hit.payload for hit in expected]


class StoreSuite:
    """A store within the life of one process."""

    group_is: Callable[[int], Any]

    @pytest.mark.parametrize("mode", VECTOR_MODES)
    @pytest.mark.parametrize(("limit", "candidates"), [(10, None), (3, 3), (5, 20), (1, 1), (200, None)])
    def test_every_mode_finds_what_the_plain_store_finds(
        self, open_store_under_test: OpenStore, mode: Any, limit: int, candidates: int | None
    ) -> None:
        store, plain = filled(open_store_under_test(mode=mode, outputs=OUTPUTS)), plain_store()
        for i in range(len(QUERIES)):
            asked = {"limit": limit, "candidates": candidates}
            found = store.search_encoded(QUERIES[i : i + 1], **asked)
            assert_same(found, plain.search_encoded(QUERIES[i : i + 1], mode=mode, **asked))

    @pytest.mark.parametrize("mode", RANKED_BY_MAXSIM)
    def test_scores_are_exact_maxsim(self, open_store_under_test: OpenStore, mode: Any) -> None:
        assert QUERIES.tokens is not None
        assert DOCUMENTS.tokens is not None
        hits = filled(open_store_under_test(mode=mode)).search_encoded(QUERIES[:1], limit=60)
        exact = maxsim(QUERIES.tokens[0], DOCUMENTS.tokens)
        np.testing.assert_allclose([hit.score for hit in hits], exact[[hit.id for hit in hits]], rtol=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @pytest.mark.parametrize("mode", VECTOR_MODES)
    def test_explained_it_finds_the_same(self, open_store_under_test: OpenStore, mode: Any) -> None:
        store = filled(open_store_under_test(mode=mode, outputs=OUTPUTS))
        plain = store.search_encoded(QUERIES[:1], limit=3, candidates=7)
        hits = store.search_encoded(QUERIES[:1], limit=3, candidates=7, explain=True)
        assert_same(hits, plain)
        assert plain.stages == []
        find = "tokens" if mode == "native" else mode.removesuffix("+rerank")
        assert [stage.name for stage in hits.stages] == ([find, "rerank"] if mode.endswith("rerank") else [find])
        assert [len(stage.candidates) for stage in hits.stages] == ([7, 3] if mode.endswith("rerank") else [3])
        assert hits.stages[-1].candidates == [(hit.id, hit.score) for hit in hits]
        assert {hit.id for hit in hits} <= {found for found, _ in hits.stages[0].candidates}
        vectors = dict(QUERIES[:1].vectors())
        assert hits.stages[0].query_bytes == vectors[find].nbytes
        assert all(stage.milliseconds >= 0 for stage in hits.stages)

    @pytest.mark.parametrize("mode", VECTOR_MODES)
    def test_filter_holds_for_candidates_and_hits(self, open_store_under_test: OpenStore, mode: Any) -> None:
        store = filled(open_store_under_test(mode=mode, outputs=OUTPUTS))
        # 20 documents pass: were candidates not filtered, fewer than 20 of 20 candidates would be left.
        asked = {"limit": 20, "candidates": 20}
        hits = store.search_encoded(QUERIES[:1], filter=self.group_is(1), **asked)
        expected = plain_store().search_encoded(QUERIES[:1], mode=mode, filter=lambda p: p["group"] == 1, **asked)
        assert len(hits) == 20
        assert_same(hits, expected)

    def test_one_collection_is_searched_in_several_modes(self, open_store_under_test: OpenStore) -> None:
        store, plain = filled(open_store_under_test(mode="dense+rerank")), plain_store()
        for mode in ("dense", "native", "dense+rerank"):
            assert_same(store.search_encoded(QUERIES[:1], mode=mode), plain.search_encoded(QUERIES[:1], mode=mode))

    def test_ids_keep_their_type_and_value(self, open_store_under_test: OpenStore) -> None:
        ids = [1, "1", 0, "", -5, 2**63 - 1, -(2**63), "a/b c", "ключ", "a" * 1000]
        store = open_store_under_test(mode="native")
        store.add_encoded(DOCUMENTS[: len(ids)], ids=ids)
        assert store.count() == len(ids)
        found = [hit.id for hit in store.search_encoded(QUERIES[:1], limit=len(ids))]
        assert sorted(found, key=repr) == sorted(ids, key=repr)

    def test_an_id_twice_in_one_call_is_one_document(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(mode="native")
        report = store.add_encoded(DOCUMENTS[:3], ids=["a", "b", "a"], payloads=[{"n": 0}, {"n": 1}, {"n": 2}])
        assert report.added == 2
        assert {hit.id: hit.payload["n"] for hit in store.search_encoded(QUERIES[:1])} == {"a": 2, "b": 1}

    def test_the_same_id_again_replaces_vectors_and_payload(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(mode="native")
        store.add_encoded(DOCUMENTS[:2], ids=[0, 1], payloads=[{"old": True}, {}])
        store.add_encoded(DOCUMENTS[5:6], ids=[0], payloads=[{"new": True}])
        by_id = {hit.id: hit for hit in store.search_encoded(QUERIES[:1])}
        assert DOCUMENTS.tokens is not None
        assert QUERIES.tokens is not None
        assert by_id[0].score == pytest.approx(float(maxsim(QUERIES.tokens[0], DOCUMENTS.tokens[5:6])[0]), rel=1e-5)
        assert [by_id[0].payload, by_id[1].payload] == [{"new": True}, {}]

    def test_delete(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde+rerank"))
        store.delete([*range(50), "no such id"])
        assert store.count() == 10
        assert sorted(hit.id for hit in store.search_encoded(QUERIES[:1], limit=60)) == list(range(50, 60))
        store.add_encoded(DOCUMENTS[:1], ids=[0])
        assert store.count() == 11
        with pytest.raises(InputError, match="one str"):
            store.delete("0")

    def test_payloads_by_id(self, open_store_under_test: OpenStore) -> None:
        assert open_store_under_test(collection="none", mode="fde").payloads([1]) == {}
        store = filled(open_store_under_test(mode="fde+rerank"))
        store.add_encoded(DOCUMENTS[:1], ids=["3"], payloads=[{"text": "another"}])
        found = store.payloads([7, "no such id", "3", 3, 7])
        assert list(found.items()) == [(7, PAYLOADS[7]), ("3", {"text": "another"}), (3, PAYLOADS[3])]
        assert store.payloads([]) == {}
        with pytest.raises(InputError, match="one str"):
            store.payloads("3")

    def test_a_scan_reads_every_document_once(self, open_store_under_test: OpenStore) -> None:
        assert list(open_store_under_test(collection="none", mode="fde").scan(5)) == []
        store = open_store_under_test(mode="dense")
        many = random_texts(600, seed=3, longest=2)  # more than a page
        store.add_encoded(many, ids=[*range(599), "599"], payloads=[{"text": f"the {i}th"} for i in range(600)])
        found = list(store.scan(10_000))
        assert sorted(map(repr, found)) == sorted(repr((i, {"text": f"the {i}th"})) for i in [*range(599), "599"])
        assert [list(store.scan(most)) for most in (0, 1, 300)] == [found[:0], found[:1], found[:300]]

    def test_payload_comes_back_as_it_went_in(self, open_store_under_test: OpenStore) -> None:
        payload = {
            "text": "Zażółć\n\t\x00 🌊 עברית",
            "none": None,
            "list": [1, 2.5, -0.1, True, None, "x", [], {}],
            "nested": {"a.b": {"c": [{"d": 1e300}]}, "": 5e-324, "größe": 2**63 - 1, "least": -(2**63)},
            "false": False,
        }
        store = open_store_under_test(mode="native")
        store.add_encoded(DOCUMENTS[:1], ids=["x"], payloads=[payload])
        assert store.search_encoded(QUERIES[:1])[0].payload == payload

    def test_no_store_before_the_first_document(self, open_store_under_test: OpenStore) -> None:
        store = open_store_under_test(mode="native")
        assert store.count() == 0
        assert store.info is None
        store.delete([1])
        with pytest.raises(StoreError, match="does not exist yet"):
            store.search_encoded(QUERIES[:1])

    def test_nothing_added_makes_nothing(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        assert store.add([]) == AddReport()
        assert store.add_encoded(DOCUMENTS[:0], ids=[]) == AddReport()
        assert store.info is None

    def test_everything_deleted_finds_nothing(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde+rerank"))
        store.delete(list(range(60)))
        assert store.count() == 0
        assert store.search_encoded(QUERIES[:1]) == []

    def test_negative_scores_are_ranked(self, open_store_under_test: OpenStore) -> None:
        query = encode([np.eye(DIM, dtype=np.float32)[:1]], FDE, "query")
        documents = encode([-np.eye(DIM, dtype=np.float32)[:1] * (1 + i) for i in range(5)], FDE, "document")
        for mode in ("native", "fde+rerank"):
            store = open_store_under_test(collection=mode.replace("+", "-"), mode=mode)
            store.add_encoded(documents, ids=list(range(5)))
            hits = store.search_encoded(query, limit=5)
            assert [(hit.id, hit.score) for hit in hits] == [(i, pytest.approx(-1.0 - i)) for i in range(5)]

    @pytest.mark.parametrize(("limit", "candidates"), [(10, 9), (0, None), (-1, None)])
    def test_impossible_limits_are_refused(
        self, open_store_under_test: OpenStore, limit: int, candidates: int | None
    ) -> None:
        store = filled(open_store_under_test(mode="fde+rerank"))
        with pytest.raises(InputError, match=f"limit is {limit}"):
            store.search_encoded(QUERIES[:1], limit=limit, candidates=candidates)

    def test_a_mode_whose_vectors_are_not_stored_is_refused(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde"))
        with pytest.raises(ConfigurationError, match="needs tokens"):
            store.search_encoded(QUERIES[:1], mode="fde+rerank")

    def test_vectors_of_another_size_are_refused(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde+rerank"))
        narrow = Muvera(dim=8, repetitions=4, ksim=3, dproj=8)
        with pytest.raises(InputError, match="16"):
            store.add_encoded(random_texts(2, seed=3, fde=narrow), ids=[1, 2])
        with pytest.raises(InputError, match="16"):
            store.search_encoded(random_texts(1, seed=3, role="query", fde=narrow))
        with pytest.raises(ConfigurationError, match="fde missing"):
            store.add_encoded(Encoded(DOCUMENTS.tokens), ids=list(range(60)))
        assert store.count() == 60

    def test_a_broken_document_fails_alone(self, open_store_under_test: OpenStore) -> None:
        assert DOCUMENTS.fde is not None
        fde = DOCUMENTS.fde[:5].copy()
        fde[1, 3], fde[2, 0] = np.nan, np.inf
        payloads: list[Any] = [{}, {}, {}, {"when": {1, 2}}, {"ok": 1}]
        store = open_store_under_test(mode="fde+rerank")
        report = store.add_encoded(replace(DOCUMENTS[:5], fde=fde), ids=list("abcde"), payloads=payloads)
        assert report.added == store.count() == 2
        reasons = dict(report.failed)
        assert sorted(reasons) == ["b", "c", "d"]
        assert "NaN" in reasons["b"]
        assert "of type set" in reasons["d"]
        with pytest.raises(InputError, match="NaN"):
            store.search_encoded(replace(QUERIES[:1], fde=np.full((1, FDE.size), np.nan, np.float32)))

    @pytest.mark.parametrize(
        "payload",
        [
            {"a": float("nan")},
            {"a": 2**63},
            {"a": b"bytes"},
            {1: "int for a name"},
            {"a": "\ud800"},
            {"\ud800": 1},
            {"a": [object()]},
            eval("{'a':" * 70 + "0" + "}" * 70),
        ],
        ids=lambda payload: ascii(payload)[:20],
    )
    def test_a_payload_that_is_no_json_fails_alone(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer, payload: Any
    ) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        report = store.add(["one", "two", "three"], ids=["a", "b", "c"], payloads=[None, payload, None])
        assert [failed for failed, _ in report.failed] == ["b"]
        assert report.added == store.count() == 2

    def test_tokens_of_any_dtype(self, open_store_under_test: OpenStore) -> None:
        assert DOCUMENTS.tokens is not None
        for dtype in ("float16", "bfloat16", "int8"):
            narrower = replace(DOCUMENTS, tokens=DOCUMENTS.tokens.astype(dtype))
            store, plain = open_store_under_test(collection=dtype, mode="native"), BruteStore(mode="native")
            for each in (store, plain):
                each.add_encoded(narrower, ids=list(range(60)))
            assert_same(store.search_encoded(QUERIES[:1]), plain.search_encoded(QUERIES[:1]))

    def test_texts(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        texts = sentences(40)
        store = open_store_under_test(vectorizer=vectorizer, mode="fde+rerank")
        assert store.add(texts, ids=range(40), payloads=[{"n": i} for i in range(40)]).added == 40
        hits = store.search("wind and wave", limit=40)
        query = vectorizer.encode_query(["wind and wave"], outputs=("tokens",)).tokens
        documents = vectorizer.encode_document(texts, outputs=("tokens",)).tokens
        assert query is not None
        assert documents is not None
        exact = maxsim(query[0], documents)
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(exact)[::-1], rtol=1e-4)
        assert all(hit.payload == {"text": texts[hit.payload["n"]], "n": hit.id} for hit in hits)

    def test_same_text_is_skipped_changed_text_replaced(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer
    ) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        texts = ["the sea", "the shore", "the wall"]
        assert store.add(texts, ids=[1, 2, 3]) == AddReport(added=3)
        assert store.add(texts, ids=[1, 2, 3]) == AddReport(skipped=3)
        assert store.add(["the sea", "an oven", "the wall"], ids=[1, 2, 3]) == AddReport(added=1, skipped=2)
        assert store.add(["the sea"], ids=[1], payloads=[{"group": 1}]) == AddReport(added=1)
        payloads = {hit.id: hit.payload for hit in store.search("sea")}
        assert payloads == {1: {"text": "the sea", "group": 1}, 2: {"text": "an oven"}, 3: {"text": "the wall"}}

    def test_the_same_id_twice_in_texts(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        assert store.add(["first", "other", "last"], ids=["a", "b", "a"]) == AddReport(added=2, skipped=1)
        assert {hit.id: hit.payload["text"] for hit in store.search("last")} == {"a": "last", "b": "other"}

    def test_the_same_id_in_two_windows(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=vectorizer, mode="fde")
        first, second = sentences(300), [f"{text} again" for text in sentences(300)]
        assert store.add([*first, *second], ids=[*range(300), *range(300)]).added == 600
        assert store.payloads(range(300)) == {i: {"text": text} for i, text in enumerate(second)}
        assert store.add([*second, *second], ids=[*range(300), *range(300)]).skipped == 600

    def test_without_ids_a_text_is_stored_once(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        store = open_store_under_test(vectorizer=vectorizer)
        assert store.add(["one", "two", "one"]).added == 2
        assert store.add(["two", "three"]) == AddReport(added=1, skipped=1)
        assert store.count() == 3

    def test_a_stream_is_read_once_and_in_windows(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer
    ) -> None:
        store = open_store_under_test(vectorizer=vectorizer, mode="fde")
        counts: list[int] = []

        def texts() -> Iterator[str]:
            for i, text in enumerate(sentences(600)):
                if i % 300 == 299:
                    counts.append(store.count())
                yield text

        assert store.add(texts(), ids=iter(range(600)), payloads=({"n": i} for i in range(600))).added == 600
        assert store.count() == 600
        # The window before may be on its way still.
        assert counts[0] <= 256 <= counts[1] <= 512

    def test_an_interrupted_add_is_completed_by_the_same_call(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer
    ) -> None:
        store = open_store_under_test(vectorizer=vectorizer, mode="fde")
        texts = sentences(400)

        def broken() -> Iterator[str]:
            yield from texts[:300]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            store.add(broken(), ids=range(400)[:300].__iter__())
        assert store.count() == 256
        assert store.add(texts, ids=range(400)) == AddReport(added=144, skipped=256)
        assert store.count() == 400

    @pytest.mark.parametrize("lazily", [False, True])
    def test_columns_of_different_lengths_are_refused(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer, lazily: bool
    ) -> None:
        wrap: Any = iter if lazily else list
        store = open_store_under_test(vectorizer=vectorizer)
        with pytest.raises(InputError, match="expected as many of each"):
            store.add(wrap(["a", "b"]), ids=wrap([1]))
        with pytest.raises(InputError, match="expected as many of each"):
            store.add(wrap(["a", "b"]), payloads=wrap([{}, {}, {}]))
        with pytest.raises(InputError, match="expected as many of each"):
            store.add_encoded(DOCUMENTS[:2], ids=[1, 2, 3])
        assert store.count() == 0

    def test_a_closed_store_says_so(self, open_store_under_test: OpenStore) -> None:
        store = filled(open_store_under_test(mode="fde+rerank"))
        store.close()
        store.close()
        calls: list[Callable[[], object]] = [
            store.count,
            lambda: store.add(["x"]),
            lambda: store.add_encoded(DOCUMENTS[:1], ids=[1]),
            lambda: store.search("x"),
            lambda: store.search_encoded(QUERIES[:1]),
            lambda: store.delete([1]),
            lambda: store.payloads([1]),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="closed"):
                call()


class KeptStoreSuite(StoreSuite):
    """A store whose collections outlive it."""

    def test_reopened_it_knows_its_model_and_mode(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer
    ) -> None:
        as_reopened = Vectorizer(vectorizer.model, fde=FDE)
        with open_store_under_test(vectorizer=as_reopened, mode="native", outputs=OUTPUTS) as store:
            store.add(sentences(20), ids=range(20))
            before = store.search("wind and wave")
        with open_store_under_test() as store:
            assert store.mode == "native"
            assert store.count() == 20
            assert_same(store.search("wind and wave"), before)
            assert store.vectorizer.fingerprint == vectorizer.fingerprint
            assert store.add(sentences(25), ids=range(25)) == AddReport(added=5, skipped=20)

    def test_reopened_it_cuts_as_it_was_made(self, open_store_under_test: OpenStore, vectorizer: Vectorizer) -> None:
        recipe: dict[str, Any] = {"document_length": 9, "query_length": 8, "pool_factor": 1.5, "dimensions": 12}
        fde = replace(FDE, unit_norm=True)
        cutting = Vectorizer(vectorizer.model, fde=fde, **recipe)
        config = IndexConfig(mode="fde+rerank", candidates=7)
        with open_store_under_test(vectorizer=cutting, config=config) as store:
            store.add(sentences(20), ids=range(20))
            before = store.search("wind and wave", limit=5)
        with open_store_under_test() as store:
            assert store.vectorizer.fingerprint == cutting.fingerprint
            assert store.vectorizer.fde == fde
            assert store.info is not None
            assert (store.info.candidates, store.info.dims["tokens"]) == (7, 12)
            assert_same(store.search("wind and wave", limit=5), before)
            explained = store.search("wind and wave", limit=5, explain=True)
            assert [len(stage.candidates) for stage in explained.stages[1:]] == [7, 5]
            assert store.add(sentences(21), ids=range(21)) == AddReport(added=1, skipped=20, truncated=1)
        other = Vectorizer(vectorizer.model, fde=fde, **{**recipe, "document_length": 8})
        with pytest.raises(FingerprintError) as caught:
            open_store_under_test(vectorizer=other)
        assert cutting.fingerprint in str(caught.value)
        assert other.fingerprint in str(caught.value)

    def test_another_fde_or_model_is_refused(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer, another_vectorizer: Vectorizer
    ) -> None:
        with open_store_under_test(vectorizer=vectorizer) as store:
            store.add(["the sea"])
        other_fde = Vectorizer(vectorizer.model, fde=replace(FDE, seed=43), device="cpu", dtype="float32")
        for other in (other_fde, another_vectorizer):
            with pytest.raises(FingerprintError) as caught:
                open_store_under_test(vectorizer=other)
            for each in (vectorizer, other):
                assert each.fingerprint in str(caught.value)
                assert each.fde is not None
                assert each.fde.fingerprint in str(caught.value)
        with open_store_under_test(vectorizer=vectorizer) as store:  # the refused left nothing locked
            assert store.count() == 1

    def test_a_mode_that_was_not_stored_is_refused(self, open_store_under_test: OpenStore) -> None:
        filled(open_store_under_test(mode="fde")).close()
        with pytest.raises(ConfigurationError, match="needs tokens"):
            open_store_under_test(mode="native")
        assert open_store_under_test(mode="fde").count() == 60

    def test_vectors_made_elsewhere_are_searched_by_vectors(
        self, open_store_under_test: OpenStore, vectorizer: Vectorizer
    ) -> None:
        filled(open_store_under_test(mode="fde+rerank")).close()
        with open_store_under_test() as store:
            assert_same(store.search_encoded(QUERIES[:1]), plain_store().search_encoded(QUERIES[:1], mode="fde+rerank"))
            with pytest.raises(ConfigurationError, match="made elsewhere"):
                store.search("a question")
        with pytest.raises(FingerprintError, match="vectors given"):
            open_store_under_test(vectorizer=vectorizer)

    def test_collections_are_apart(self, open_store_under_test: OpenStore) -> None:
        one, two = (
            open_store_under_test(collection="one", mode="fde"),
            open_store_under_test(collection="two", mode="native"),
        )
        one.add_encoded(DOCUMENTS[:3], ids=[1, 2, 3])
        two.add_encoded(DOCUMENTS[:1], ids=[1])
        assert (one.count(), two.count()) == (3, 1)
        assert one.info is not None
        assert two.info is not None
        assert set(one.info.dims) != set(two.info.dims)
