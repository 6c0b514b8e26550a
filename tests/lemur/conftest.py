"""Tokens as texts have them, in clusters, and a Lemur fitted to them once a session."""

import numpy as np
import pytest

from vectorplug.lemur import Lemur, training
from vectorplug.multivectors import MultiVectors

DIM = 16


def make_clustered(seed, lengths, dim=DIM, spread=0.6, clusters=20):
    """Unit tokens around `clusters` centres, which are those of `dim` whatever the seed is."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((clusters, dim))
    arrays = [centres[rng.integers(clusters, size=n)] + spread * rng.standard_normal((n, dim)) for n in lengths]
    return MultiVectors.from_list(
        [(a / np.linalg.norm(a, axis=1, keepdims=True)).astype(np.float32) for a in arrays], dim=dim
    )


@pytest.fixture(scope="session", autouse=True)
def few_steps():
    """Training is as long as it is for users only where it is what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 20)
        yield


@pytest.fixture(scope="session")
def clustered():
    return make_clustered


@pytest.fixture(scope="session")
def documents():
    return make_clustered(1, np.random.default_rng(1).integers(1, 30, 300))


@pytest.fixture(scope="session")
def queries():
    return make_clustered(2, np.random.default_rng(2).integers(2, 8, 100))


@pytest.fixture(scope="session")
def lemur(documents, queries):
    return Lemur(dim=DIM, size=24, features=64, samples=300).fit(documents, queries)
