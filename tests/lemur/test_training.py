"""Trained features: they predict more, the same for the same seed."""

import numpy as np
import pytest

from vectorplug.lemur import training
from vectorplug.lemur.training import first_features, second_moment, trained_features
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors


@pytest.fixture(autouse=True)
def all_steps(monkeypatch):
    monkeypatch.setattr(training, "STEPS", 200)


def left(tokens, targets, directions, thresholds):
    """The share of the targets that the ridge regression leaves."""
    features = np.concatenate([np.maximum(tokens @ directions.T - thresholds, 0), tokens], axis=1)
    weights = np.linalg.solve(second_moment(features), features.T @ targets.T / len(tokens))
    return np.square(targets.T - features @ weights).sum() / np.square(targets).sum()


@pytest.fixture(scope="module")
def problem(documents, queries):
    targets = maxsim(MultiVectors(queries.values, np.arange(len(queries.values) + 1)), documents).T
    return queries.values, targets - targets.mean(axis=0)


def trained(problem, seed=0, count=12):
    random = np.random.default_rng(seed)
    return trained_features(*problem, *first_features(problem[0], count, random), random)


def test_trained_features_predict_more_of_tokens_never_seen(problem):
    tokens, targets = problem
    seen = np.arange(len(tokens)) % 3 > 0
    random = np.random.default_rng(0)
    first = first_features(tokens[seen], 12, random)
    last = trained_features(tokens[seen], targets[:, seen], *first, random)
    assert left(tokens[~seen], targets[:, ~seen], *last) < 0.9 * left(tokens[~seen], targets[:, ~seen], *first)


def test_the_seed_decides(problem):
    for first, second in zip(trained(problem), trained(problem), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (trained(problem)[0] != trained(problem, seed=1)[0]).any()


def test_documents_that_are_all_alike_teach_nothing(problem):
    tokens = problem[0]
    first = first_features(tokens, 5, np.random.default_rng(0))
    for before, after in zip(
        first, trained_features(tokens, np.zeros((7, len(tokens)), "f4"), *first, np.random.default_rng(1)), strict=True
    ):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_the_size_of_tokens_does_not_matter(problem, scale):
    tokens, targets = problem
    few = tokens[:100] * np.float32(scale), targets[:, :100] * np.float32(scale)
    of_scaled, plain = trained(few), trained((tokens[:100], targets[:, :100]))
    share = left(*few, *of_scaled)
    assert share == pytest.approx(left(tokens[:100], targets[:, :100], *plain), rel=0.05)


def test_first_features_are_as_large_as_the_tokens(problem):
    tokens = problem[0]
    for count in (1, 20, len(tokens) + 50):
        directions, thresholds = first_features(tokens, count, np.random.default_rng(0))
        assert directions.shape == (count, 16)
        assert directions.dtype == thresholds.dtype == np.float32
        features = np.maximum(tokens @ directions.T - thresholds, 0)
        assert np.square(features).mean() == pytest.approx(np.square(tokens).mean(), rel=1e-3)
        assert 0.02 < (features > 0).mean() < 0.5


def test_the_ridge():
    moment = second_moment(np.array([[2, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(moment, np.diag([2, 0.5]) + training.RIDGE * 1.25 * np.eye(2))
