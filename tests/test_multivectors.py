import json
from itertools import pairwise
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors, dtype_of, positions_of
from vectorplug.quantizing import floats_of_int4, to_int4

DTYPES = ["float32", "float16", "bfloat16", "int8", "int4"]


@st.composite
def multivectors(draw, dtype=None, min_documents=0, even=False):
    lengths = draw(st.lists(st.integers(1, 6), min_size=min_documents, max_size=6))
    dtype = draw(st.sampled_from(DTYPES)) if dtype is None else dtype
    dim = draw(st.sampled_from([2, 4, 6, 8]) if dtype == "int4" or even else st.integers(1, 9))
    # Bounded by float16's largest number.
    numbers = st.floats(-60000, 60000, width=32)
    values = draw(hnp.arrays(np.float32, (sum(lengths), dim), elements=numbers))
    return MultiVectors(values, np.cumsum([0, *lengths])).astype(dtype)


def sample(dtype="float32", lengths=(3, 1, 4), dim=6):
    values = np.random.default_rng(0).standard_normal((sum(lengths), dim), dtype=np.float32)
    return MultiVectors(values, np.cumsum([0, *lengths])).astype(dtype)


def assert_same(a, b):
    assert a.dtype == b.dtype
    assert np.array_equal(a.values, b.values)
    assert a.values.shape == b.values.shape
    assert np.array_equal(a.offsets, b.offsets)
    assert (a.scales is None) == (b.scales is None)
    assert a.scales is None or np.array_equal(a.scales, b.scales)


def assert_documents(made, expected):
    """Its documents are exactly the arrays of `expected`, and its parts are consistent."""
    expected = list(expected)
    assert len(made) == len(expected)
    assert made.offsets[0] == 0
    assert made.offsets[-1] == len(made.values)
    assert made.scales is None or len(made.scales) == len(made.values)
    for i, document in enumerate(expected):
        assert np.array_equal(made[i], document)


# Making them


def test_what_it_says_of_itself():
    made = sample()
    assert (len(made), made.dim, made.dtype, made.nbytes) == (3, 6, np.float32, 8 * 6 * 4)
    assert made.lengths.tolist() == [3, 1, 4]
    assert repr(made) == "MultiVectors(3 documents, 8 tokens, dim=6, float32)"
    assert sample("int8").nbytes == 8 * 6 + 8 * 4
    small = sample("int4")
    assert (len(small), small.dim, small.dtype.name, small.nbytes) == (3, 6, "int4", 8 * 3 + 8 * 4)
    assert repr(small) == "MultiVectors(3 documents, 8 tokens, dim=6, int4)"


def test_the_callers_arrays_are_not_copied():
    values, offsets = np.ones((4, 3), np.float32), np.array([0, 1, 4])
    made = MultiVectors(values, offsets)
    assert made.values is values
    assert made.offsets is offsets


def test_float64_becomes_float32_and_lists_are_arrays():
    made = MultiVectors([[1.0, 2.0], [3.0, 4.0]], [0, 2])
    assert made.dtype == np.float32
    assert made[0].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_strided_parts_become_contiguous():
    scales = np.arange(1, 9, dtype=np.float32)[::2]
    made = MultiVectors(np.ones((8, 6), np.int8)[::2, ::2], np.array([0, 9, 1, 9, 4, 9])[::2], scales)
    assert all(part.flags.c_contiguous for part in (made.values, made.offsets, made.scales))
    assert_same(MultiVectors.from_bytes(made.to_bytes()), made)


ones = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message", "index"),
    [
        ((np.ones(4), [0, 4]), r"values have shape \(4,\), expected \[total tokens, dim\]", None),
        ((np.ones((4, 3), np.int64), [0, 4]), "values are int64, expected one of float32, float16", None),
        ((ones, [0.0, 4.0]), r"offsets are float64 of shape \(2,\), expected integers", None),
        ((ones, [[0, 4]]), r"offsets are int64 of shape \(1, 2\)", None),
        ((ones, np.array([], np.int64)), r"offsets are int64 of shape \(0,\)", None),
        ((ones, [0, 3]), "offsets run from 0 to 3, expected 0 to 4", None),
        ((ones, [1, 4]), "offsets run from 1 to 4, expected 0 to 4", None),
        ((ones, [0, 2, 2, 4]), "document 1 has 0 tokens, expected at least one", 1),
        ((ones, [0, 3, 2, 4]), "document 1 has -1 tokens", 1),
        ((ones.astype(np.int8), [0, 4]), "int8 values and uint8 codes .* got int8 values without", None),
        ((ones, [0, 4], np.ones(4)), "got float32 values with scales", None),
        (
            (ones.astype(np.int8), [0, 4], np.ones(3)),
            r"scales are float32 of shape \(3,\), expected one float32 a token: \(4,\)",
            None,
        ),
        ((ones.astype(np.uint8), [0, 4]), "got uint8 values without scales", None),
        ((ones.astype(ml_dtypes.int4), [0, 4]), "values are int4, expected one of .* two numbers a uint8", None),
        ((np.full((4, 3), 1e300), [0, 4]), "token 0 of document 0", 0),
    ],
)
def test_parts_that_do_not_fit(arguments, message, index):
    with pytest.raises(InputError, match=message) as caught:
        MultiVectors(*arguments)
    assert caught.value.index == index


@settings(deadline=None)
@given(data=st.data(), made=multivectors(min_documents=1), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_number_that_is_not_finite_is_refused_and_said_where(data, made, bad):
    if made.scales is not None:
        name, broken = "scales", made.scales.copy()
    else:
        name, broken = "values", made.values.copy()
    document = data.draw(st.integers(0, len(made) - 1))
    token = data.draw(st.integers(0, int(made.lengths[document]) - 1))
    row = int(made.offsets[document]) + token
    broken[row, ...] = bad
    parts = (made.values, made.offsets, broken) if name == "scales" else (broken, made.offsets)
    where = rf"{name} of token {row} \(token {token} of document {document}\) hold NaN or infinity"
    with pytest.raises(InputError, match=where) as caught:
        MultiVectors(*parts)
    assert caught.value.index == document


def test_infinities_that_cancel_are_refused():
    values = np.array([[np.inf, -np.inf]], np.float32)
    with pytest.raises(InputError, match="token 0 of document 0"):
        MultiVectors(values, [0, 1])


def test_finite_numbers_whose_sum_is_not_are_kept():
    values = np.full((2, 2), 3e38, np.float32)
    assert np.array_equal(MultiVectors(values, [0, 2])[0], values)


# From lists, to lists


@settings(deadline=None)
@given(made=multivectors())
def test_a_list_and_back(made):
    again = MultiVectors.from_list(made.to_list(), dim=made.dim)
    assert_documents(again, made)
    assert again.dtype == (np.float32 if made.scales is not None or not len(made) else made.dtype)


def test_from_list_copies_and_mixed_dtypes_become_float32():
    first, second = np.ones((2, 3), np.float32), np.ones((1, 3), ml_dtypes.bfloat16)
    made = MultiVectors.from_list([first, second, np.ones((1, 3), np.int8), [[1, 2, 3]]])
    first[:] = 7
    assert made.dtype == np.float32
    assert made.values.tolist() == [[1, 1, 1]] * 4 + [[1, 2, 3]]
    assert MultiVectors.from_list([np.ones((2, 3), np.int8)]).dtype == np.float32
    assert MultiVectors.from_list([np.ones((2, 3), np.float16)]).dtype == np.float16


def test_from_an_empty_list():
    assert (len(MultiVectors.from_list([])), MultiVectors.from_list([]).dim) == (0, 0)
    none = MultiVectors.from_list([], dim=7)
    assert (len(none), none.dim, none.to_list(), none.lengths.tolist()) == (0, 7, [], [])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((0, 3)), r"document 1 has shape \(0, 3\), expected \[tokens, dim\] with at least one token"),
        (np.ones((2, 0)), r"document 1 has shape \(2, 0\)"),
        (np.ones(3), r"document 1 has shape \(3,\)"),
        (np.ones((2, 4)), "document 1 has 4 numbers a token, expected 3"),
        ([[1.0, 2.0, 3.0], [4.0]], r"document 1 is not an array \[tokens, dim\]"),
        ([["a", "b", "c"]], "document 1 is <U1, expected real numbers"),
        (np.ones((2, 3), complex), "document 1 is complex128, expected real numbers"),
        (np.full((2, 3), np.nan), r"values of token 2 \(token 0 of document 1\) hold NaN or infinity"),
        (np.full((2, 3), 1e300), r"values of token 2 \(token 0 of document 1\) hold NaN or infinity"),
    ],
)
def test_from_list_names_the_bad_document(bad, message):
    with pytest.raises(InputError, match=message) as caught:
        MultiVectors.from_list([np.ones((2, 3)), bad, np.ones((1, 3))])
    assert caught.value.index == 1


def test_from_list_holds_the_first_document_to_dim():
    with pytest.raises(InputError, match="document 0 has 3 numbers a token, expected 4"):
        MultiVectors.from_list([np.ones((2, 3))], dim=4)


# Choosing documents


@settings(deadline=None)
@given(data=st.data(), made=multivectors(min_documents=1))
def test_a_document_is_a_view_counted_from_either_end(data, made):
    i = data.draw(st.integers(-len(made), len(made) - 1))
    position = i % len(made)
    rows = slice(made.offsets[position], made.offsets[position + 1])
    if made.scales is None:
        assert np.array_equal(made[i], made.values[rows])
        assert np.shares_memory(made[i], made.values)
    elif made.dtype == np.int8:
        assert made[i].dtype == np.float32
        assert np.array_equal(made[i], made.values[rows].astype(np.float32) * made.scales[rows, None])
    else:
        assert np.array_equal(made[i], floats_of_int4(made.values[rows], made.scales[rows]))
    assert np.array_equal(made[np.int64(i)], made[i])


@pytest.mark.parametrize("i", [3, -4])
def test_a_document_that_is_not_there(i):
    with pytest.raises(IndexError):
        sample()[i]


optional = st.none() | st.integers(-8, 8)


@settings(deadline=None)
@given(made=multivectors(), start=optional, stop=optional, step=optional.filter(lambda step: step != 0))
def test_a_slice_is_the_slice_of_the_list(made, start, stop, step):
    chosen = made[start:stop:step]
    assert chosen.dim == made.dim
    assert_documents(chosen, made.to_list()[start:stop:step])
    if len(chosen) and step in (None, 1):
        assert np.shares_memory(chosen.values, made.values)
        assert made.scales is None or np.shares_memory(chosen.scales, made.scales)


@settings(deadline=None)
@given(data=st.data(), made=multivectors(min_documents=1))
def test_take_is_each_document_in_turn(data, made):
    ids = data.draw(st.lists(st.integers(0, len(made) - 1), max_size=10))
    taken = made.take(ids)
    assert taken.dim == made.dim
    assert_documents(taken, [made[i] for i in ids])


def test_take_copies_only_where_it_must():
    made = sample(lengths=(2, 3, 4, 5))
    for neighbours in ([1, 2, 3], [2], 2, np.array([0, 1], np.uint8)):
        assert np.shares_memory(made.take(neighbours).values, made.values)
    for scattered in ([0, 2], [2, 1], [1, 1]):
        assert not np.shares_memory(made.take(scattered).values, made.values)


@pytest.mark.parametrize(
    ("ids", "message", "index"),
    [
        ([0, 3], r"document 3 is asked for \(id 1\), there are 3 documents, counted from 0", 1),
        ([-1], r"document -1 is asked for \(id 0\)", 0),
        (np.array([2**64 - 1], np.uint64), "document 18446744073709551615 is asked for", 0),
        ([0.5], r"ids are float64 of shape \(1,\), expected the positions of documents: integers \[k\]", None),
        ([True, False, True], r"ids are bool of shape \(3,\).* np.flatnonzero\(mask\)", None),
        ([[0, 1]], r"ids are int64 of shape \(1, 2\)", None),
    ],
)
def test_take_of_what_is_no_position(ids, message, index):
    with pytest.raises(InputError, match=message) as caught:
        sample().take(ids)
    assert caught.value.index == index


def test_positions_are_int64_and_may_be_none():
    assert positions_of(np.array([2, 0], np.uint8), 3).dtype == np.int64
    assert positions_of([], 0).tolist() == []
    assert len(MultiVectors.from_list([], dim=4).take([])) == 0


# Joining


@settings(deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_concatenate_is_the_parts_in_order(data, dtype):
    whole = data.draw(multivectors(dtype=dtype))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    bounds = [0, *cuts, len(whole)]
    parts = [whole[a:b] for a, b in pairwise(bounds)]
    assert_same(MultiVectors.concatenate(iter(parts)), whole)


def test_concatenate_of_nothing():
    assert len(MultiVectors.concatenate([])) == 0


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (sample("float16"), "part 1 is float16 of dim 6, the first is float32 of dim 6: bring them to one dtype"),
        (sample("int8"), "part 1 is int8 of dim 6"),
        (sample("int4"), "part 1 is int4 of dim 6"),
        (sample(dim=5), "part 1 is float32 of dim 5, the first is float32 of dim 6"),
    ],
)
def test_concatenate_of_parts_that_differ(part, message):
    with pytest.raises(InputError, match=message) as caught:
        MultiVectors.concatenate([sample(), part])
    assert caught.value.index == 1


# Other dtypes


@settings(deadline=None)
@given(made=multivectors(dtype="float32"))
def test_float32_is_rounded_to_the_nearest(made):
    assert np.array_equal(made.astype("float16").values, made.values.astype(np.float16))
    assert np.array_equal(made.astype("bfloat16").values, made.values.astype(ml_dtypes.bfloat16))


@settings(deadline=None)
@given(made=multivectors(dtype="float32", even=True), dtype=st.sampled_from(DTYPES))
def test_to_float32_and_back_changes_nothing(made, dtype):
    first = made.astype(dtype)
    assert first.astype(dtype) is first
    wide = first.astype("float32")
    assert_documents(first, wide)
    if first.scales is None:
        assert_same(wide.astype(dtype), first)


@settings(deadline=None)
@given(made=multivectors(dtype="float32"))
def test_int8_is_within_half_a_step_of_every_number(made):
    small = made.astype("int8")
    assert small.values.dtype == np.int8
    assert (np.abs(small.values.astype(int)) <= 127).all()
    step = np.abs(made.values).max(axis=1, initial=0.0) / np.float64(127)
    # Rounding of the scale, and of the product, beside the half step; a token below float32's normal numbers is zeros.
    bound = step * (0.5 + 128 * 2**-22) + 128 * np.finfo(np.float32).tiny
    assert (np.abs(small.astype("float32").values.astype(np.float64) - made.values) <= bound[:, None]).all()
    assert (small.scales > 0).all()


def test_int8_of_numbers_that_are_worth_knowing():
    small = MultiVectors([[0.0, 0.0], [-2.0, 1.0], [254.0, -127.0], [190 * 2.0**-149, 0.0]], [0, 4]).astype("int8")
    assert small.values.tolist() == [[0, 0], [-127, 64], [127, -64], [0, 0]]
    assert small.scales[[0, 2, 3]].tolist() == [1.0, 2.0, 1.0]


def test_int4_is_quantized_tokens_and_nothing_else():
    made = sample()
    codes, scales = to_int4(made.values)
    assert_same(made.astype("int4"), MultiVectors(codes, made.offsets, scales))
    assert_same(made.astype("float16").astype("int4"), made.astype("float16").astype("float32").astype("int4"))
    assert made.astype("int8").astype("int4").dtype == made.astype("int4").astype("int4").dtype


def test_int4_of_an_odd_dim():
    with pytest.raises(InputError, match="int4 keeps two numbers a byte, and the tokens have 5 numbers: use int8"):
        sample(dim=5).astype("int4")


@pytest.mark.parametrize(("dtype", "number"), [("float16", 65520.0), ("bfloat16", 3.4e38)])
def test_a_number_too_large_for_the_dtype(dtype, number):
    made = MultiVectors([[1.0], [-number]], [0, 1, 2])
    with pytest.raises(InputError, match=r"token 1 \(token 0 of document 1\)") as caught:
        made.astype(dtype)
    assert caught.value.index == 1


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_by_name_and_by_dtype(name):
    assert dtype_of(name) == dtype_of(dtype_of(name)) == sample().astype(name).dtype


@pytest.mark.parametrize("dtype", ["float64", "nonsense", np.int16, float])
def test_other_dtypes(dtype):
    with pytest.raises(InputError, match="is not one of float32, float16, bfloat16, int8, int4"):
        sample().astype(dtype)


# Bytes and files


@settings(deadline=None)
@given(made=multivectors())
def test_bytes_and_back(made):
    again = MultiVectors.from_bytes(made.to_bytes())
    assert_same(again, made)
    assert_same(MultiVectors.from_bytes(memoryview(made[1:].to_bytes())), made[1:])


def test_from_bytes_views_the_bytes_read_only():
    data = sample("int8").to_bytes()
    made = MultiVectors.from_bytes(data)
    buffer = np.frombuffer(data, np.uint8)
    assert np.shares_memory(made.values, buffer)
    assert np.shares_memory(made.scales, buffer)
    assert not made.values.flags.writeable


@settings(max_examples=200, deadline=None)
@given(data=st.data(), made=multivectors(min_documents=1))
def test_bytes_cut_short_anywhere_are_refused(data, made):
    whole = made.to_bytes()
    kept = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InputError):
        MultiVectors.from_bytes(whole[:kept])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), made=multivectors(min_documents=1))
def test_a_flipped_bit_is_refused_or_harmless(data, made):
    """Harmless are the padding of the header, the metadata's own names, and nothing else."""
    whole = bytearray(made.to_bytes())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        again = MultiVectors.from_bytes(whole)
    except InputError:
        return
    assert position < 8 + int.from_bytes(made.to_bytes()[:8], "little")
    assert_same(again, made)


def rewritten(data, change):
    """The safetensors file `data` with its header changed."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda header: header["__metadata__"].update(format="vectorplug.multivectors/2"),
            "these bytes has format 'vectorplug.multivectors/2', expected 'vectorplug.multivectors/1'",
        ),
        (lambda header: header.pop("__metadata__"), "format None, expected 'vectorplug.multivectors/1'"),
        (
            lambda header: header["__metadata__"].update(format="vectorplug.multivectors/1 int4/1"),
            "these bytes has format 'vectorplug.multivectors/1 int4/1', expected 'vectorplug.multivectors/1' for its",
        ),
        (lambda header: header["__metadata__"].update(crc32="00000000"), "these bytes are damaged: the CRC-32 differs"),
        (lambda header: header["__metadata__"].pop("crc32"), "these bytes are damaged"),
        (lambda header: header.pop("values"), "these bytes holds no values"),
        (lambda header: header["values"].update(dtype="F8_E5M2"), "these bytes: not a whole file of MultiVectors"),
        (lambda header: header["values"].update(shape=[8, 7]), "these bytes: not a whole file of MultiVectors"),
        (lambda header: header["values"].pop("data_offsets"), "these bytes: not a whole file of MultiVectors"),
    ],
)
def test_bytes_of_something_else(change, message):
    with pytest.raises(InputError, match=message):
        MultiVectors.from_bytes(rewritten(sample().to_bytes(), change))


@pytest.mark.parametrize(
    ("dtype", "change", "message"),
    [
        ("float32", lambda header: header["values"].update(dtype="I64", shape=[8, 3]), "values are int64, expected"),
        ("float32", lambda header: header["values"].update(shape=[48]), r"values have shape \(48,\)"),
        ("int8", lambda header: header.pop("scales"), "got int8 values without scales"),
        ("int8", lambda header: header["scales"].update(dtype="I8", shape=[32]), r"scales are int8 of shape \(32,\)"),
        ("int4", lambda header: header["scales"].update(shape=[4, 2]), r"scales are float32 of shape \(4, 2\)"),
        (
            "int4",
            lambda header: header["__metadata__"].update(format="vectorplug.multivectors/1"),
            "expected 'vectorpl",
        ),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_not_opened(tmp_path: Path, dtype, change, message):
    (tmp_path / "store").write_bytes(rewritten(sample(dtype).to_bytes(), change))
    with pytest.raises(InputError, match=message):
        MultiVectors.open(tmp_path / "store")


@pytest.mark.parametrize("data", [b"", b"123", b"\xff" * 64, b"[]".rjust(10, b"\0"), b"\2" + b"\0" * 7 + b"[]"])
def test_bytes_that_are_no_file_at_all(data):
    with pytest.raises(InputError, match="these bytes: not a whole file of MultiVectors"):
        MultiVectors.from_bytes(data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [(3, 1, 4), ()])
def test_a_file_is_mapped_not_read(tmp_path: Path, dtype, lengths):
    made = sample(dtype, lengths)
    made.save(tmp_path / "store")
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]
    assert_same(MultiVectors.from_bytes((tmp_path / "store").read_bytes()), made)
    opened = MultiVectors.open(str(tmp_path / "store"))
    assert_same(opened, made)
    assert isinstance(opened.values, np.memmap) or not lengths
    assert not opened.values.flags.writeable
    assert not isinstance(opened.offsets, np.memmap)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch):
    import safetensors.numpy

    sample().save(tmp_path / "store")

    def disk_full(_arrays, path, _metadata):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", disk_full)
        with pytest.raises(OSError, match="no space left"):
            sample("int8").save(tmp_path / "store")
    assert_same(MultiVectors.open(tmp_path / "store"), sample())
    sample("int8").save(tmp_path / "store")
    assert_same(MultiVectors.open(tmp_path / "store"), sample("int8"))


@settings(deadline=None)
@given(kept=st.integers(0, 10_000))
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory, kept):
    path = tmp_path_factory.mktemp("cut") / "store"
    whole = sample().to_bytes()
    path.write_bytes(whole[: kept % len(whole)])
    with pytest.raises(InputError, match="store"):
        MultiVectors.open(path)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        MultiVectors.open(tmp_path / "store")
