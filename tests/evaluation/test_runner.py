import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import vectorplug.evaluation.runner as runner
from vectorplug import Vectorizer, maxsim
from vectorplug.errors import ConfigurationError, InputError, PartialFailureError, StoreError
from vectorplug.evaluation import BeirCollection, Document, Evaluation, evaluate
from vectorplug.search import VECTOR_MODES
from vectorplug.search.brute import BruteStore, MemoryCollection

WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat")


def collection_of(texts: list[str]) -> BeirCollection:
    documents = tuple(Document(f"d{i}", text, {}) for i, text in enumerate(texts))
    queries = {f"q{i}": f"{word} wall" for i, word in enumerate(WORDS)}
    answers = [[d.id for d in documents if word in d.text] or [documents[0].id] for word in WORDS]
    qrels = {query: dict.fromkeys(ids, 1) for query, ids in zip(queries, answers, strict=True)}
    return BeirCollection("mini", documents, queries, qrels)


@pytest.fixture(scope="module")
def mini() -> BeirCollection:
    """120 documents of three words each, no two alike."""
    triples = itertools.islice(itertools.combinations(WORDS, 3), 120)
    return collection_of([f"the {a} of {b} and {c}" for a, b, c in triples])


@pytest.fixture(scope="module")
def colbert(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def dense(tiny_dense: Path) -> Vectorizer:
    return Vectorizer(str(tiny_dense), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def everything(mini: BeirCollection, colbert: Vectorizer) -> Evaluation:
    return evaluate(mini, colbert, candidates=len(mini.documents))


def test_native_is_exact_maxsim(everything: Evaluation) -> None:
    assert list(everything.modes) == list(VECTOR_MODES)
    assert everything.modes["native"].overlap_at_10 == 1.0
    assert 0 < everything.modes["fde"].overlap_at_10 < 1


@pytest.mark.parametrize("mode", ["fde+rerank", "dense+rerank"])
def test_all_documents_ranked_again_are_native(everything: Evaluation, mode: Any) -> None:
    native, reranked = everything.modes["native"], everything.modes[mode]
    assert reranked.overlap_at_10 == 1.0
    assert (reranked.ndcg_at_10, reranked.recall_at_100) == (native.ndcg_at_10, native.recall_at_100)
    assert 0 < native.ndcg_at_10 != everything.modes["dense"].ndcg_at_10


def test_the_whole_is_described(everything: Evaluation, colbert: Vectorizer) -> None:
    assert (everything.collection, everything.model, everything.store) == ("mini", colbert.model, "memory:")
    assert (everything.documents, everything.queries, everything.truncated) == (120, 10, 0)
    assert colbert.fingerprint in everything.fingerprint
    assert colbert.fde is not None
    assert colbert.fde.fingerprint in everything.fingerprint
    assert everything.documents_per_second > 0
    assert 0 < everything.ms_per_query_encoding.p50 <= everything.ms_per_query_encoding.p95


def test_bytes_are_of_the_vectors_that_the_mode_needs(
    everything: Evaluation, mini: BeirCollection, colbert: Vectorizer
) -> None:
    encoded = colbert.encode_document([document.text for document in mini.documents])
    assert encoded.tokens is not None
    tokens, fde, dense = encoded.tokens.nbytes / 120, 20 * 32 * 16 * 4, 16 * 4
    expected = {
        "native": {"tokens": tokens},
        "fde": {"fde": fde},
        "fde+rerank": {"tokens": tokens, "fde": fde},
        "dense": {"dense": dense},
        "dense+rerank": {"tokens": tokens, "dense": dense},
    }
    for mode, parts in expected.items():
        result = everything.modes[mode]  # type: ignore[index]
        assert result.bytes_by_vectors == pytest.approx(parts)
        assert result.bytes_per_document == pytest.approx(sum(parts.values()))


def test_json(everything: Evaluation) -> None:
    written = json.loads(json.dumps(everything.model_dump(mode="json", by_alias=True)))
    assert (written["collection"], written["model"]) == ("mini", everything.model)
    assert list(written["modes"]) == list(VECTOR_MODES)
    native = written["modes"]["native"]
    promised = {"ndcg@10", "recall@100", "overlap@10", "bytes_per_document", "ms_per_query"}
    assert native.keys() == promised | {"bytes_by_vectors", "candidates"}
    assert native["ms_per_query"].keys() == {"p50", "p95"}
    assert native["ndcg@10"] == everything.modes["native"].ndcg_at_10
    assert (native["candidates"], written["modes"]["fde+rerank"]["candidates"]) == (None, 120)


def test_candidates_are_exactly_those_that_maxsim_ranks(
    mini: BeirCollection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, ranked = [], []
    search = MemoryCollection.search

    def recording(self: Any, query: Any, plan: Any, limit: int, filter: Any, candidates: int) -> Any:
        searched.append((plan.find, limit))
        return search(self, query, plan, limit, filter, candidates)

    def counting(query: Any, documents: Any, *, candidates: Any = None) -> Any:
        ranked.append(len(candidates))
        return maxsim(query, documents, candidates=candidates)

    monkeypatch.setattr(MemoryCollection, "search", recording)
    monkeypatch.setattr("vectorplug.search.brute.maxsim", counting)
    few = evaluate(mini, dense, ["fde", "fde+rerank"], candidates=7)
    assert set(searched) == {("fde", 100), ("fde", 7)}
    assert set(ranked) == {7}
    assert (few.modes["fde"].candidates, few.modes["fde+rerank"].candidates) == (None, 7)
    assert few.modes["fde+rerank"].overlap_at_10 <= 0.7
    ranked.clear()
    evaluate(mini, dense, ["dense+rerank"], candidates=110)
    assert set(ranked) == {110}


def test_overlap_needs_no_tokens_in_the_store(
    mini: BeirCollection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = []
    upsert = MemoryCollection.upsert

    def recording(self: Any, rows: Any) -> None:
        stored.extend(name for name, _ in rows.encoded.vectors())
        upsert(self, rows)

    monkeypatch.setattr(MemoryCollection, "upsert", recording)
    alone = evaluate(mini, dense, ["dense"]).modes["dense"]
    assert set(stored) == {"dense"}
    beside = evaluate(mini, dense, ["dense", "native", "dense"])
    assert list(beside.modes) == ["native", "dense"]
    assert alone.overlap_at_10 == beside.modes["dense"].overlap_at_10 < 1


def test_every_text_is_encoded_once(tiny_dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectorizer = Vectorizer(str(tiny_dense), device="cpu", dtype="float32")
    seen: list[str] = []
    encode = vectorizer.encode_document

    def recording(texts: list[str], **options: Any) -> Any:
        seen.extend(texts)
        return encode(texts, **options)

    monkeypatch.setattr(vectorizer, "encode_document", recording)
    many = collection_of([f"{'sea ' * (i % 9)} {i}" for i in range(600)])
    evaluation = evaluate(many, vectorizer, ["native", "dense"])
    assert seen == [document.text for document in many.documents]
    assert evaluation.documents == 600
    assert evaluation.modes["native"].overlap_at_10 == 1.0


def test_cut_and_empty_documents_and_notes(dense: Vectorizer) -> None:
    plain = collection_of(["sea " * 100, "", *WORDS])
    evaluation = evaluate(BeirCollection("mini", plain.documents, plain.queries, plain.qrels, ("a note.",)), dense)
    assert (evaluation.documents, evaluation.truncated, evaluation.notes) == (12, 1, ("a note.",))
    assert all(result.recall_at_100 == 1.0 for result in evaluation.modes.values())


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (["fast"], "mode 'fast' is not one of native"),
        ([], "there is no mode to evaluate"),
        (["dense", "fde"], "mode 'fde' needs fde, the vectorizer gives tokens, dense: leave the mode out, or make"),
    ],
)
def test_wrong_modes_are_refused(mini: BeirCollection, tiny_dense: Path, modes: list[str], message: str) -> None:
    vectorizer = Vectorizer(str(tiny_dense), fde=None, device="cpu", dtype="float32")
    with pytest.raises(ConfigurationError, match=message):
        evaluate(mini, vectorizer, modes)


def test_no_candidates_are_refused(mini: BeirCollection, dense: Vectorizer) -> None:
    with pytest.raises(ConfigurationError, match="candidates is 0, expected at least 1"):
        evaluate(mini, dense, candidates=0)


def test_a_text_that_cannot_be_encoded_is_named(mini: BeirCollection, dense: Vectorizer) -> None:
    texts = [f"sea {i}" for i in range(300)]
    texts[290] = "half \ud800"
    with pytest.raises(InputError, match=r"document 'd290': text .* half a character"):
        evaluate(collection_of(texts), dense, ["dense"])
    queries = mini.queries | {"q3": "half \ud800"}
    with pytest.raises(InputError, match=r"query 'q3': text 0 .* half a character"):
        evaluate(BeirCollection("mini", mini.documents, queries, mini.qrels), dense, ["dense"])


def test_documents_that_the_store_refuses_end_it(mini: BeirCollection, dense: Vectorizer) -> None:
    refused = (*mini.documents, Document("\ud800", "sea", {}))
    with pytest.raises(PartialFailureError, match="the store refused 1 documents") as caught:
        evaluate(BeirCollection("mini", refused, mini.queries, mini.qrels), dense, ["dense"])
    assert [name for name, _ in caught.value.failed] == ["\ud800"]


def test_a_store_that_holds_other_documents_is_refused(
    mini: BeirCollection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(url: str, **options: Any) -> BruteStore:
        store = BruteStore(url, **options)
        store.add(["another"], ids=["another"])
        return store

    monkeypatch.setattr(runner, "open_store", used)
    with pytest.raises(StoreError, match="'eval-mini' holds 121 documents where 120 were written"):
        evaluate(mini, dense, ["dense"])


def test_bars_are_shown_where_they_are_wanted(
    mini: BeirCollection, dense: Vectorizer, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(mini, dense, ["dense"])
    assert capsys.readouterr() == ("", "")
    evaluate(mini, dense, ["dense"], show_progress_bar=True)
    shown = capsys.readouterr().err
    assert "Encoding queries" in shown
    assert "120/120" in shown
    assert "Searching (dense)" in shown
