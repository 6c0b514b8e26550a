import numpy as np
import pytest

from vectorplug.evaluation import Rankings, rank_biased_overlap, recall_of


def rankings(*lists: list[int], depth: int = 10, scores: list[list[float]] | None = None) -> Rankings:
    """Without `scores` no two are equal."""
    given = [[float(-rank) for rank in range(len(each))] for each in lists] if scores is None else scores
    return Rankings.of_lists(lists, given, depth)


def plain_rbo(first: list[int], second: list[int], p: float) -> float:
    """RBO_ext, equation 32 of Webber, Moffat & Zobel, term by term."""
    short, long = sorted((first, second), key=len)
    if not long:
        return 1.0
    s, l = len(short), len(long)  # noqa: E741

    def shared(depth: int) -> int:
        return len({*short[:depth]} & {*long[:depth]})

    seen = sum(shared(d) / d * p**d for d in range(1, l + 1))
    assumed = sum(shared(s) * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1)) if s else 0.0
    end = (shared(l) - shared(s)) / l + (shared(s) / s if s else 0.0)
    return (1 - p) / p * (seen + assumed) + end * p**l


def test_of_scores_the_earlier_of_equals_comes_first() -> None:
    made = Rankings.of_scores(np.array([[1.0, 3, 3, 2], [0, -np.inf, 5, -np.inf]]), 3)
    assert made.positions.tolist() == [[1, 2, 3], [2, 0, -1]]
    assert made.scores.tolist() == [[3, 3, 2], [5, 0, -np.inf]]
    assert (made.positions.dtype, made.scores.dtype, len(made), made.depth) == (np.int32, np.float32, 2, 3)
    assert made.top(1).positions.tolist() == [[1], [2]]
    assert Rankings.of_scores(np.ones((1, 2)), 5).positions.tolist() == [[0, 1]]


def test_of_lists_of_any_length() -> None:
    made = rankings([4, 2, 9], [], depth=2)
    assert made.positions.tolist() == [[4, 2], [-1, -1]]
    assert made.scores.tolist() == [[0, -1], [-np.inf, -np.inf]]


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_the_share_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = [rng.permutation(30)[: rng.integers(0, 30)].tolist() for _ in range(50)]
    exact = [rng.permutation(30)[: rng.integers(1, 30)].tolist() for _ in range(50)]
    for kept, within in ((10, 10), (10, 25), (3, 1), (40, 40)):
        shares = recall_of(rankings(*found, depth=30), rankings(*exact, depth=30), kept, within)
        expected = [
            len({*best[:kept]} & {*got[:within]}) / len(best[:kept]) for got, best in zip(found, exact, strict=True)
        ]
        np.testing.assert_allclose(shares, expected)


def test_recall_where_nothing_is_ranked() -> None:
    assert recall_of(rankings([1, 2], []), rankings([], []), 10, 10).tolist() == [1.0, 1.0]
    assert recall_of(rankings([], []), rankings([1], [2, 3]), 10, 10).tolist() == [0.0, 0.0]


def test_of_equal_scores_any_document_will_do() -> None:
    exact = rankings([0, 1, 2, 3, 4], scores=[[9, 5, 5, 5, 1]])
    # The best two are 0 and one of 1, 2 and 3.
    for found, share in (([0, 3], 1), ([0, 1], 1), ([2, 3], 0.5), ([3, 0], 1), ([0, 4], 0.5), ([4, 1], 0.5), ([4], 0)):
        assert recall_of(rankings(found), exact, 2, 2).tolist() == [share], found


@pytest.mark.parametrize("p", [0.9, 0.5])
def test_rank_biased_overlap_is_equation_32(p: float) -> None:
    rng = np.random.default_rng(0)
    lists = [rng.permutation(20)[: rng.integers(0, 15)].tolist() for _ in range(600)]
    first, second = lists[:300], lists[300:]
    values = rank_biased_overlap(rankings(*first, depth=14), rankings(*second, depth=14), p)
    expected = [plain_rbo(*pair, p) for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert 0 <= values.min() < 0.1
    assert 0.9 < values.max() <= 1 + 1e-12


def test_rank_biased_overlap_of_known_pairs() -> None:
    same, other = [1, 2, 3], [4, 5, 6]
    values = rank_biased_overlap(rankings(same, same, same, [], []), rankings(same, other, [2, 1, 3], [], same))
    assert values[[0, 1, 3, 4]].tolist() == pytest.approx([1, 0, 1, 0])
    assert values[2] == pytest.approx(0.9)  # all but the first depth agree: 1 - (1 - p)


def test_rank_biased_overlap_goes_100_deep() -> None:
    long = np.arange(150)
    turned = np.concatenate([long[:100], long[:99:-1]])
    deep, cut = (Rankings.of_lists([each.tolist()], [[0.0] * 150], 150) for each in (long, turned))
    assert rank_biased_overlap(deep, cut) == pytest.approx(1)
