"""Tuning on a collection of words: what is predicted is what a store does."""

import itertools
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from corpus import WordVectorizer

import vectorplug.evaluation.tuning.cut_queries as cut_queries_module
import vectorplug.evaluation.tuning.kept_tokens as kept_tokens
import vectorplug.evaluation.tuning.tuner as tuner
from vectorplug import MultiVectors, Muvera
from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.evaluation import Collection, Document, Workload, encode_workload
from vectorplug.evaluation.questions import draw_questions
from vectorplug.evaluation.report import write
from vectorplug.evaluation.token_curve import token_curve
from vectorplug.evaluation.tuning import Budget, Tuning, lemur_family, tune
from vectorplug.evaluation.tuning.finders import dense_found, found_by
from vectorplug.evaluation.tuning.kept_tokens import KeptTokens, scored_tokens
from vectorplug.evaluation.tuning.lemur_family import LemurFamily
from vectorplug.evaluation.tuning.muvera_family import MuveraFamily
from vectorplug.evaluation.tuning.picturing import sections, summary
from vectorplug.evaluation.tuning.storage import PLAIN, QDRANT
from vectorplug.evaluation.tuning.timing import Line, Sizes, Speed, speed_of
from vectorplug.maxsim import maxsim
from vectorplug.search.brute import BruteStore
from vectorplug.search.config import IndexConfig, LemurConfig, MuveraConfig

DOCUMENTS, QUERIES = 200, 25
SIZES = Sizes(numbers=16, megabytes=(0.01, 0.02), candidates=(10, 20))
SMALL = [{"repetitions": 4, "ksim": 2, "dproj": 8}, {"repetitions": 10, "ksim": 3, "dproj": 8, "unit_norm": True}]


def collection_of(documents: int = DOCUMENTS, queries: int = QUERIES, words: int = 4) -> Collection:
    rng = np.random.default_rng(0)

    def text(count: int) -> str:
        return " ".join(f"w{i}" for i in rng.integers(0, 150, count))

    found = tuple(Document(f"d{i}", text(12), {}) for i in range(documents))
    return Collection("words", found, {f"q{i}": text(words) for i in range(queries)}, {})


@pytest.fixture(scope="module")
def workload() -> Workload:
    return encode_workload(collection_of(), WordVectorizer(), cache=None, show_progress_bar=False)


@pytest.fixture
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two FDEs instead of a search for them, and the milliseconds of no machine."""
    speed = Speed(Line(1, 0.1), Line(0, 0.5), None, ("fixed",))
    monkeypatch.setattr(tuner, "speed_of", lambda *_, **__: speed)
    monkeypatch.setattr(MuveraFamily, "steps", 1)
    monkeypatch.setattr(MuveraFamily, "shortlist", lambda *_: [MuveraConfig(seed=42, **each) for each in SMALL])
    monkeypatch.setattr(LemurFamily, "shortlist", lambda *_: [])


def tuned(workload: Workload, **options: Any) -> Tuning:
    options = {"budget": Budget(0.9), "store_url": "memory:", "sizes": SIZES, **options}
    return tune(workload, WordVectorizer(), show_progress_bar=False, **options)


@pytest.mark.parametrize(("unit_norm", "fill"), [*itertools.product([False, True], [False, True])])
def test_first_repetitions_score_as_an_fde_of_fewer(workload: Workload, unit_norm: bool, fill: bool) -> None:
    # Google's repetitions are nested: those of fewer are the first of more.
    options: dict[str, Any] = {"dim": 16, "ksim": 3, "dproj": 8, "dialect": "google", "fill": fill}
    family = MuveraFamily(workload, 0)
    tokens, queries = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert queries is not None
    found = {r: (scores, norms) for r, scores, norms in family._prefixes(Muvera(repetitions=8, **options))}
    assert list(found) == [2, 3, 5, 8]
    for repetitions, (scores, norms) in found.items():
        alone = Muvera(repetitions=repetitions, unit_norm=unit_norm, **options)
        expected = alone.encode_queries(queries) @ alone.encode_documents(tokens).T
        got = scores / norms if unit_norm else scores
        assert np.allclose(got, expected, atol=1e-4)


def test_a_sketch_is_tried_whole(workload: Workload) -> None:
    muvera = Muvera(dim=16, repetitions=5, ksim=3, dproj=8, final_dim=64)
    tokens, queries = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert queries is not None
    ((repetitions, scores, _),) = MuveraFamily(workload, 0)._prefixes(muvera)
    assert repetitions == 5
    assert np.allclose(scores, muvera.encode_queries(queries) @ muvera.encode_documents(tokens).T, atol=1e-4)


def test_the_shortlist_rises_in_size_and_can_be_made(workload: Workload) -> None:
    ticks: list[int] = []
    family = MuveraFamily(workload, 0)
    chosen = family.shortlist(lambda: ticks.append(1))
    sizes = [each.compressor(16).size for each in chosen]
    assert sizes == sorted(set(sizes))
    assert 1 <= len(sizes) <= 9
    assert len(ticks) == family.steps


def test_what_an_fde_finds_is_what_a_store_finds(workload: Workload) -> None:
    fde = MuveraConfig(seed=42, **SMALL[1])
    tokens = workload.documents.tokens
    for found, scores in found_by(fde, workload, PLAIN, PLAIN.fde, 30):
        store = BruteStore(
            vectorizer=WordVectorizer(),
            config=IndexConfig.of({"fde": {**SMALL[1], "seed": 42}, "store": {"fde_dtype": found.finder.dtype}}),
            mode="fde",
            outputs=["fde"],
        )
        assert tokens is not None
        assert workload.queries.tokens is not None
        made = fde.compressor(16)
        store.add_encoded(Encoded(fde=made.encode_documents(tokens)), ids=[*range(DOCUMENTS)])
        asked = Encoded(fde=made.encode_queries(workload.queries.tokens))
        for q in range(QUERIES):
            hits = store.search_encoded(asked[q : q + 1], limit=30)
            assert [hit.id for hit in hits] == found.candidates(30)[q].tolist()
            assert [hit.score for hit in hits] == pytest.approx(scores[q, found.positions[q]].tolist(), rel=1e-4)


def test_codes_keep_their_whole_vectors_in_qdrant(workload: Workload) -> None:
    fde = MuveraConfig(seed=42, **SMALL[0])
    whole, *_, bit = [found for found, _ in found_by(fde, workload, QDRANT, QDRANT.fde, 50)]
    assert (whole.finder.dtype, bit.finder.dtype) == ("float32", "bit")
    # With all documents to choose from the codes find what the whole vectors do.
    everything = [found for found, _ in found_by(fde, workload, QDRANT, ["bit"], DOCUMENTS)]
    assert np.array_equal(everything[1].candidates(DOCUMENTS // 2)[:, :50], whole.positions)
    assert not np.array_equal(bit.candidates(20), whole.positions[:, :20])


def test_cut_documents_are_folded_cut(workload: Workload) -> None:
    fde = MuveraConfig(seed=42, **SMALL[0])
    tokens = workload.documents.tokens
    assert tokens is not None
    assert workload.queries.tokens is not None
    ((found, scores),) = found_by(fde, workload, PLAIN, ["float32"], 10, document_length=5)
    cut = MultiVectors.from_list([document[:5] for document in tokens])
    made = fde.compressor(16)
    assert np.allclose(scores, made.encode_queries(workload.queries.tokens) @ made.encode_documents(cut).T, atol=1e-4)
    assert found.finder.label == "R4 k2 dp8, 128 x float32, of 5 tokens"


def test_tokens_score_as_maxsim_of_what_is_kept(workload: Workload) -> None:
    settings = [KeptTokens("int8"), KeptTokens("float16", pool_factor=3), KeptTokens("float16", document_length=4)]
    done: list[int] = []
    coded, merged, cut = scored_tokens(workload, settings, done.append)
    tokens, queries = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert queries is not None
    assert sum(done) == DOCUMENTS
    assert coded.scores is not None
    assert cut.scores is not None
    assert np.array_equal(coded.scores, maxsim(queries, tokens.astype("int8")))
    first = MultiVectors.from_list([document[:4] for document in tokens])
    assert np.array_equal(cut.scores, maxsim(queries, first))
    assert (coded.tokens, merged.tokens, cut.tokens) == (12, 4, 4)


@pytest.mark.usefixtures("few_settings")
def test_the_prediction_is_what_a_store_does(workload: Workload) -> None:
    outcome = tuned(workload)
    best = outcome.recommendation
    assert best.met
    assert best.predicted.recall_at_10 >= 0.9
    assert best.config in [choice.config for choice in outcome.front]
    config = IndexConfig.of(best.config)
    store = BruteStore(vectorizer=WordVectorizer().with_fde(config.fde.compressor(16)), config=config)
    report = store.add([document.text for document in workload.collection.documents], ids=[*range(DOCUMENTS)])
    assert report.added == DOCUMENTS
    shares = []
    for q, text in enumerate(workload.collection.queries.values()):
        hits = store.search(text, limit=10, candidates=config.candidates)
        shares.append(len({hit.id for hit in hits} & {*workload.exact.positions[q, :10].tolist()}) / 10)
    assert np.mean(shares) == pytest.approx(best.predicted.recall_at_10, abs=0.011)
    low, high = best.predicted.recall_low, best.predicted.recall_high
    assert low is not None
    assert high is not None
    assert low <= best.predicted.recall_at_10 <= high
    assert best.predicted.total_bytes == best.predicted.bytes_per_document * DOCUMENTS


class Shortened(WordVectorizer):
    """Reads `most` words of a query."""

    most = 8

    def with_query_length(self, length: int) -> Self:
        other = copy(self)
        other.most = length
        return other

    def encode_query(self, texts: Sequence[str], **options: Any) -> Encoded:
        return super().encode_query([" ".join(text.split()[: self.most]) for text in texts], **options)


@pytest.mark.usefixtures("few_settings")
def test_queries_that_are_read_less_are_predicted_as_a_store_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    collection = collection_of(words=8)
    workload = encode_workload(collection, Shortened(), cache=None, show_progress_bar=False)
    monkeypatch.setattr(cut_queries_module, "LENGTHS", (4, 9))
    # Without pooling nothing else is as fast: the front has it.
    monkeypatch.setattr(kept_tokens, "POOL_FACTORS", ())
    short = Shortened().with_query_length(4)
    outcome = tune(workload, Shortened(), Budget(0.5), store_url="memory:", sizes=SIZES, show_progress_bar=False)
    cut = [each for each in outcome.front if "query_length" in each.config["tokens"]]
    assert {each.config["tokens"]["query_length"] for each in cut} == {4}
    assert all("queries of 4" in each.label for each in cut)
    chosen = max(cut, key=lambda each: each.predicted.recall_at_10)
    config = IndexConfig.of(chosen.config)
    store = BruteStore(vectorizer=short.with_fde(config.fde.compressor(16)), config=config)
    store.add([document.text for document in workload.collection.documents], ids=[*range(DOCUMENTS)])
    shares = []
    for q, text in enumerate(collection.queries.values()):
        hits = store.search(text, limit=10, candidates=config.candidates)
        shares.append(len({hit.id for hit in hits} & {*workload.exact.positions[q, :10].tolist()}) / 10)
    assert np.mean(shares) == pytest.approx(chosen.predicted.recall_at_10, abs=0.011)
    # Half of the query's tokens, half of MaxSim's time.
    told, found = chosen.predicted, config.candidates or 0
    scan = 1 + 0.1 * told.memory_bytes_per_document * DOCUMENTS / 1e6
    assert told.ms_per_query == pytest.approx(scan + 0.5 * found * 12 / 1000 / 2)


def test_a_length_is_tried_where_it_cuts_half_of_the_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = {"q0": "w1 w2 w3", "q1": "w4 w5 w6", "q2": "w1 w2 w3 w4 w5 w6", "q3": "w7 w8 w9 w1 w2 w3"}
    collection = replace(collection_of(documents=2), queries=queries)
    workload = encode_workload(collection, Shortened(), cache=None, show_progress_bar=False)
    monkeypatch.setattr(cut_queries_module, "LENGTHS", (2, 3, 5, 6))
    tried = {each.length: each.share for each in cut_queries_module.cut_queries(workload, Shortened())}
    assert tried == pytest.approx({2: 8 / 18, 3: 12 / 18, 5: 16 / 18})
    assert not list(cut_queries_module.cut_queries(workload, WordVectorizer()))


def test_searches_are_timed_in_a_store(workload: Workload) -> None:
    ticks: list[int] = []
    for storage in (PLAIN, QDRANT):
        speed = speed_of(
            workload, WordVectorizer(), storage, graph=False, sizes=SIZES, progress=lambda: ticks.append(1)
        )
        assert speed.graph is None
        assert speed.scan.at(1) >= 0 <= speed.rerank.at(1)
        assert speed.ms(16, 4, DOCUMENTS, 10, 12) > 0
        assert "0.01, 0.02 MB" in speed.basis[0]
    assert len(ticks) == 6


@pytest.mark.usefixtures("few_settings")
def test_a_larger_collection_needs_more(workload: Workload) -> None:
    same, larger = tuned(workload), tuned(workload, documents_total=20 * DOCUMENTS)
    assert same.growth is None
    assert larger.growth is not None
    exponent, low, high = larger.growth
    assert low <= exponent <= high <= 1
    # The same config finds less among more documents.
    recalls = {str(choice.config): choice.predicted.recall_at_10 for choice in same.front}
    both = [
        (choice.predicted.recall_at_10, recalls[str(choice.config)])
        for choice in larger.front
        if str(choice.config) in recalls
    ]
    assert both
    assert all(among_more <= among_few for among_more, among_few in both)
    assert any(among_more < among_few for among_more, among_few in both)
    assert larger.documents_total == 20 * DOCUMENTS
    told = larger.recommendation.predicted
    assert told.total_bytes == told.bytes_per_document * 20 * DOCUMENTS
    assert any("grow as documents^" in line for line in larger.basis)


@pytest.mark.usefixtures("few_settings")
def test_what_cannot_be_kept_gives_way(workload: Workload) -> None:
    outcome = tuned(workload, budget=Budget(0.99, bytes=1.0))
    assert not outcome.recommendation.met
    assert "bytes; it gives way" in outcome.recommendation.why
    smallest = min(choice.predicted.bytes_per_document for choice in outcome.front)
    assert outcome.recommendation.predicted.bytes_per_document == pytest.approx(smallest, rel=0.05)


@pytest.mark.usefixtures("few_settings")
@pytest.mark.parametrize("stage", ["shortlist", "finders", "tokens"])
def test_an_interrupted_search_answers_with_what_it_has(
    workload: Workload, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    name = {"shortlist": "growth_of", "finders": "found_by", "tokens": "scored_tokens"}[stage]

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    if stage == "shortlist":
        monkeypatch.setattr(MuveraFamily, "shortlist", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuned(workload)
        return
    monkeypatch.setattr(tuner, name, interrupted)
    outcome = tuned(workload, budget=Budget(0.5))
    assert outcome.partial
    assert any("interrupted while measuring" in note for note in outcome.notes)
    modes = {choice.config["mode"] for choice in outcome.front}
    assert ("fde+rerank" in modes) == (stage == "tokens")


@pytest.mark.usefixtures("few_settings")
def test_left_out_documents_are_never_found() -> None:
    drawn = draw_questions(collection_of(60, 0), 10)
    workload = encode_workload(drawn, WordVectorizer(), cache=None, show_progress_bar=False)
    found, _ = dense_found(workload, 60)
    assert not (found.positions == workload.left_out[:, None]).any()
    for scored in scored_tokens(workload, [KeptTokens("int8")], lambda _: None):
        assert scored.scores is not None
        assert (scored.scores[np.arange(10), workload.left_out] == -np.inf).all()
    assert tuned(workload, budget=Budget(1.0)).recommendation.predicted.recall_at_10 == 1


@pytest.mark.usefixtures("few_settings")
def test_too_few_documents(workload: Workload) -> None:
    one = encode_workload(collection_of(1, 2), WordVectorizer(), cache=None, show_progress_bar=False)
    with pytest.raises(InputError, match="1 document"):
        tuned(one)
    with pytest.raises(InputError, match="documents_total is 5, and 200"):
        tuned(workload, documents_total=5)
    # Fewer documents than any number of candidates: all are ranked, and all is found.
    seven = encode_workload(collection_of(7, 3), WordVectorizer(), cache=None, show_progress_bar=False)
    assert tuned(seven).recommendation.config["candidates"] <= 7


@pytest.mark.usefixtures("few_settings")
def test_documents_that_are_all_equal() -> None:
    given = collection_of(30, 3)
    equal = Collection("equal", tuple(Document(d.id, "w1 w2", {}) for d in given.documents), given.queries, {})
    workload = encode_workload(equal, WordVectorizer(), cache=None, show_progress_bar=False)
    assert 0 <= tuned(workload).recommendation.predicted.recall_at_10 <= 1


@pytest.mark.usefixtures("few_settings")
def test_the_report(workload: Workload, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = tuned(workload)
    curve = token_curve(workload, show_progress_bar=False)
    write(tmp_path / "page.html", "Tuning", summary(outcome), sections(outcome, curve), files=tmp_path / "plots")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 4
    assert outcome.recommendation.label.split(";")[0].split(",")[0] in page
    assert len(list((tmp_path / "plots").glob("*.csv"))) >= 4
    assert len(sections(outcome, None)) == len(sections(outcome, curve)) - 1


def test_lemur_stands_on_the_front_beside_muvera(
    workload: Workload, few_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del few_settings
    settings = tuple(LemurConfig(size=size, features=64, samples=200) for size in (8, 32))
    monkeypatch.undo()
    monkeypatch.setattr(tuner, "speed_of", lambda *_, **__: Speed(Line(1, 0.1), Line(0, 0.5), None, ("fixed",)))
    monkeypatch.setattr(MuveraFamily, "steps", 1)
    monkeypatch.setattr(MuveraFamily, "shortlist", lambda *_: [MuveraConfig(seed=42, **SMALL[0])])
    monkeypatch.setattr(lemur_family, "SETTINGS", settings)
    outcome = tuned(workload, budget=Budget(0.5))
    labels = [choice.label for choice in outcome.front]
    assert any(label.startswith("lemur, 8 x") for label in labels)
    kinds = {choice.config["fde"]["kind"] for choice in outcome.front}
    assert "lemur" in kinds
    lemur = next(choice for choice in outcome.front if choice.config["fde"]["kind"] == "lemur")
    config = IndexConfig.of(lemur.config)
    assert isinstance(config.fde, LemurConfig)
    assert config.fde.features == 64


def test_fewer_numbers_of_one_fit_are_a_fit_of_fewer(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tuple(LemurConfig(size=size, features=f, samples=200) for size, f in ((8, 64), (16, 32), (32, 64)))
    monkeypatch.setattr(lemur_family, "SETTINGS", settings)
    family = LemurFamily(workload, WordVectorizer())
    assert family.shortlist(lambda: None) == settings
    assert family.steps == 2
    tokens, queries = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert queries is not None
    asked = WordVectorizer().encode_query(family._stand_ins(), outputs=("tokens",), show_progress_bar=False).tokens
    for setting in settings:
        alone = setting.compressor(16).fit(tokens, asked)
        fewer = family.compressor(setting)
        assert fewer.size == setting.size
        scores = [each.encode_queries(queries) @ each.encode_documents(tokens).T for each in (alone, fewer)]
        assert np.allclose(*scores, atol=0.02 * np.abs(scores[0]).max())


def test_the_queries_that_judge_have_no_part_in_the_fit(workload: Workload) -> None:
    drawn = draw_questions(replace(collection_of(), queries={}), 25, seed=0)
    own = replace(workload, collection=drawn)
    stand_ins = LemurFamily(own, WordVectorizer())._stand_ins()
    assert len(stand_ins) > 100
    judging = [" ".join(text.split()) for text in drawn.queries.values()]
    assert not [text for text in stand_ins for each in judging if text.startswith(each) or each.startswith(text)]
