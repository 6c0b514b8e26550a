"""How sure a mean over queries is, and whether two modes differ by more than the choice of queries."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Interval", "interval", "paired"]

RESAMPLES = 2000
PERMUTATIONS = 9999


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries, and between what it stays with a probability of 95 %; None where one query says nothing."""

    mean: float
    low: float | None
    high: float | None


def interval(values: npt.NDArray[Any], seed: int = 0) -> Interval:
    """The mean of `values` [queries] and its 95 % interval by the percentile bootstrap over queries.

    The percentile method is the one whose ends never leave the range of the values (a share stays within 0 and 1) and
    that is defined where all values are equal, which the bias-corrected one is not. Source: Efron & Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13.
    """
    from scipy.stats import bootstrap  # here, because it takes most of a second to import

    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None)
    rng = np.random.default_rng(seed)
    ends = bootstrap((values,), np.mean, method="percentile", n_resamples=RESAMPLES, rng=rng).confidence_interval
    return Interval(mean, float(ends.low), float(ends.high))


def paired(first: npt.NDArray[Any], second: npt.NDArray[Any], seed: int = 0) -> float | None:
    """p of the difference in mean of `first` and `second` [queries], the same queries; None for a single query.

    The probability that exchanging the two at random, query by query, gives a difference at least as large (two-sided;
    every exchange for up to 13 queries, else 9,999 of them). Source: Smucker, Allan & Carterette, A Comparison of
    Statistical Significance Tests for Information Retrieval Evaluation, 2007: the randomisation test.
    """
    from scipy.stats import permutation_test  # here, because it takes most of a second to import

    if len(first) < 2:
        return None
    rng = np.random.default_rng(seed)
    outcome = permutation_test(
        (first, second), _difference, permutation_type="samples", n_resamples=PERMUTATIONS, rng=rng
    )
    return float(outcome.pvalue)


def _difference(first: npt.NDArray[Any], second: npt.NDArray[Any], axis: int) -> Any:
    return np.mean(first - second, axis=axis)
