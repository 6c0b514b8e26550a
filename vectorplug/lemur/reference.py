"""Lemur in plain NumPy and float64: the oracle of the fast path, written to be read."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.lemur.fitted import Fit, rotation
from vectorplug.multivectors import MultiVectors

__all__ = ["encode_documents", "encode_queries", "ridge"]

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
    features = np.array([_features(fit, token) for token in sample])
    moment = features.T @ features / len(sample)
    moment += strength * np.trace(moment) / len(moment) * np.eye(len(moment))
    weights = np.empty((len(documents), fit.features))
    for weight, document in zip(weights, documents, strict=True):
        tokens = document.astype(np.float64)
        targets = np.array([max(float(token @ other) for other in tokens) for token in sample])
        weight[:] = np.linalg.solve(moment, features.T @ (targets - fit.mean_targets) / len(sample))
    return weights


def _features(fit: Fit, token: Floats) -> Floats:
    return np.maximum(fit.directions.astype(np.float64) @ token - fit.thresholds, 0)


def _turned(fit: Fit, token: Floats, scale: npt.NDArray[np.floating[Any]]) -> Floats:
    turned: Floats = (_features(fit, token) @ fit.projection.astype(np.float64) * scale) @ rotation(fit.size)
    return turned
