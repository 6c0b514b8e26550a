import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import vectorplug.evaluation.runner as runner
from vectorplug import Vectorizer, maxsim
from vectorplug.errors import ConfigurationError, InputError, PartialFailureError, StoreError
from vectorplug.evaluation import Collection, Document, Evaluation, evaluate
from vectorplug.search import VECTOR_MODES
from vectorplug.search.brute import BruteStore, MemoryCollection

WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat")


def collection_of(texts: list[str]) -> Collection:
    documents = tuple(Document(f"d{i}", text, {}) for i, text in enumerate(texts))
    queries = {f"q{i}": f"{word} wall" for i, word in enumerate(WORDS)}
    answers = [[d.id for d in documents if word in d.text] or [documents[0].id] for word in WORDS]
    qrels = {query: dict.fromkeys(ids, 1) for query, ids in zip(queries, answers, strict=True)}
    return Collection("mini", documents, queries, qrels)


@pytest.fixture(scope="module")
def mini() -> Collection:
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
def everything(mini: Collection, colbert: Vectorizer) -> Evaluation:
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
    everything: Evaluation, mini: Collection, colbert: Vectorizer
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
    judged = {"mrr@10", "recall@10", "recall@1000", "success@1", "success@5", "success@10"}
    assert native.keys() == promised | judged | {
        "10r@100",
        "rbo",
        "intervals",
        "p_value",
        "bytes_by_vectors",
        "candidates",
    }
    assert native["intervals"].keys() == judged | {"ndcg@10", "recall@100", "overlap@10", "10r@100", "rbo"}
    for name, made in native["intervals"].items():
        assert 0 <= made["low"] <= made["mean"] == native[name] <= made["high"] <= 1
    assert native["ms_per_query"].keys() == {"p50", "p95"}
    assert native["ndcg@10"] == everything.modes["native"].ndcg_at_10
    assert (native["candidates"], written["modes"]["fde+rerank"]["candidates"]) == (None, 120)


def test_candidates_are_exactly_those_that_maxsim_ranks(
    mini: Collection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
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
    assert set(searched) == {("fde", 100), ("fde", 7), ("fde", 1000)}  # the last for Recall@1000, untimed
    assert set(ranked) == {7}
    assert (few.modes["fde"].candidates, few.modes["fde+rerank"].candidates) == (None, 7)
    assert few.modes["fde+rerank"].overlap_at_10 <= 0.7
    ranked.clear()
    evaluate(mini, dense, ["dense+rerank"], candidates=110)
    assert set(ranked) == {110}


def test_overlap_needs_no_tokens_in_the_store(
    mini: Collection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
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
    evaluation = evaluate(Collection("mini", plain.documents, plain.queries, plain.qrels, ("a note.",)), dense)
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
def test_wrong_modes_are_refused(mini: Collection, tiny_dense: Path, modes: list[str], message: str) -> None:
    vectorizer = Vectorizer(str(tiny_dense), fde=None, device="cpu", dtype="float32")
    with pytest.raises(ConfigurationError, match=message):
        evaluate(mini, vectorizer, modes)


def test_no_candidates_are_refused(mini: Collection, dense: Vectorizer) -> None:
    with pytest.raises(ConfigurationError, match="candidates is 0, expected at least 1"):
        evaluate(mini, dense, candidates=0)


def test_a_text_that_cannot_be_encoded_is_named(mini: Collection, dense: Vectorizer) -> None:
    texts = [f"sea {i}" for i in range(300)]
    texts[290] = "half \ud800"
    with pytest.raises(InputError, match=r"document 'd290': text .* half a character"):
        evaluate(collection_of(texts), dense, ["dense"])
    queries = mini.queries | {"q3": "half \ud800"}
    with pytest.raises(InputError, match=r"query 'q3': text 0 .* half a character"):
        evaluate(Collection("mini", mini.documents, queries, mini.qrels), dense, ["dense"])


def test_documents_that_the_store_refuses_end_it(mini: Collection, dense: Vectorizer) -> None:
    refused = (*mini.documents, Document("\ud800", "sea", {}))
    with pytest.raises(PartialFailureError, match="the store refused 1 documents") as caught:
        evaluate(Collection("mini", refused, mini.queries, mini.qrels), dense, ["dense"])
    assert [name for name, _ in caught.value.failed] == ["\ud800"]


def test_a_store_that_holds_other_documents_is_refused(
    mini: Collection, dense: Vectorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(url: str, **options: Any) -> BruteStore:
        store = BruteStore(url, **options)
        store.add(["another"], ids=["another"])
        return store

    monkeypatch.setattr(runner, "open_store", used)
    with pytest.raises(StoreError, match="'eval-mini' holds 121 documents where 120 were written"):
        evaluate(mini, dense, ["dense"])


def test_bars_are_shown_where_they_are_wanted(
    mini: Collection, dense: Vectorizer, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(mini, dense, ["dense"])
    assert capsys.readouterr() == ("", "")
    evaluate(mini, dense, ["dense"], show_progress_bar=True)
    shown = capsys.readouterr().err
    assert "Encoding queries" in shown
    assert "Encoding documents" in shown
    assert "120/120" in shown
    assert "Searching (dense)" in shown


def test_without_judgements_the_target_is_exact_maxsim(mini: Collection, dense: Vectorizer) -> None:
    judged = evaluate(mini, dense, candidates=20)
    outcome = evaluate(Collection("mini", mini.documents, mini.queries, {}), dense, candidates=20)
    assert (outcome.target, outcome.compared) == (
        "exact MaxSim over all 120 documents; nothing is judged",
        "overlap@10",
    )
    for mode, figures in outcome.modes.items():
        assert figures.ndcg_at_10 is figures.mrr_at_10 is figures.recall_at_1000 is figures.success_at_5 is None
        assert figures.intervals.keys() == {"overlap@10", "10r@100", "rbo"}
        assert figures.overlap_at_10 == judged.modes[mode].overlap_at_10
    native, alone = outcome.modes["native"], outcome.modes["dense"]
    assert (native.overlap_at_10, native.exact_10_in_100, native.rbo, native.p_value) == pytest.approx((1, 1, 1, None))
    assert alone.overlap_at_10 < alone.exact_10_in_100 < 1
    assert alone.p_value is not None
    assert alone.p_value < 0.05


def test_questions_are_drawn_where_there_are_none(mini: Collection, dense: Vectorizer) -> None:
    outcome = evaluate(Collection("mini", mini.documents, {}, {}), dense, ["native", "dense"], queries=15)
    assert outcome.queries == 15
    assert outcome.notes[0].startswith(
        "no queries were given: 15 were drawn from the 120 documents (15 first sentences"
    )
    texts = {document.id: document.text for document in mini.documents}
    for query in outcome.per_query:
        assert query.text == texts[query.id]
        assert query.id not in query.exact
        assert len(query.exact) == 10
    assert outcome.modes["native"].overlap_at_10 == 1


def test_losers_are_those_that_lose_most(everything: Evaluation, mini: Collection) -> None:
    figures = {query.id: query.figures for query in everything.per_query}
    assert list(figures) == list(mini.queries)
    assert "native" not in everything.losers
    for mode in ("fde", "dense"):
        losses = {
            query: each["native"]["ndcg@10"] - each[mode]["ndcg@10"]  # type: ignore[index]
            for query, each in figures.items()
        }
        lost = everything.losers[mode]  # type: ignore[index]
        assert lost
        assert [each.native - each.value for each in lost] == sorted(
            (loss for loss in losses.values() if loss > 0), reverse=True
        )
        for each in lost:
            assert each.native - each.value == losses[each.id]
            assert each.text == mini.queries[each.id]
    texts = {document.id: document.text for document in mini.documents}
    for query in everything.per_query:
        assert query.missed["native"] == ()
        for mode, missed in query.missed.items():
            assert set(missed) <= set(query.exact)
            assert query.figures[mode]["overlap@10"] == pytest.approx(1 - len(missed) / 10)
    for each in everything.losers["fde"]:
        query = next(query for query in everything.per_query if query.id == each.id)
        assert sorted(missed.id for missed in each.missed) == sorted(query.missed["fde"])
        for missed in each.missed:
            assert (missed.text, missed.rank) == (texts[missed.id], query.exact.index(missed.id) + 1)
            assert missed.grade == mini.qrels[each.id].get(missed.id)
        judged = [missed.grade or 0 for missed in each.missed]
        assert judged == sorted(judged, reverse=True)


def test_copies_of_one_text_are_no_loss(dense: Vectorizer) -> None:
    given = collection_of(["the sea of ship"] * 30)
    outcome = evaluate(Collection("mini", given.documents, given.queries, {}), dense, candidates=10)
    for figures in outcome.modes.values():
        assert figures.overlap_at_10 == figures.exact_10_in_100 == 1
        assert figures.p_value in (None, 1)


def test_one_document_and_one_query(dense: Vectorizer) -> None:
    given = Collection("one", (Document("d", "the sea", {}),), {"q": "sea"}, {"q": {"d": 1}})
    outcome = evaluate(given, dense)
    assert all(figures.ndcg_at_10 == figures.overlap_at_10 == 1 for figures in outcome.modes.values())
    assert outcome.modes["dense"].intervals["ndcg@10"].low is None
    assert outcome.notes == (
        "there are 1 documents: whoever asks for 10 finds them all, in any mode.",
        "there is one query: it has no interval and no p-value.",
    )
    with pytest.raises(InputError, match="has one document and no queries"):
        evaluate(Collection("one", given.documents, {}, {}), dense)


def test_what_is_encoded_is_kept(mini: Collection, tiny_dense: Path, tmp_path: Path) -> None:
    vectorizer = Vectorizer(str(tiny_dense), device="cpu", dtype="float32")
    first = evaluate(mini, vectorizer, ["native", "fde"], cache=tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("encoded again")

    vectorizer.encode_document = vectorizer.encode_query = refuse  # type: ignore[method-assign]
    again = evaluate(mini, vectorizer, ["native", "fde"], cache=tmp_path)
    assert again.per_query == first.per_query
    assert again.documents_per_second == first.documents_per_second
