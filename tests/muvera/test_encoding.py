"""Muvera as a value: parameters, presets, fingerprints, errors; and what its vectors are worth."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vectorplug.muvera
from vectorplug.compressor import Compressor
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera


def unit_tokens(rng, lengths, dim):
    arrays = [rng.standard_normal((n, dim)) for n in lengths]
    return MultiVectors.from_list([(a / np.linalg.norm(a, axis=1, keepdims=True)).astype(np.float32) for a in arrays])


def test_public_names_are_sorted():
    assert vectorplug.muvera.__all__ == sorted(vectorplug.muvera.__all__)


def test_import_brings_neither_numba_nor_torch():
    code = "import sys, vectorplug.muvera; print(sorted({'numba', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_defaults_and_presets():
    assert Muvera(dim=128) == Muvera.preset("fastembed", dim=128)
    assert Muvera(dim=128).size == 10_240
    assert Muvera.preset("weaviate", dim=128).size == 2_560
    assert Muvera.preset("weaviate", dim=128).seed is None
    assert Muvera.preset("google", dim=128) == Muvera(dim=128, seed=1, dialect="google")
    changed = Muvera.preset("google", dim=64, repetitions=3, ksim=0, dproj=None, seed=9, fill=False, final_dim=5)
    expected = Muvera(dim=64, repetitions=3, ksim=0, dproj=None, seed=9, dialect="google", fill=False, final_dim=5)
    assert changed == expected
    assert (changed.size, Muvera(dim=64, repetitions=3, ksim=1, dproj=None).size) == (5, 3 * 2 * 64)


def test_a_value():
    assert {Muvera(dim=np.int64(64)), Muvera(dim=64), Muvera(dim=64, dproj=8)} == {
        Muvera(dim=64),
        Muvera(dim=64, dproj=8),
    }
    assert isinstance(Muvera(dim=64), Compressor)
    assert not isinstance(np.zeros(3), Compressor)
    with pytest.raises(AttributeError):
        Muvera(dim=64).dim = 3  # type: ignore[misc]


def test_what_gives_one_vector_is_one_value():
    assert Muvera(dim=32, dproj=32) == Muvera(dim=32, dproj=None)
    assert Muvera(dim=32, dproj=32, dialect="google") != Muvera(dim=32, dproj=None, dialect="google")
    assert Muvera(dim=32, dialect="weaviate") == Muvera(dim=32, dialect="weaviate", seed=None)


@pytest.mark.parametrize(
    ("muvera", "text"),
    [
        (Muvera(dim=128), "muvera1:fastembed:d128:r20:k5:p16:s42:fill"),
        (Muvera(dim=128, final_dim=1000), "muvera1:fastembed:d128:r20:k5:p16:s42:fill:f1000"),
        (Muvera(dim=96, dproj=None, fill=False), "muvera1:fastembed:d96:r20:k5:identity:s42:nofill"),
        (Muvera(dim=128, unit_norm=True), "muvera1:fastembed:d128:r20:k5:p16:s42:fill:unit"),
        (Muvera(dim=8, dproj=4, final_dim=9, unit_norm=True), "muvera1:fastembed:d8:r20:k5:p4:s42:fill:f9:unit"),
        (Muvera.preset("weaviate", dim=96), "muvera1:weaviate:d96:r10:k4:p16:fill"),
        (Muvera.preset("weaviate", dim=96, unit_norm=True), "muvera1:weaviate:d96:r10:k4:p16:fill:unit"),
        (Muvera.preset("google", dim=96), "muvera1:google:d96:r20:k5:p16:s1:fill"),
    ],
)
def test_fingerprint(muvera, text):
    assert muvera.fingerprint == text
    assert Muvera.from_fingerprint(text) == muvera


@given(st.data())
def test_fingerprint_round_trip(data):
    dialect = data.draw(st.sampled_from(["fastembed", "google", "weaviate"]))
    dim = data.draw(st.integers(1, 2048))
    muvera = Muvera(
        dim=dim,
        repetitions=data.draw(st.integers(1, 100)),
        ksim=data.draw(st.integers(0, 10)),
        dproj=data.draw(st.none() | st.integers(1, dim)),
        seed=None if dialect == "weaviate" else data.draw(st.integers(0, 2**31 - 1)),
        dialect=dialect,
        fill=data.draw(st.booleans()),
        final_dim=data.draw(st.none() | st.just(1)),
        unit_norm=data.draw(st.booleans()),
    )
    assert Muvera.from_fingerprint(muvera.fingerprint) == muvera


@pytest.mark.parametrize(
    "text",
    [
        "",
        "muvera2:fastembed:d128:r20:k5:p16:s42:fill",
        "muvera1:fastembed:d128:r20:k5:p16:s42:fill\n",
        "muvera1:fastembed:d128:r20:k5:p016:s42:fill",
        "muvera1:fastembed:d128:r20:k5:p128:s42:fill",
        "muvera1:fastembed:d128:r20:k5:p16:fill",
        "muvera1:fastembed:d128:r20:k5:p16:s42:fill:nounit",
        "muvera1:fastembed:d128:r20:k5:p16:s42:fill:unit:f9",
        "muvera1:weaviate:d128:r20:k5:p16:s7:fill",
        "muvera1:weaviate:d128:r20:k5:p16:s42:fill",
        "muvera1:qdrant:d128:r20:k5:p16:s42:fill",
        "muvera1:fastembed:d128:r20:k11:p16:s42:fill",
    ],
)
def test_no_fingerprint(text):
    with pytest.raises(ConfigurationError):
        Muvera.from_fingerprint(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dialect": "qdrant"}, "dialect 'qdrant' is unknown; it is one of fastembed, google, weaviate."),
        ({"ksim": 11}, "ksim is 11, expected an integer of 0 to 10."),
        ({"ksim": -1}, "ksim is -1, expected an integer of 0 to 10."),
        ({"repetitions": 0}, "repetitions is 0, expected an integer of at least 1."),
        ({"repetitions": 2.5}, "repetitions is 2.5, expected an integer of at least 1."),
        ({"dim": True}, "dim is True, expected an integer of at least 1."),
        ({"dproj": 129}, "dproj is 129, expected an integer of 1 to 128; None keeps the tokens as they are."),
        ({"seed": -1}, "seed is -1, expected an integer of 0 to 2147483647."),
        ({"seed": None}, "seed is None, expected an integer of 0 to 2147483647."),
        (
            {"seed": 7, "dialect": "weaviate"},
            "seed is 7: Weaviate's matrices are fixed, leave the seed out.",
        ),
        ({"fill": "yes"}, "fill is 'yes', expected True or False."),
        ({"unit_norm": 1}, "unit_norm is 1, expected True or False."),
        (
            {"final_dim": 10_241},
            "final_dim is 10241, expected an integer of 1 to 10240, the size that it shortens.",
        ),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ConfigurationError) as error:
        Muvera(**{"dim": 128, **options})
    assert str(error.value) == message


def test_wrong_calls():
    muvera = Muvera(dim=128)
    tokens = unit_tokens(np.random.default_rng(0), [3], 96)
    with pytest.raises(InputError, match=r"the tokens have 96 numbers each, this Muvera was made for dim=128\."):
        muvera.encode_documents(tokens)
    with pytest.raises(ConfigurationError, match="dtype 'int8' is unknown; FDEs are float32 or float16"):
        muvera.encode_queries(tokens, dtype="int8")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="preset 'qdrant' is unknown; it is one of fastembed, google"):
        Muvera.preset("qdrant", dim=8)


def test_matrices_are_made_once_and_read_only():
    first = Muvera(dim=20, dproj=4, final_dim=100).matrices
    assert Muvera(dim=20, dproj=4, final_dim=100, fill=False).matrices is first
    assert Muvera(dim=20, dproj=4, final_dim=100, seed=1).matrices is not first
    assert first.projection is not None
    assert first.final is not None
    for array in (first.planes, first.places, first.projection, first.final.columns, first.final.signs):
        assert not array.flags.writeable


def test_float16():
    muvera = Muvera(dim=32, repetitions=4, ksim=3, dproj=8)
    tokens = unit_tokens(np.random.default_rng(1), [30, 5], 32)
    encoded = muvera.encode_documents(tokens, dtype="float16")
    assert encoded.dtype == np.float16
    np.testing.assert_array_equal(encoded, muvera.encode_documents(tokens).astype(np.float16))
    large = MultiVectors.from_list([tokens[0], tokens[1] * np.float32(1e6)])
    with pytest.raises(InputError, match=r"the FDE of text 1 reaches \S+, float16 ends at 65504") as error:
        muvera.encode_queries(large, dtype="float16")
    assert error.value.index == 1


@pytest.mark.parametrize("dialect", ["google", "weaviate"])
def test_fewer_repetitions_are_a_prefix(dialect):
    tokens = unit_tokens(np.random.default_rng(2), [20, 9], 24)
    long = Muvera(dim=24, repetitions=6, ksim=3, dproj=8, dialect=dialect)
    short = Muvera(dim=24, repetitions=3, ksim=3, dproj=8, dialect=dialect)
    np.testing.assert_array_equal(long.encode_documents(tokens)[:, : short.size], short.encode_documents(tokens))
    np.testing.assert_array_equal(long.encode_queries(tokens)[:, : short.size], short.encode_queries(tokens))


@pytest.mark.parametrize(
    ("dialect", "checksums"),
    [
        ("fastembed", (504.6868, 116.11212)),
        ("google", (-267.2457, 119.43699)),
        ("weaviate", (-11.5778, 198.82881)),
    ],
)
def test_stored_vectors_stay_readable(dialect, checksums):
    """Our own final sketch has no other implementation to agree with, only the vectors that people have stored."""
    tokens = MultiVectors.from_list([np.linspace(-1, 1, 160, dtype=np.float32).reshape(10, 16) ** 3])
    fde = Muvera(dim=16, repetitions=5, ksim=3, dproj=4, dialect=dialect, final_dim=50).encode_documents(tokens)[0]
    assert (fde @ np.arange(50), fde @ fde) == pytest.approx(checksums, abs=1e-2)


@pytest.mark.parametrize(("final_dim", "correlation", "tolerance"), [(None, 0.99, 0.12), (4000, 0.95, 0.25)])
@pytest.mark.parametrize("dialect", ["fastembed", "google", "weaviate"])
def test_inner_products_follow_maxsim(dialect, final_dim, correlation, tolerance):
    """Document i holds near copies of i of the query's tokens: <q, d> follows, up to repetitions x MaxSim."""
    rng = np.random.default_rng(3)
    dim, repetitions = 64, 20
    query = unit_tokens(rng, [16], dim)
    documents = []
    for shared, tokens in enumerate(unit_tokens(rng, [24] * 17, dim)):
        copies = query[0][:shared] + 0.005 * rng.standard_normal((shared, dim)).astype(np.float32)
        documents.append(np.concatenate([copies / np.linalg.norm(copies, axis=1, keepdims=True), tokens[shared:]]))
    collection = MultiVectors.from_list(documents)
    maxsim = np.array([(query[0] @ d.T).max(axis=1).sum() for d in collection])

    muvera = Muvera(dim=dim, repetitions=repetitions, ksim=8, dproj=16, dialect=dialect, final_dim=final_dim)
    scores = (muvera.encode_queries(query) @ muvera.encode_documents(collection).T)[0] / repetitions
    assert np.corrcoef(scores, maxsim)[0, 1] > correlation
    assert scores[-1] == pytest.approx(maxsim[-1], rel=tolerance)
