import numpy as np
import pytest

from vectorplug import MultiVectors, maxsim
from vectorplug.evaluation.exact import ExactTop


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_any_chunks_give_the_top_of_all(chunk: int) -> None:
    rng = np.random.default_rng(0)
    documents = MultiVectors.from_list([rng.standard_normal((n, 8)) for n in rng.integers(1, 20, 64)])
    queries = MultiVectors.from_list([rng.standard_normal((n, 8)) for n in (1, 5, 9)])
    exact = ExactTop(queries, 10)
    for begin in range(0, 64, chunk):
        part = documents[begin : begin + chunk]
        exact.see([str(i) for i in range(begin, begin + len(part))], part)
    best = np.argsort(-maxsim(queries, documents), axis=1, kind="stable")[:, :10]
    assert exact.rankings() == best.astype(str).tolist()


def test_of_equals_the_first_is_better() -> None:
    scores = np.random.default_rng(0).integers(0, 3, 300)
    exact = ExactTop(MultiVectors.from_list([np.ones((1, 1), np.float32)]), 10)
    for begin in (0, 150):
        part = scores[begin : begin + 150]
        exact.see([str(begin + i) for i in range(150)], MultiVectors.from_list([[[float(score)]] for score in part]))
    assert exact.rankings() == [np.flatnonzero(scores == 2)[:10].astype(str).tolist()]
