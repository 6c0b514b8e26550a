"""Rankings of many queries as arrays, and how much two of them agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Rankings", "rank_biased_overlap", "recall_of"]

# With p = 0.9 what lies beyond weighs less than 0.00003.
RBO_DEPTH = 100
# Of a score: two that differ by less are equal.
ROUNDING = 2e-6
# Queries compared at once: a table of 100 x 100 each.
ROWS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """`positions` int32 [queries, depth], documents by their place in the collection, best first; -1 beyond the last.

    `scores` float32 [queries, depth], -inf beyond the last.
    """

    positions: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def depth(self) -> int:
        """How many documents a ranking may hold."""
        return int(self.positions.shape[1])

    @classmethod
    def of_scores(cls, scores: npt.NDArray[Any], depth: int) -> Self:
        """The best `depth` of `scores` [queries, n]; of equal scores the earlier document first, -inf is not ranked."""
        best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        ranked = np.take_along_axis(scores, best, axis=1).astype(np.float32)
        return cls(np.where(ranked == -np.inf, -1, best).astype(np.int32), ranked)

    @classmethod
    def of_lists(cls, positions: Sequence[Sequence[int]], scores: Sequence[Sequence[float]], depth: int) -> Self:
        """Rankings as a store gives them, each of any length; cut at `depth`."""
        ranked = np.full((len(positions), depth), -1, np.int32)
        scored = np.full((len(positions), depth), -np.inf, np.float32)
        for i, (places, values) in enumerate(zip(positions, scores, strict=True)):
            count = min(len(places), depth)
            ranked[i, :count], scored[i, :count] = places[:count], values[:count]
        return cls(ranked, scored)

    def top(self, k: int) -> "Rankings":
        """The first `k` of each, as views."""
        return Rankings(self.positions[:, :k], self.scores[:, :k])


def recall_of(found: Rankings, exact: Rankings, kept: int, within: int) -> npt.NDArray[np.float64]:
    """float64 [queries]: the share of the first `kept` of `exact` that is among the first `within` of `found`.

    recall_of(found, exact, 10, 100) is "10R@100". Where `exact` ranks fewer than `kept`, of those; of none it is 1.
    Of documents that score the same as the last of them (to float32's rounding, as far as `exact` ranks them), any will
    do: copies of one text are no loss, and engines add in different orders.
    """
    top = exact.positions[:, :kept] >= 0
    counts = top.sum(axis=1)
    last = exact.scores[np.arange(len(exact)), np.maximum(counts, 1) - 1][:, None]
    there = _contained(exact.positions, found.positions[:, :within])
    same = np.where(np.isfinite(last), np.abs(last) * ROUNDING, 0)
    better = exact.scores > last + same
    equal = (exact.scores >= last - same) & ~better
    wanted = counts - better.sum(axis=1)
    hits = (there & better).sum(axis=1) + np.minimum((there & equal).sum(axis=1), wanted)
    shares: npt.NDArray[np.float64] = np.where(counts == 0, 1.0, hits / np.maximum(counts, 1))
    return shares


def rank_biased_overlap(found: Rankings, exact: Rankings, p: float = 0.9) -> npt.NDArray[np.float64]:
    """float64 [queries]: 1 where both rank the same, 0 where they share nothing; the first ranks weigh most.

    The mean of the overlaps at each depth d, weighted by p^(d - 1): with p = 0.9 the first ten have 86 % of the weight.
    Both are cut at the depth of the shallower array, and at 100. It is the extrapolated estimate, RBO_ext: the
    agreement at the end stands for that of all beyond, and a list may be shorter than the other (equation 32). Two
    empty rankings agree. Source: Webber, Moffat & Zobel, A Similarity Measure for Indefinite Rankings, 2010.
    """
    depth = min(found.depth, exact.depth, RBO_DEPTH)
    values = [
        _extrapolated(found.positions[begin : begin + ROWS, :depth], exact.positions[begin : begin + ROWS, :depth], p)
        for begin in range(0, len(found), ROWS)
    ]
    return np.concatenate([np.empty(0), *values])


def _extrapolated(first: npt.NDArray[np.int32], second: npt.NDArray[np.int32], p: float) -> npt.NDArray[np.float64]:
    depths = np.arange(1, first.shape[1] + 1)
    same = (first[:, :, None] == second[:, None, :]) & (first >= 0)[:, :, None]
    # shared[q, d]: documents that are among the first d + 1 of both.
    shared = np.cumsum(np.cumsum(same, axis=1), axis=2).diagonal(axis1=1, axis2=2).astype(np.float64)
    lengths = np.stack([(first >= 0).sum(axis=1), (second >= 0).sum(axis=1)])
    short, long = lengths.min(axis=0), lengths.max(axis=0)
    rows = np.arange(len(first))
    at_short = np.where(short > 0, shared[rows, np.maximum(short, 1) - 1], 0)
    at_long = np.where(long > 0, shared[rows, np.maximum(long, 1) - 1], 0)
    share = at_short / np.maximum(short, 1)
    beyond = (depths > short[:, None]) * share[:, None] * (depths - short[:, None])
    seen = np.where(depths <= long[:, None], (shared + beyond) / depths * p**depths, 0).sum(axis=1)
    extended = (1 - p) / p * seen + ((at_long - at_short) / np.maximum(long, 1) + share) * p**long
    # Rounding adds up to a little more than 1 where everything is shared.
    return np.where(long == 0, 1.0, np.clip(extended, 0, 1))


def _contained(wanted: npt.NDArray[np.int32], found: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """bool, shaped as `wanted`: whether that document is in the same query's `found`; -1 never is."""
    if not wanted.size or not found.size:
        return np.zeros(wanted.shape, np.bool_)
    # One number for a query and a document, so that all queries are looked up at once.
    stride = int(max(wanted.max(), found.max())) + 2
    rows = np.arange(len(wanted), dtype=np.int64)[:, None] * stride
    return np.isin(rows + wanted, (rows + found)[found >= 0]) & (wanted >= 0)
