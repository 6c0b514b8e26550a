"""Offsets and candidates of any kind through everything that takes them: an InputError or the right answer.

VECTORPLUG_TEST_MALFORMED=100000 tries so many.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim, reference
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.muvera import reference as muvera_reference

MALFORMED = int(os.environ.get("VECTORPLUG_TEST_MALFORMED", "3000"))
PATHS = supported_paths()
pytestmark = pytest.mark.usefixtures("kernels_of_any_size")
EXTREMES = [0, 1, -1, -2, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**62, 2**32]
DIM = 6
FDE = Muvera(dim=DIM, repetitions=2, ksim=2, dproj=3)
TWO_NUMBERS = Muvera(dim=2, repetitions=2, ksim=2, dproj=None)


def right_offsets(rng, total):
    cuts = rng.permutation(np.arange(1, total))[: rng.integers(0, max(total, 1))]
    return np.concatenate([[0], np.sort(cuts), [total]])


def random_offsets(rng, total):
    """Right ones, right ones with something changed, and whatever comes."""
    offsets = right_offsets(rng, total)
    match int(rng.integers(9)):
        case 0 | 1:
            return offsets.astype(rng.choice([np.int64, np.int32, np.uint8, np.uint64]))
        case 2:
            return np.repeat(offsets, 2)[::2] if rng.integers(2) else np.repeat(offsets, 2)[::-2]
        case 3:
            offsets[rng.integers(len(offsets))] = rng.choice(EXTREMES)
            return offsets
        case 4:
            # Every difference is positive, as 64 bits count.
            return np.array([0, 2**63 - 1, -2, total]) if rng.integers(2) else rng.choice(EXTREMES, rng.integers(6))
        case 5:
            return rng.integers(-2, total + 3, rng.integers(8))
        case 6:
            return rng.integers(0, 2**64, rng.integers(4), dtype=np.uint64)
        case 7:
            return offsets.astype(rng.choice([np.float64, np.bool_, np.complex128, object]))
        case _:
            return offsets[None, :] if rng.integers(2) else rng.permutation(offsets)


def are_right(offsets, total):
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        return False
    numbers = [int(offset) for offset in offsets]
    return bool(numbers) and sorted(set(numbers)) == numbers and numbers[0] == 0 and numbers[-1] == total


def test_offsets_of_any_kind():
    rng = np.random.default_rng(0)
    query = rng.standard_normal((3, DIM)).astype(np.float32)
    right = 0
    for _ in range(MALFORMED):
        total = int(rng.integers(0, 24))
        values, offsets = rng.standard_normal((total, DIM), dtype=np.float32), random_offsets(rng, total)
        offsets.setflags(write=bool(rng.integers(2)))
        if not are_right(offsets, total):
            with pytest.raises(InputError, match=r"offsets|document"):
                MultiVectors(values, offsets)
            continue
        right += 1
        documents = MultiVectors(values, offsets).astype(["float32", "float16", "bfloat16", "int8", "int4"][right % 5])
        expected = reference.maxsim(query, documents)
        assert np.allclose(maxsim(query, documents), expected, rtol=1e-3, atol=1e-3), offsets
        assert np.allclose(maxsim(documents, documents).diagonal(), self_scores(documents), rtol=1e-3, atol=1e-3)
        if right % 4 == 0:
            encoded = muvera_reference.encode_documents(FDE.matrices, documents, fill=FDE.fill)
            assert np.allclose(FDE.encode_documents(documents), encoded, rtol=1e-3, atol=1e-3), offsets
            again = MultiVectors.from_bytes(documents.to_bytes())
            assert np.array_equal(again.offsets, documents.offsets)
    assert right > MALFORMED / 6


def self_scores(documents):
    return [reference.maxsim(document, documents[i : i + 1])[0] for i, document in enumerate(documents)]


def test_candidates_of_any_kind():
    rng = np.random.default_rng(1)
    documents = MultiVectors(rng.standard_normal((40, DIM)), right_offsets(rng, 40))
    query = rng.standard_normal((3, DIM)).astype(np.float32)
    scores, count = maxsim(query, documents), len(documents)
    kinds = [np.int64, np.int8, np.uint64, np.float32, np.bool_]
    for _ in range(MALFORMED):
        size = int(rng.integers(5))
        ids = rng.integers(0, count, size) if rng.integers(2) else rng.choice([*EXTREMES, count, count - 1], size)
        with np.errstate(invalid="ignore"):
            ids = ids.astype(kinds[rng.integers(len(kinds))])[:: rng.choice([1, -1])]
        if ids.size == 0 or (ids.dtype.kind in "iu" and all(0 <= int(i) < count for i in ids)):
            assert np.array_equal(maxsim(query, documents, candidates=ids), scores[ids.astype(np.int64)])
        else:
            with pytest.raises(InputError, match=r"ids are|is asked for"):
                maxsim(query, documents, candidates=ids)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        *((dtype, bad) for dtype in ("float32", "float16", "bfloat16", "int8") for bad in (np.nan, np.inf)),
        ("int4", np.nan),  # no level of int4 is zero: nothing times infinity is NaN
    ],
)
def test_a_token_that_is_no_number_counts_for_nothing(monkeypatch, path, dtype, bad):
    """As in a mapped file that something else wrote: what is made here is refused."""
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    rng = np.random.default_rng(0)
    whole = MultiVectors.from_list([rng.standard_normal((n, 64)) for n in (1, 5, 40)]).astype(dtype)
    values, scales = whole.values.copy(), None if whole.scales is None else whole.scales.copy()
    without = np.array([3, 20])
    if scales is None:
        # Infinity of either sign: its product with what is not zero all along is NaN.
        values[without, :2] = [bad, -bad]
        values[0] = bad
        values[0, 1] = -bad
    else:
        values[without], scales[without], values[0], scales[0] = 0, bad, 0, bad
    broken = MultiVectors._trusted(values, whole.offsets, scales)
    query = np.abs(rng.standard_normal((9, 64)).astype(np.float32))
    kept = np.setdiff1d(np.arange(46), [0, *without])
    part = MultiVectors._trusted(whole.values[kept], np.array([0, 4, 43]), None if scales is None else scales[kept])
    scores = maxsim(query, broken)
    assert scores[0] == -np.inf
    assert np.array_equal(scores[1:], maxsim(query, part))


@pytest.mark.skipif(sys.platform != "linux", reason="needs files with holes")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "int4"])
def test_more_than_two_to_the_31_tokens(tmp_path: Path, dtype):
    """A file of holes: nothing lies on the disk but the first and the last document."""
    rng = np.random.default_rng(0)
    ends = MultiVectors.from_list([rng.standard_normal((n, 2)) for n in (5, 50)]).astype(dtype)
    total = 2**31 + 100

    def mapped(name, part):
        whole = np.memmap(tmp_path / name, part.dtype, mode="w+", shape=(total, *part.shape[1:]))
        whole[:5], whole[-50:] = part[:5], part[5:]
        return whole

    scales = None if ends.scales is None else mapped("scales", ends.scales)
    store = MultiVectors._trusted(mapped("values", ends.values), np.array([0, 5, total - 50, total]), scales)
    assert (store.dtype.name, len(store.values)) == (dtype, total)
    query = rng.standard_normal((4, 2))
    for path in PATHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VECTORPLUG_MAXSIM", path)
            assert np.array_equal(maxsim(query, store, candidates=[2, 0]), maxsim(query, ends)[::-1])
    assert np.array_equal(TWO_NUMBERS.encode_documents(store.take([2])), TWO_NUMBERS.encode_documents(ends[1:]))
