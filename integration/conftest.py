"""What the store suite needs: two tiny models, and the folders from which the tests import."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import checkpoints
from corpus import FDE

from vectorplug.vectorizer import Vectorizer


@pytest.fixture(scope="session")
def vectorizer(tmp_path_factory: pytest.TempPathFactory) -> Vectorizer:
    folder = checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "tiny-colbert")
    return Vectorizer(str(folder), fde=FDE, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def another_vectorizer(tmp_path_factory: pytest.TempPathFactory) -> Vectorizer:
    folder = checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "another-colbert", seed=1)
    return Vectorizer(str(folder), fde=FDE, device="cpu", dtype="float32")
