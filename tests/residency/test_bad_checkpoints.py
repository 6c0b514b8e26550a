"""What cannot be loaded: each failure its own class, nothing of it executed, and the cache as it was before."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vectorplug import ModelCache, Vectorizer
from vectorplug.errors import (
    DamagedModelError,
    MissingFileError,
    OutOfMemoryError,
    UnsafeModelError,
    UnsupportedModelError,
    VectorplugError,
)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def without_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "modules.json").unlink()


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def of_no_known_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "never-heard-of"}))


def with_a_payload(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with open(folder / "pytorch_model.bin", "wb") as file:
        pickle.dump(Payload(folder / "ran"), file, protocol=2)


def with_a_configuration_that_is_no_json(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").write_text("{")


CASES: dict[Callable[[Path], None], type[VectorplugError]] = {
    without_configuration: MissingFileError,
    cut_short: DamagedModelError,
    of_no_known_architecture: UnsupportedModelError,
    with_a_payload: UnsafeModelError,
    with_a_configuration_that_is_no_json: DamagedModelError,
}


@pytest.mark.parametrize(("spoil", "kind"), CASES.items(), ids=lambda case: getattr(case, "__name__", None))
def test_a_checkpoint_that_cannot_be_loaded_harms_nobody(
    tiny_colbert: Path, tiny_dense: Path, tmp_path: Path, spoil: Callable[[Path], None], kind: type[VectorplugError]
) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(tiny_dense, folder)
    spoil(folder)
    with ModelCache(budget=10**9, device="cpu", dtype="float32") as cache:
        good = Vectorizer(str(tiny_colbert), cache=cache)
        before, used = good.encode_document("the sea"), cache.stats().used_bytes
        with pytest.raises(kind):
            cache.preload(str(folder))
        assert not (folder / "ran").exists()
        assert cache.stats().used_bytes == used
        assert np.array_equal(good.encode_document("the sea").tokens.values, before.tokens.values)
        assert cache.stats().leased == ()


def test_a_model_larger_than_the_budget_is_refused_with_the_numbers(tiny_colbert: Path) -> None:
    with ModelCache(budget=10_000, device="cpu", dtype="float32") as cache:
        with pytest.raises(OutOfMemoryError, match="10,000"):
            cache.preload(str(tiny_colbert))
        assert cache.stats().used_bytes == 0
