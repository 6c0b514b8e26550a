"""FDEs in 8 bits and in 1 bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorplug.codes import FdeCodes
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera

KINDS = ["int8", "bit"]


def random_fdes(n, size, seed=0):
    return np.random.default_rng(seed).standard_normal((n, size), dtype=np.float32)


@given(n=st.integers(0, 5), size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_int8_is_within_half_a_step(n, size, seed):
    fdes = random_fdes(n, size, seed)
    coded = FdeCodes.of(fdes, "int8")
    assert (coded.values.dtype, coded.values.shape, len(coded)) == (np.int8, (n, size), n)
    error = np.abs(coded.decode() - fdes)
    assert (error <= coded.scales[:, None] * 0.501).all()
    np.testing.assert_allclose(np.abs(coded.decode()).max(axis=1), np.abs(fdes).max(axis=1), rtol=1e-6)


@given(n=st.integers(0, 5), size=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_bit_keeps_signs_and_the_best_scale(n, size, seed):
    fdes = random_fdes(n, size, seed)
    coded = FdeCodes.of(fdes, "bit")
    np.testing.assert_array_equal(coded.values, np.packbits(fdes > 0, axis=1))
    decoded = coded.decode()
    np.testing.assert_array_equal(decoded > 0, fdes > 0)
    # Least squares: what is left over stands at right angles to what is kept.
    np.testing.assert_allclose(((fdes - decoded) * decoded).sum(axis=1), 0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_zeros_scores_zero(kind):
    coded = FdeCodes.of(np.zeros((1, 9), np.float32), kind)
    assert coded.scores(np.ones(9)).tolist() == [0]


def test_bytes():
    fdes = random_fdes(10, 10_240)
    assert FdeCodes.of(fdes, "int8").nbytes == 10 * (10_240 + 4)
    assert FdeCodes.of(fdes, "bit").nbytes == 10 * (1_280 + 4)


@pytest.mark.parametrize(("kind", "overlap"), [("int8", 0.97), ("bit", 0.75)])
@pytest.mark.parametrize("scale", [1, 100])
def test_rankings_hold(kind, overlap, scale):
    """Documents of ten topics and of lengths and norms of their own: the codes' top 10 is the FDE's."""
    rng = np.random.default_rng(4)
    topics = rng.standard_normal((10, 20, 64))
    documents = []
    for i in range(300):
        tokens = topics[i % 10, rng.integers(20, size=rng.integers(20, 60))]
        documents.append(tokens + 0.7 * rng.standard_normal(tokens.shape))
    queries = [topics[i % 10, rng.integers(20, size=12)] + 0.7 * rng.standard_normal((12, 64)) for i in range(30)]
    muvera = Muvera(dim=64, repetitions=10, ksim=4, dproj=16)
    fdes = muvera.encode_documents(MultiVectors.from_list([d.astype(np.float32) * scale for d in documents]))
    wanted = muvera.encode_queries(MultiVectors.from_list([q.astype(np.float32) for q in queries]))

    exact = np.argsort(-(wanted @ fdes.T), axis=1)[:, :10]
    coded = np.argsort(-FdeCodes.of(fdes, kind).scores(wanted), axis=1)[:, :10]
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, coded, strict=True)])
    assert shared >= overlap


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1])
def test_fdes_of_no_number(kind, size):
    for n in (0, 3):
        coded = FdeCodes.of(np.zeros((n, size), np.float32), kind)
        assert coded.decode().shape == (n, size)
        assert coded.scores(np.ones(size)).tolist() == [0] * n
        assert coded.scores(np.ones((2, size))).tolist() == [[0] * n] * 2
        assert coded.scores(np.ones((0, size))).shape == (0, n)


def test_errors():
    with pytest.raises(ConfigurationError, match="kind 'int4' is unknown; FDE codes are 'int8' or 'bit'"):
        FdeCodes.of(random_fdes(1, 8), "int4")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"FDEs have shape \(8,\), expected \[n, size\]"):
        FdeCodes.of(random_fdes(1, 8)[0], "int8")
    with pytest.raises(InputError, match=r"queries have shape \(9,\), expected \[8\] or \[q, 8\]"):
        FdeCodes.of(random_fdes(1, 8), "bit").scores(np.ones(9))


@pytest.mark.parametrize(
    ("kind", "values", "scales", "message"),
    [
        ("int8", (2, 8), 2, r"values have shape \(2, 8\), expected \[n, 9\]: 'int8' codes of 9 numbers"),
        ("bit", (2, 1), 2, r"values have shape \(2, 1\), expected \[n, 2\]: 'bit' codes of 9 numbers"),
        ("bit", (2, 9), 2, r"values have shape \(2, 9\), expected \[n, 2\]"),
        ("int8", (9,), 2, r"values have shape \(9,\), expected \[n, 9\]"),
        ("int8", (2, 9), 1, r"scales have shape \(1,\), expected \[2\], one a document"),
        ("bit", (2, 2), (2, 1), r"scales have shape \(2, 1\), expected \[2\]"),
    ],
)
def test_arrays_of_wrong_shapes(kind, values, scales, message):
    with pytest.raises(InputError, match=message):
        FdeCodes(kind, 9, np.zeros(values, np.int8 if kind == "int8" else np.uint8), np.zeros(scales, np.float32))


def test_arrays_of_wrong_dtypes():
    codes, scales = np.zeros((2, 9), np.int8), np.zeros(2, np.float32)
    with pytest.raises(InputError, match="values are uint8, expected a NumPy array of int8"):
        FdeCodes("int8", 9, codes.view(np.uint8), scales)
    with pytest.raises(InputError, match="scales are float64, expected a NumPy array of float32"):
        FdeCodes("int8", 9, codes, scales.astype(np.float64))
    with pytest.raises(InputError, match="scales are list, expected a NumPy array of float32"):
        FdeCodes("int8", 9, codes, [0.0, 0.0])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="kind 'int4' is unknown"):
        FdeCodes("int4", 9, codes, scales)  # type: ignore[arg-type]
