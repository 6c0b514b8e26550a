"""Lemur in plain NumPy and float64: the oracle of the fast path, written to be read."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.lemur.fitted import Fit, as_bfloat16, turned
from vectorplug.multivectors import MultiVectors

__all__ = ["encode_documents", "encode_queries", "features", "ridge"]

Floats = npt.NDArray[np.float64]


def encode_queries(fit: Fit, queries: MultiVectors) -> Floats:
    """float64 [n, size]: the sum over the tokens of their turned features."""
    vectors = np.zeros((len(queries), fit.size))
    for vector, query in zip(vectors, queries, strict=True):
        for token in query.astype(np.float64):
            vector += _turned(fit, token, fit.balance)
    return vectors


def encode_documents(fit: Fit, documents: MultiVectors) -> Floats:
    """float64 [n, size]: centred targets times the turned features of the sampled tokens, averaged over those."""
    vectors = np.zeros((len(documents), fit.size))
    sample = fit.sample.astype(np.float64)
    for vector, document in zip(vectors, documents, strict=True):
        tokens = document.astype(np.float64)
        for token, mean_target in zip(sample, fit.mean_targets, strict=True):
            target = max(float(token @ other) for other in tokens)
            vector += (target - mean_target) * _turned(fit, token, 1 / fit.balance.astype(np.float64)) / len(sample)
    return vectors


def ridge(fit: Fit, documents: MultiVectors, strength: float) -> Floats:
    """float64 [n, features]: each document's weights by ridge regression of its centred targets on the features.

    `strength` is a share of the features' mean second moment. What a vector of `size` numbers keeps the most of.
    """
    sample = fit.sample.astype(np.float64)
    of_sample = np.array([features(fit, token) for token in sample])
    moment = of_sample.T @ of_sample / len(sample)
    moment += strength * np.trace(moment) / len(moment) * np.eye(len(moment))
    weights = np.empty((len(documents), fit.features + fit.dim))
    for weight, document in zip(weights, documents, strict=True):
        tokens = document.astype(np.float64)
        targets = np.array([max(float(token @ other) for other in tokens) for token in sample])
        weight[:] = np.linalg.solve(moment, of_sample.T @ (targets - fit.mean_targets) / len(sample))
    return weights


def features(fit: Fit, token: Floats) -> Floats:
    """float64 [features + dim]: those of the token rounded to bfloat16, and the token."""
    heights = fit.directions.astype(np.float64) @ as_bfloat16(token) - fit.thresholds
    return np.concatenate([np.maximum(heights, 0), token])


def _turned(fit: Fit, token: Floats, scale: npt.NDArray[np.floating[Any]]) -> Floats:
    numbers: Floats = features(fit, token) @ turned(fit.projection, scale.astype(np.float64)).astype(np.float64)
    return numbers
