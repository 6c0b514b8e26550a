"""The parts of tuning, each against a plain computation."""

import itertools

import numpy as np
import pytest
from corpus import random_texts

from vectorplug.codes import FdeCodes
from vectorplug.errors import ConfigurationError
from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.tuning.depths import depths, recall_at, wanted_among
from vectorplug.evaluation.tuning.finders import Finder, Found
from vectorplug.evaluation.tuning.front import Budget, Option, chosen, pareto
from vectorplug.evaluation.tuning.growth import Growth, growth_of, parts_of
from vectorplug.evaluation.tuning.kept_tokens import KeptTokens, Scored
from vectorplug.evaluation.tuning.pairs import pairs_of, recall_of_pair
from vectorplug.evaluation.tuning.storage import PLAIN, QDRANT, WEAVIATE, storage_of
from vectorplug.evaluation.tuning.timing import Line, Speed, needs_graph

RNG = np.random.default_rng(3)


def test_depths_are_places_in_the_ranking_ties_included() -> None:
    scores = RNG.integers(0, 5, (7, 40)).astype(np.float32)
    wanted = np.stack([RNG.permutation(40)[:10] for _ in range(7)]).astype(np.int32)
    wanted[2, 4:] = -1
    ranked = Rankings.of_scores(scores, 40).positions.tolist()
    expected = [[ranked[q].index(d) if d >= 0 else -1 for d in row] for q, row in enumerate(wanted.tolist())]
    assert depths(scores, wanted).tolist() == expected


def test_recall_at_counts_what_lies_above() -> None:
    found = np.array([[0, 3, 9, -1], [-1, -1, -1, -1]], np.int32)
    assert recall_at(found, [0, 1, 4, 9, 10]).tolist() == [[0, 1 / 3, 2 / 3, 2 / 3, 1], [1, 1, 1, 1, 1]]


def test_wanted_among_some_are_their_own_best() -> None:
    scores = RNG.standard_normal((6, 90)).astype(np.float32)
    members = np.sort(RNG.permutation(90)[:30])
    expected = Rankings.of_scores(scores[:, members], 10).positions
    assert np.array_equal(wanted_among(Rankings.of_scores(scores, 90), members), expected)
    # What is beyond the depth of the exact ranking is not wanted.
    shallow = wanted_among(Rankings.of_scores(scores, 12), members)
    counts = (shallow >= 0).sum(axis=1)
    assert (counts < 10).any()
    for own, best, count in zip(shallow.tolist(), expected.tolist(), counts.tolist(), strict=True):
        assert own[:count] == best[:count]


def test_growth_finds_the_exponent_of_strangers_that_multiply() -> None:
    # Ten documents of each query are exactly best; all others get independent scores, so depths grow with n.
    queries, n = 60, 4000
    exact = np.full((queries, n), -1.0, np.float32) + RNG.random((queries, n)).astype(np.float32) * 0.1
    found = RNG.standard_normal((queries, n)).astype(np.float32)
    parts = parts_of(Rankings.of_scores(exact, 1000), n, seed=0)
    assert [part.share for part in parts] == [1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    assert np.array_equal(np.sort(np.concatenate([p.members for p in parts[3:]])), np.arange(n))
    random = growth_of(found, parts, seed=0)
    assert random.exponent == pytest.approx(1, abs=0.06)
    assert random.low <= random.exponent <= random.high
    # A finder that ranks nearly as exact MaxSim does needs hardly more in more documents.
    close = growth_of(exact + 0.0005 * found, parts, seed=0)
    assert close.exponent < random.low


def test_growth_is_the_worst_case_where_nothing_tells() -> None:
    exact = RNG.standard_normal((5, 200)).astype(np.float32)
    few = parts_of(Rankings.of_scores(exact[:, :40], 40), 40, seed=0)
    assert growth_of(exact[:, :40], few, seed=0) == Growth(1, 1, 1)
    assert Growth(0.5, 0.4, 0.6).shrunk(100, 4) == 50
    assert Growth(0.5, 0.4, 0.6).shrunk(100, 4, 1.0) == 25


def test_codes_find_and_whole_vectors_choose() -> None:
    fdes = RNG.standard_normal((50, 64)).astype(np.float32)
    queries = RNG.standard_normal((4, 64)).astype(np.float32)
    whole, coded = queries @ fdes.T, FdeCodes.of(fdes, "bit").scores(queries)
    wide = Rankings.of_scores(coded, 40).positions
    found = Found(Finder(None, 64, "bit"), wide, np.take_along_axis(whole, wide, axis=1), oversampling=2.0)
    got = found.candidates(10)
    for q in range(4):
        among = wide[q, :20].tolist()
        assert got[q].tolist() == sorted(among, key=lambda d, q=q: -whole[q, d])[:10]
    assert Found(Finder(None, 64), wide).candidates(7).tolist() == wide[:, :7].tolist()


def test_recall_of_a_pair_is_the_overlap_after_ranking_again() -> None:
    exact, finds, ranks = (RNG.standard_normal((8, 60)).astype(np.float32) for _ in range(3))
    best = Rankings.of_scores(exact, 10).positions
    wanted = np.zeros((8, 60), bool)
    np.put_along_axis(wanted, best.astype(np.int64), values=True, axis=1)
    found = Found(Finder(None, 4), Rankings.of_scores(finds, 60).positions)
    for count, scores in itertools.product((5, 10, 25, 60), (None, ranks)):
        expected = []
        for q in range(8):
            candidates = found.positions[q, :count].tolist()
            key = exact if scores is None else scores
            top = sorted(candidates, key=lambda d, q=q, key=key: -key[q, d])[:10]
            expected.append(len({*top} & {*best[q].tolist()}) / 10)
        got = recall_of_pair(found, Scored(KeptTokens("float16"), 3, scores), wanted, count)
        assert got.tolist() == expected


def test_a_larger_collection_is_measured_with_fewer_candidates() -> None:
    scores = RNG.standard_normal((3, 500)).astype(np.float32)
    wanted = np.zeros((3, 500), bool)
    wanted[:, :10] = True
    found = Found(Finder(None, 4), Rankings.of_scores(scores, 500).positions)
    scored = Scored(KeptTokens("float16"), 3, None)
    same = list(pairs_of(found, scored, wanted, Growth(1, 1, 1), 1.0))
    assert [(p.candidates, p.measured_with) for p in same][-2:] == [(300, 300), (500, 500)]
    grown = {p.candidates: p.measured_with for p in pairs_of(found, scored, wanted, Growth(0.5, 0.5, 0.5), 16.0)}
    assert grown[1000] == 250
    assert min(grown.values()) == 10


def test_bytes_are_those_of_the_database() -> None:
    assert storage_of("edge:./x") is storage_of("qdrant+http://h:1") is QDRANT
    assert (storage_of("weaviate+http://h:1"), storage_of("memory:")) == (WEAVIATE, PLAIN)
    assert [QDRANT.fde_bytes(80, dtype) for dtype in ("float32", "float16", "int8", "bit")] == [320, 160, 400, 330]
    tokens, fde = random_texts(5, 1).tokens, random_texts(5, 1).fde
    assert tokens is not None
    assert fde is not None
    mean = float(tokens.lengths.mean())
    for dtype in ("float32", "float16", "int8"):
        assert PLAIN.token_bytes(16, mean, dtype) == pytest.approx(tokens.astype(dtype).nbytes / 5)
    for kind in ("int8", "bit"):
        assert PLAIN.fde_bytes(fde.shape[1], kind) == pytest.approx(FdeCodes.of(fde, kind).nbytes / 5)


def test_the_model_of_milliseconds() -> None:
    assert Line.through([1, 2, 3], [3, 5, 7]) == Line(pytest.approx(1), pytest.approx(2))
    assert Line.through([1, 2], [5, 1]).slope == 0
    speed = Speed(Line(1, 0.5), Line(2, 0.1), Line(0, 3), ())
    # 2,000 documents x 1,000 numbers x 4 bytes = 8 MB; 50 candidates x 20 tokens = 1 thousand.
    assert speed.ms(1000, 4, 2000, 50, 20) == pytest.approx(1 + 4 + 2 + 0.1)
    assert needs_graph(10**6, 1000)
    walked = 3 * 128 * 1000 * np.log2(10**6) / 1e6
    assert speed.ms(1000, 4, 10**6, 10, 0) == pytest.approx(walked + 2)


def plain_front(options: list[Option]) -> set[int]:
    def beats(a: Option, b: Option) -> bool:
        return a.recall >= b.recall and a.bytes <= b.bytes and a.ms <= b.ms and a != b

    return {b.number for b in options if not any(beats(a, b) for a in options)}


def test_the_front_is_what_no_other_beats() -> None:
    values = RNG.random((80, 3))
    options = [Option(i, round(r, 1), 10 ** (2 + 2 * b), 10**m) for i, (r, b, m) in enumerate(values.tolist())]
    front = pareto(options)
    numbers = {option.number for option in front}
    # Nothing on the front is beaten clearly, and every option is matched by one on the front, to a step.
    for option in front:
        assert not any(
            o.recall > option.recall + 0.005 and o.bytes < option.bytes / 1.06 and o.ms < option.ms / 1.06
            for o in options
        )
    for number in plain_front(options):
        kept = options[number]
        assert number in numbers or any(
            o.recall >= kept.recall - 0.005 and o.bytes <= kept.bytes * 1.06 and o.ms <= kept.ms * 1.06 for o in front
        )
    assert [option.bytes for option in front] == sorted(option.bytes for option in front)


OPTIONS = [Option(0, 0.90, 100, 1), Option(1, 0.96, 400, 2), Option(2, 0.97, 300, 4), Option(3, 0.99, 900, 9)]


@pytest.mark.parametrize(
    ("budget", "number", "gives"),
    [
        (Budget(0.95), 1, None),
        (Budget(0.9), 0, None),
        (Budget(0.95, bytes=350), 2, None),
        (Budget(0.98, bytes=500), 2, "recall"),
        (Budget(0.95, bytes=350, ms=3), 0, "recall"),
        (Budget(0.95, bytes=50), 0, "bytes"),
        (Budget(0.95, ms=0.5), 0, "ms"),
        (Budget(0.95, bytes=50, ms=0.1), 0, "bytes and ms"),
    ],
)
def test_the_one_to_take(budget: Budget, number: int, gives: str | None) -> None:
    option, gave = chosen(OPTIONS, budget)
    assert (option.number, gave) == (number, gives)


@pytest.mark.parametrize("wrong", [{"recall": 0}, {"recall": 1.1}, {"bytes": 0}, {"ms": -1}, {"ms": float("nan")}])
def test_budgets_that_nothing_can_keep(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Budget(**wrong)
