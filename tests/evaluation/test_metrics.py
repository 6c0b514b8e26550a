import sys
from math import log2

import numpy as np
import pytest
from pytrec_eval import RelevanceEvaluator

from vectorplug.errors import ConfigurationError
from vectorplug.evaluation import Judge, overlap
from vectorplug.evaluation.metrics import JUDGED

Qrels = dict[str, dict[str, int]]


def plain(ranking: list[str], grades: dict[str, int]) -> dict[str, float]:
    """The metrics of one query from their definitions."""
    answers = {document for document, grade in grades.items() if grade > 0}
    gains = [max(grades.get(document, 0), 0) / log2(rank + 1) for rank, document in enumerate(ranking[:10], start=1)]
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:10]
    ideal = sum(grade / log2(rank + 1) for rank, grade in enumerate(best, start=1))
    first = next((rank for rank, document in enumerate(ranking, start=1) if document in answers), 0)
    values = {"ndcg@10": sum(gains) / ideal if ideal else 0.0, "mrr@10": 1 / first if 0 < first <= 10 else 0.0}
    for depth in (10, 100, 1000):
        values[f"recall@{depth}"] = len(answers & {*ranking[:depth]}) / len(answers) if answers else 0.0
    for depth in (1, 5, 10):
        values[f"success@{depth}"] = float(0 < first <= depth)
    return values


def random_judgements(seed: int, documents: int = 1500) -> tuple[Qrels, dict[str, list[str]]]:
    rng = np.random.default_rng(seed)
    qrels: Qrels = {}
    rankings = {}
    for i in range(12):
        judged = rng.choice(documents, rng.integers(1, 40), replace=False)
        qrels[f"q{i}"] = {f"d{document}": int(rng.integers(-1, 4)) for document in judged}
        # Some rankings are short, one is empty; the answers stand anywhere.
        rankings[f"q{i}"] = [f"d{k}" for k in rng.permutation(documents)[: rng.choice([0, 3, 10, 90, 1200])]]
        if i % 2:
            rankings[f"q{i}"][:2] = [f"d{document}" for document in judged[:2]]
    return qrels, rankings


@pytest.mark.parametrize("seed", range(5))
def test_all_metrics_are_those_of_their_definitions(seed: int) -> None:
    qrels, rankings = random_judgements(seed)
    rankings = {query: list(dict.fromkeys(ranking)) for query, ranking in rankings.items()}
    measured = Judge(qrels).measure(rankings)
    assert tuple(measured) == JUDGED
    for name, values in measured.items():
        expected = [plain(rankings[query], grades)[name] for query, grades in qrels.items()]
        np.testing.assert_allclose(values, expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_with_ties_is_measured_as_trec_eval_does(seed: int) -> None:
    """trec_eval orders by score in float32, equal scores by document id, the greater first: so are these rankings."""
    qrels, rankings = random_judgements(seed)
    rng = np.random.default_rng(seed)
    run = {query: {each: float(rng.integers(0, 6)) / 3 for each in found} for query, found in rankings.items() if found}
    ordered = {
        query: sorted(sorted(scores, reverse=True), key=lambda each, scores=scores: -np.float32(scores[each]))
        for query, scores in run.items()
    }
    measured = Judge(qrels).measure(ordered)
    names = {"ndcg@10": "ndcg_cut_10", "recall@10": "recall_10", "recall@100": "recall_100", "success@5": "success_5"}
    direct = RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.10,100", "success.5"}).evaluate(run)
    for ours, theirs in names.items():
        expected = [direct.get(query, {}).get(theirs, 0.0) for query in qrels]
        np.testing.assert_array_equal(measured[ours], expected, err_msg=ours)


def test_ndcg_and_recall_by_hand() -> None:
    judge = Judge({"q": {"a": 3, "b": 1, "c": 2, "bad": 0, "worse": -2}})
    measured = judge.measure({"q": ["bad", "b", "unjudged", "a", "worse"]})
    gained = 1 / log2(3) + 3 / log2(5)
    ideal = 3 + 2 / log2(3) + 1 / log2(4)
    assert measured["ndcg@10"] == pytest.approx(gained / ideal, abs=1e-6)
    assert measured["recall@100"] == pytest.approx(2 / 3)
    assert measured["mrr@10"] == 1 / 2


@pytest.mark.parametrize(
    ("name", "depth"), [(name, int(name.partition("@")[2])) for name in JUDGED], ids=lambda value: str(value)
)
def test_each_metric_ends_at_its_depth(name: str, depth: int) -> None:
    others = [f"x{i}" for i in range(1200)]
    judge = Judge({"q": {"a": 1}})
    assert judge.measure({"q": [*others[: depth - 1], "a"]})[name] > 0
    assert judge.measure({"q": [*others[:depth], "a"]})[name] == 0


def test_a_query_that_found_nothing_counts() -> None:
    judge = Judge({"q": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}, "hopeless": {"a": 0}})
    for values in judge.measure({"q": ["a"], "empty": [], "hopeless": ["a"]}).values():
        assert values.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("ranking", [["a", "b"], ["b", "a"]])
def test_the_order_given_is_the_order_measured(ranking: list[str]) -> None:
    ndcg = Judge({"q": {"a": 1}}).measure({"q": ranking})["ndcg@10"]
    assert ndcg == pytest.approx(1 / log2(ranking.index("a") + 2))


def test_without_pytrec_eval_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vectorplug\[eval\]'"):
        Judge({"q": {"a": 1}})


def test_overlap() -> None:
    assert overlap(["a", "b", "c"], ["c", "b", "a"]) == 1.0
    assert overlap(["a", "x", "b"], ["a", "b"]) == 0.5  # "b" is third where two are compared
    assert overlap([], ["a"]) == 0.0
