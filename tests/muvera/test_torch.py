"""FDEs of tensors in plain torch, on the CPU, against the plain reference."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from muvera.closeness import assert_equals_reference
from muvera.random_tokens import gaussian_tokens, repeated_tokens

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.muvera import FdeCodes, Muvera
from vectorplug.muvera.torch import code_values, encode_documents, encode_queries


def tensors(tokens):
    return torch.from_numpy(tokens.values), torch.from_numpy(tokens.offsets)


@st.composite
def muveras(draw):
    dim = draw(st.sampled_from([1, 2, 7, 16, 33, 64]))
    ksim, repetitions = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    dproj = draw(st.none() | st.integers(1, dim))
    return Muvera(
        dim=dim,
        repetitions=repetitions,
        ksim=ksim,
        dproj=dproj,
        dialect=draw(st.sampled_from(["fastembed", "google", "weaviate"])),
        fill=draw(st.booleans()),
        final_dim=draw(st.none() | st.integers(1, repetitions * 2**ksim * (dproj or dim))),
        unit_norm=draw(st.booleans()),
    )


@settings(max_examples=40, deadline=None)
@given(
    muvera=muveras(),
    lengths=st.lists(st.integers(1, 40), max_size=4),
    make=st.sampled_from([gaussian_tokens, repeated_tokens]),
    seed=st.integers(0, 2**32 - 1),
)
@example(muvera=Muvera(dim=128), lengths=[1, 128, 2], make=gaussian_tokens, seed=0)
@example(muvera=Muvera(dim=8, repetitions=2, ksim=1, dproj=3, final_dim=5), lengths=[], make=gaussian_tokens, seed=0)
@example(muvera=Muvera(dim=8, ksim=9, repetitions=1, dproj=3), lengths=[5], make=gaussian_tokens, seed=0)
def test_equals_the_reference(muvera, lengths, make, seed):
    tokens = make(seed, lengths, muvera.dim)
    documents, queries = (encode(muvera, *tensors(tokens)) for encode in (encode_documents, encode_queries))
    assert documents.dtype == torch.float32
    assert_equals_reference(muvera, tokens, documents.numpy(), queries.numpy(), relative=1e-5, absolute=1e-5)


def test_blocks_are_those_of_float64_where_float32_would_err():
    muvera = Muvera(dim=96, repetitions=20, ksim=5, dproj=None, fill=False)
    planes = muvera.matrices.planes.reshape(-1, muvera.dim)
    # Each token is projected onto a hyperplane, in float64: what is left of the product is rounding.
    values = np.random.default_rng(0).standard_normal((len(planes), muvera.dim))
    values -= (values * planes).sum(axis=1, keepdims=True) * planes / (planes**2).sum(axis=1, keepdims=True)
    values = values.astype(np.float32)
    products = values.astype(np.float64) @ planes.T
    assert ((values @ planes.T.astype(np.float32) > 0) != (products > 0)).any(), "these should be hard for float32"
    codes = (products > 0).reshape(-1, 20, 5) @ (1 << np.arange(5))
    fdes = encode_queries(muvera, torch.from_numpy(values), torch.arange(len(values) + 1))
    blocks = fdes.view(len(values), 20, 32, 96)
    np.testing.assert_array_equal((blocks != 0).any(dim=3).int().argmax(dim=2), codes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tokens_of_16_bits_are_read_as_they_are(dtype):
    muvera = Muvera(dim=24, repetitions=3, ksim=3, dproj=8)
    tokens, offsets = tensors(gaussian_tokens(0, [4, 9], 24))
    half = tokens.to(dtype)
    assert torch.equal(encode_documents(muvera, half, offsets), encode_documents(muvera, half.float(), offsets))


def test_float16_out_and_what_does_not_fit_it():
    muvera = Muvera(dim=24, repetitions=3, ksim=3, dproj=8)
    tokens, offsets = tensors(gaussian_tokens(0, [4, 9], 24))
    half = encode_documents(muvera, tokens, offsets, dtype="float16")
    assert torch.equal(half, encode_documents(muvera, tokens, offsets).half())
    tokens[offsets[1] :] *= 1e6
    with pytest.raises(InputError, match=r"the FDE of text 1 reaches .* float16 ends at 65504") as caught:
        encode_queries(muvera, tokens, offsets, dtype="float16")
    assert caught.value.index == 1


@pytest.mark.parametrize("kind", ["int8", "bit"])
@pytest.mark.parametrize("size", [1, 8, 51])
def test_codes_are_those_of_fde_codes(kind, size):
    fdes = np.random.default_rng(size).standard_normal((5, size), dtype=np.float32)
    fdes[1] = 0
    fdes[2, ::2] = 0
    expected = FdeCodes.of(fdes, kind)
    values, scales = code_values(torch.from_numpy(fdes), kind)
    np.testing.assert_array_equal(values.numpy(), expected.values)
    assert values.numpy().dtype == expected.values.dtype
    np.testing.assert_allclose(scales.numpy(), expected.scales, rtol=1e-6 if kind == "bit" else 0)


def test_what_does_not_fit_is_refused():
    muvera = Muvera(dim=4, repetitions=2, ksim=1, dproj=2)
    tokens, offsets = torch.ones(3, 4), torch.tensor([0, 1, 3])
    for wrong, said in (
        ((tokens[:, :3], offsets), "3 numbers each, this Muvera was made for dim=4"),
        ((tokens.char(), offsets), "tokens are torch.int8"),
        ((tokens[0], offsets), r"of shape \(4,\)"),
        ((tokens, offsets.int()), "offsets are torch.int32"),
        ((tokens, offsets.to("meta")), "offsets lie on meta, the tokens on cpu"),
    ):
        with pytest.raises(InputError, match=said):
            encode_documents(muvera, *wrong)
    with pytest.raises(ConfigurationError, match="dtype 'int8' is unknown"):
        encode_documents(muvera, tokens, offsets, dtype="int8")
    with pytest.raises(ConfigurationError, match="kind 'byte' is unknown"):
        code_values(tokens, "byte")
