from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from corpus import WordVectorizer, sentences

import vectorplug.evaluation.stored as stored
from vectorplug import maxsim
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.evaluation import Rankings, evaluate_store, recall_of
from vectorplug.search.brute import BruteStore, MemoryCollection

TEXTS = sentences(300)
QUERIES = {f"q{i}": text for i, text in enumerate(sentences(330)[300:])}
OUTPUTS = ("tokens", "fde", "dense")


def store_of(texts: Sequence[Any] = TEXTS, outputs: Any = OUTPUTS, mode: Any = None, field: str = "text") -> BruteStore:
    store = BruteStore(vectorizer=WordVectorizer(), outputs=outputs, mode=mode or "fde+rerank")
    encoded = WordVectorizer().encode_document(
        [text or "no" for text in texts], outputs=outputs, show_progress_bar=False
    )
    store.add_encoded(encoded, ids=list(range(len(texts))), payloads=[{field: text} for text in texts])
    return store


def share(kind: str, candidates: int | None = None) -> float:
    """The share of the exact top 10 that a ranking by `kind` has in its first ten."""
    documents = WordVectorizer().encode_document(TEXTS, outputs=OUTPUTS, show_progress_bar=False)
    queries = WordVectorizer().encode_query(list(QUERIES.values()), outputs=OUTPUTS, show_progress_bar=False)
    assert documents.tokens is not None
    assert queries.tokens is not None
    exact = maxsim(queries.tokens, documents.tokens)
    scores = getattr(queries, kind) @ getattr(documents, kind).T
    found = np.argsort(-scores, axis=1, kind="stable")[:, : candidates or 10]
    if candidates:
        again = np.argsort(-np.take_along_axis(exact, found, axis=1), axis=1, kind="stable")[:, :10]
        found = np.take_along_axis(found, again, axis=1)
    ranked = Rankings.of_lists(found.tolist(), np.zeros(found.shape).tolist(), 10)
    return float(recall_of(ranked, Rankings.of_scores(exact, 300), 10, 10).mean())


def test_a_collection_that_can_be_read_whole() -> None:
    store = store_of()
    outcome = evaluate_store(store, queries=QUERIES, candidates=20)
    assert outcome.target == "exact MaxSim over all 300 documents, encoded again; nothing is judged"
    assert (outcome.documents, outcome.queries, outcome.compared) == (300, 30, "overlap@10")
    assert list(outcome.modes) == ["native", "fde", "fde+rerank", "dense", "dense+rerank"]
    assert outcome.modes["native"].overlap_at_10 == 1
    assert outcome.modes["fde"].overlap_at_10 == pytest.approx(share("fde"))
    assert outcome.modes["dense+rerank"].overlap_at_10 == pytest.approx(share("dense", 20))
    assert outcome.modes["fde+rerank"].candidates == 20
    assert outcome.modes["fde"].ndcg_at_10 is None
    assert outcome.modes["fde"].bytes_per_document == store.vectorizer.dims["fde"] * 4
    assert outcome.notes == ()


@pytest.mark.parametrize("outputs", [("fde",), ("dense",), ("dense", "fde")])
def test_no_tokens_are_needed_where_it_is_read_whole(outputs: Any) -> None:
    outcome = evaluate_store(store_of(outputs=outputs, mode=outputs[0]), queries=QUERIES)
    assert set(outcome.modes) == set(outputs)
    for kind in outputs:
        assert outcome.modes[kind].overlap_at_10 == pytest.approx(share(kind))
        assert outcome.modes[kind].p_value is not None  # of the difference from exact MaxSim itself


def test_a_larger_collection_is_compared_with_its_own_maxsim(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    scan = MemoryCollection.scan

    def counting(self: Any, most: int) -> Any:
        for each in scan(self, most):
            read.append(each)
            yield each

    monkeypatch.setattr(MemoryCollection, "scan", counting)
    monkeypatch.setattr(stored, "SAMPLED", 40)
    whole = evaluate_store(store_of(), queries=QUERIES)
    read.clear()
    outcome = evaluate_store(store_of(), queries=QUERIES, documents=100)
    assert len(read) == 40
    assert outcome.target == (
        "the store's exact MaxSim over all 300 documents, as native ranks them; nothing is judged"
    )
    assert outcome.notes == ("40 of 300 documents were read, the first in the database's own order.",)
    for mode, figures in whole.modes.items():
        assert outcome.modes[mode].overlap_at_10 == pytest.approx(figures.overlap_at_10), mode
        assert outcome.modes[mode].rbo == pytest.approx(figures.rbo), mode
    missed = outcome.losers["fde"][0].missed[0]
    assert missed.text == TEXTS[int(missed.id)]


def test_a_collection_too_large_for_native_is_compared_with_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_NATIVE", 200)
    monkeypatch.setattr(stored, "POOL", 60)
    monkeypatch.setattr(stored, "POOLED_HITS", 30)
    outcome = evaluate_store(store_of(), queries=QUERIES, documents=100, candidates=60)
    assert "native" not in outcome.modes
    assert outcome.target.startswith(
        "the store's exact MaxSim among the 60 candidates of fde+rerank and of dense+rerank out of 300 documents: an "
        "upper bound"
    )
    # Both pools together hold at least what each of them finds, and less than everything.
    for kind in ("fde", "dense"):
        found = outcome.modes[f"{kind}+rerank"].overlap_at_10  # type: ignore[index]
        assert share(kind, 60) <= found <= 1
    assert outcome.modes["fde"].overlap_at_10 < 1


def test_a_larger_collection_without_tokens_says_what_to_do() -> None:
    with pytest.raises(
        InputError, match=r"holds 300 documents, more than are read .* and no tokens: .* --documents 300"
    ):
        evaluate_store(store_of(outputs=("fde",), mode="fde"), queries=QUERIES, documents=100)


def test_questions_are_drawn_and_their_documents_left_out() -> None:
    outcome = evaluate_store(store_of(), questions=25)
    assert outcome.queries == 25
    assert outcome.notes[0].startswith(
        "no queries were given: 25 were drawn from the 300 documents (25 first sentences"
    )
    assert outcome.modes["native"].overlap_at_10 == 1
    for query in outcome.per_query:
        assert TEXTS[int(query.id)].startswith(query.text)
        assert query.id not in query.exact
        assert len(query.exact) == 10
    pooled = evaluate_store(store_of(), questions=25, documents=299)
    assert all(query.id not in query.exact for query in pooled.per_query)
    assert pooled.modes["native"].overlap_at_10 == 1


def test_judgements_of_a_store() -> None:
    queries = dict(list(QUERIES.items())[:3])
    qrels = {"q0": {"5": 1}, "q2": {"7": 2, "250": 1}, "other": {"1": 1}}
    outcome = evaluate_store(store_of(), queries=queries, qrels=qrels)
    assert (outcome.queries, outcome.compared) == (2, "ndcg@10")
    assert outcome.modes["native"].recall_at_1000 == 1
    assert outcome.target.startswith("people's judgements; overlap and RBO: exact MaxSim over all 300 documents")
    with pytest.raises(InputError, match="none of the 3 queries is judged"):
        evaluate_store(store_of(), queries=queries, qrels={"x": {"5": 1}})
    with pytest.raises(ConfigurationError, match="judgements and no queries"):
        evaluate_store(store_of(), qrels=qrels)


def test_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of()
    for name in ("upsert", "create", "delete", "finish", "extend", "fill"):
        monkeypatch.setattr(MemoryCollection, name, None)
    assert evaluate_store(store, ["fde"], queries=QUERIES).documents == 300
    assert evaluate_store(store, ["fde"], queries=QUERIES, documents=10).documents == 300


def test_texts_in_another_field_and_documents_without_one() -> None:
    texts = [None if i % 100 == 7 else text for i, text in enumerate(TEXTS)]
    store = store_of(texts, field="body")
    outcome = evaluate_store(store, ["native"], queries=QUERIES, field="body")
    assert outcome.notes == ("3 documents have no text in 'body': they are in no exact ranking.",)
    with pytest.raises(InputError, match=r"none of the 300 documents read from collection 'docs' has a text .* 'text'"):
        evaluate_store(store, queries=QUERIES)


def test_what_cannot_be_evaluated() -> None:
    with pytest.raises(StoreError, match="collection 'docs' does not exist: there is nothing to evaluate"):
        evaluate_store(BruteStore(vectorizer=WordVectorizer()))
    empty = store_of(TEXTS[:1])
    empty.delete([0])
    with pytest.raises(InputError, match="collection 'docs' holds no document"):
        evaluate_store(empty)
    with pytest.raises(ConfigurationError, match="mode 'dense' needs dense"):
        evaluate_store(store_of(outputs=("fde",), mode="fde"), ["dense"], queries=QUERIES)
