"""A fit in a file: the same vectors when it is opened again, and an error for whatever else the file holds."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur


@pytest.fixture
def path(lemur, tmp_path):
    lemur.save(tmp_path / "fit.lemur")
    return tmp_path / "fit.lemur"


def metadata(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def test_opened_it_is_the_same(lemur, path, documents, queries):
    opened = Lemur.open(path)
    assert opened == lemur
    assert opened.fingerprint == lemur.fingerprint
    np.testing.assert_array_equal(opened.encode_documents(documents), lemur.encode_documents(documents))
    np.testing.assert_array_equal(opened.encode_queries(queries), lemur.encode_queries(queries))
    assert opened.drift(documents) == lemur.drift(documents)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_it_is_small(documents, queries, tmp_path):
    lemur = Lemur(dim=16, size=24, features=64, samples=300)
    lemur.fit(documents, queries).save(tmp_path / "fit")
    numbers = 2 * (64 * 16 + 300 * 16) + 4 * ((64 + 16) * 24 + 64 + 300)
    assert numbers < (tmp_path / "fit").stat().st_size < numbers + 2000


def test_without_a_fit_there_is_nothing_to_save(tmp_path):
    with pytest.raises(ConfigurationError, match="is not fitted"):
        Lemur(dim=16).save(tmp_path / "fit")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0, 1, 8, 100, 0.5, -1])
def test_cut_off(kept, path):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=r"fit.lemur is (damaged|no fit of Lemur, or cut off)"):
        Lemur.open(path)


def test_one_bit_changed_anywhere(path):
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    for place in np.random.default_rng(0).integers(start, len(data), 20):
        data[place] ^= 4
        path.write_bytes(data)
        with pytest.raises(InputError, match="is damaged: its SHA-256 differs"):
            Lemur.open(path)
        data[place] ^= 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"format": "vectorplug.lemur/1"},
            "is 'vectorplug.lemur/1', this version reads 'vectorplug.lemur/2': fit again",
        ),
        ({"format": "vectorplug.multivectors/1"}, "is 'vectorplug.multivectors/1', this version reads"),
        ({"format": None}, "is 'of no known format', this version reads"),
        ({"residual": "0x1p-1"}, "SHA-256 differs"),
        ({"parameters": '{"samples": 301, "seed": 42}'}, "SHA-256 differs"),
        ({"parameters": "{}"}, "is damaged"),
        ({"residual": None}, "is damaged"),
        ({"residual": "?"}, "is damaged"),
    ],
)
def test_other_metadata(change, message, path):
    about = {name: text for name, text in (metadata(path) | change).items() if text is not None}
    path.write_bytes(save(load(path.read_bytes()), about))
    with pytest.raises(InputError, match=message):
        Lemur.open(path)


def test_other_arrays(path):
    arrays, about = load(path.read_bytes()), metadata(path)
    for changed in (
        {name: array for name, array in arrays.items() if name != "sample"},
        arrays | {"more": np.zeros(3)},
        arrays | {"sample": arrays["sample"].astype(np.float32)},
    ):
        path.write_bytes(save(changed, about))
        with pytest.raises(InputError, match="is damaged"):
            Lemur.open(path)


def test_something_else(tmp_path, documents):
    documents.save(tmp_path / "documents")
    (tmp_path / "text").write_text("no fit, but a text that is long enough to have a header of eight bytes")
    for name in ("documents", "text"):
        with pytest.raises(InputError, match=r"this version reads|no fit of Lemur"):
            Lemur.open(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Lemur.open(tmp_path / "nothing")
