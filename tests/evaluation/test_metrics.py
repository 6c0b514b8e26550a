import sys
from math import log2

import pytest

from vectorplug.errors import ConfigurationError
from vectorplug.evaluation import Judge, overlap


def test_ndcg_and_recall_by_hand() -> None:
    judge = Judge({"q": {"a": 3, "b": 1, "c": 2, "bad": 0, "worse": -2}})
    ndcg, recall = judge.ndcg_and_recall({"q": ["bad", "b", "unjudged", "a", "worse"]})
    gained = 1 / log2(3) + 3 / log2(5)
    ideal = 3 + 2 / log2(3) + 1 / log2(4)
    assert ndcg == pytest.approx(gained / ideal, abs=1e-6)
    assert recall == pytest.approx(2 / 3)


def test_ndcg_ends_at_10_and_recall_at_100() -> None:
    others = [f"x{i}" for i in range(200)]
    judge = Judge({"q": {"a": 1}})
    assert judge.ndcg_and_recall({"q": [*others[:9], "a"]}) == pytest.approx((1 / log2(11), 1.0))
    assert judge.ndcg_and_recall({"q": [*others[:10], "a"]}) == (0.0, 1.0)
    assert judge.ndcg_and_recall({"q": [*others[:99], "a"]}) == (0.0, 1.0)
    assert judge.ndcg_and_recall({"q": [*others[:100], "a"]}) == (0.0, 0.0)


def test_a_query_that_found_nothing_counts() -> None:
    judge = Judge({"q": {"a": 1}, "empty": {"a": 1}, "absent": {"a": 1}, "hopeless": {"a": 0}})
    assert judge.ndcg_and_recall({"q": ["a"], "empty": [], "hopeless": ["a"]}) == (0.25, 0.25)


@pytest.mark.parametrize("ranking", [["a", "b"], ["b", "a"]])
def test_the_order_given_is_the_order_measured(ranking: list[str]) -> None:
    ndcg, _ = Judge({"q": {"a": 1}}).ndcg_and_recall({"q": ranking})
    assert ndcg == pytest.approx(1 / log2(ranking.index("a") + 2))


def test_without_pytrec_eval_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vectorplug\[eval\]'"):
        Judge({"q": {"a": 1}})


def test_overlap() -> None:
    assert overlap(["a", "b", "c"], ["c", "b", "a"]) == 1.0
    assert overlap(["a", "x", "b"], ["a", "b"]) == 0.5  # "b" is third where two are compared
    assert overlap([], ["a"]) == 0.0
