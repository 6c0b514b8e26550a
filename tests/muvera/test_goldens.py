"""FDEs made by Weaviate's Go, Google's C++ and fastembed themselves (goldens.json says by which versions)."""

import json
from pathlib import Path

import numpy as np
import pytest

from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera, reference

ENTRIES = json.loads((Path(__file__).parent / "goldens.json").read_text())["entries"]

vectors = np.random.default_rng(0).standard_normal((3, 48, 128)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
TOKENS = {"doc": MultiVectors.from_list([vectors[0]]), "query": MultiVectors.from_list([vectors[0, :32]])}


def muvera_of(entry):
    dialect = entry["impl"].split()[0]
    return Muvera(
        dim=128,
        repetitions=entry["repetitions"],
        ksim=entry["ksim"],
        dproj=entry["dprojections" if dialect == "weaviate" else "d_proj"],
        dialect=dialect,
        final_dim=entry.get("final"),
        **({"seed": entry["seed"]} if "seed" in entry else {}),
    )


def name_of(entry):
    return muvera_of(entry).fingerprint


def fast(muvera, role):
    return (muvera.encode_documents if role == "doc" else muvera.encode_queries)(TOKENS[role])


def plain(muvera, role):
    if role == "doc":
        return reference.encode_documents(muvera.matrices, TOKENS[role], fill=True)
    return reference.encode_queries(muvera.matrices, TOKENS[role])


def test_every_implementation_has_goldens():
    assert len(ENTRIES) == 8
    assert {entry["impl"].split()[0] for entry in ENTRIES} == {"fastembed", "google", "weaviate"}


@pytest.mark.parametrize("encode", [fast, plain])
@pytest.mark.parametrize("role", ["doc", "query"])
@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_golden(entry, role, encode):
    golden = entry[role]
    fde = encode(muvera_of(entry), role)[0].astype(np.float64)
    assert len(fde) == golden["dim"]
    np.testing.assert_allclose(fde[:8], golden["first8"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fde[-4:], golden["last4"], rtol=1e-5, atol=1e-6)
    assert fde.sum() == pytest.approx(golden["sum"], abs=1e-4)
    assert (fde**2).sum() == pytest.approx(golden["sumsq"], rel=1e-6)
