"""Attention over a pack in one call: our arguments to torch's function, which only a GPU runs, by one that means them.

`ragged` below is written from the function's documentation: what it gives has to be what the library gives.
"""

import inspect
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from vectorplug import Vectorizer
from vectorplug.models import packed
from vectorplug.models.attention import Pack, packed_attention, ragged_attention

TEXTS = ["the sea, and the ship!", "bread", "wave " * 60, "...!?", "Which of these texts is about the sea? " * 4]

varlen = pytest.importorskip("torch.nn.attention.varlen", reason="this torch has no ragged attention")


def ragged(
    query,
    key,
    value,
    cu_seq_q,
    cu_seq_k,
    max_q,
    max_k,
    *,
    scale=None,
    window_size=(-1, -1),
    enable_gqa=False,
    seqused_k=None,
) -> torch.Tensor:
    """q [total, heads, d] -> [total, heads, d], text by text; distances count from the last query and the last key."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    lengths = cu_seq_q.diff().tolist()
    assert max_q == max_k == max(lengths)
    assert enable_gqa == (key.shape[1] != query.shape[1])
    key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for states in (key, value))
    output = torch.empty_like(query)
    starts = cu_seq_q.tolist()
    for i, length in enumerate(lengths):
        keys = length if seqused_k is None else int(seqused_k[i])
        rows, seen = slice(starts[i], starts[i] + length), slice(starts[i], starts[i] + keys)
        ahead = torch.arange(keys)[None] - (torch.arange(length)[:, None] + keys - length)
        left, right = window_size
        hidden = (ahead > right) & (right >= 0) | (ahead < -left) & (left >= 0)
        weights = torch.einsum("qhd,khd->hqk", query[rows], key[seen]) * (scale or query.shape[-1] ** -0.5)
        weights = weights.masked_fill(hidden, -torch.inf).softmax(dim=-1)
        output[rows] = torch.einsum("hqk,khd->qhd", weights, value[seen])
    return output


def as_torch_takes_them(*arguments, **keywords) -> torch.Tensor:
    """The same, of arguments that the installed torch's function has."""
    inspect.signature(varlen.varlen_attn).bind(*arguments, **keywords)
    return ragged(*arguments, **keywords)


def least_cosine(found, expected):
    return min(
        (np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()
        for a, b in zip(found, expected, strict=True)
    )


def vectorizer(folder: Path) -> Vectorizer:
    return Vectorizer(str(folder), device="cpu", dtype="float32", fde=None)


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3"])
def test_one_call_equals_one_call_a_text(monkeypatch, tmp_path: Path, family: str) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model", family=family)
    plain = vectorizer(folder)
    monkeypatch.setattr(packed, "ragged_attention", lambda *_: as_torch_takes_them)
    at_once = vectorizer(folder)
    assert at_once._encoder._runner.is_ragged
    assert not plain._encoder._runner.is_ragged
    for verb in ("encode_document", "encode_query"):  # queries have expansion tokens that nobody attends to
        found, expected = (getattr(model, verb)(TEXTS).tokens for model in (at_once, plain))
        assert least_cosine(found, expected) > 0.9999


@pytest.mark.parametrize("wrong", ["keys", "window", "refused"])
def test_a_function_that_gives_something_else_is_not_used(monkeypatch, tmp_path: Path, wrong: str) -> None:
    def other(*arguments, **keywords) -> torch.Tensor:
        if wrong == "refused":
            raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")
        changed = {"keys": {"seqused_k": None}, "window": {"window_size": (-1, -1)}}[wrong]
        return ragged(*arguments, **(keywords | changed))

    monkeypatch.setattr(packed, "ragged_attention", lambda *_: other)
    # Of the tiny networks the one whose attention weighs something.
    model = vectorizer(checkpoints.write_tiny_colbert(tmp_path / "model", family="modernbert"))
    assert model._encoder.is_packed
    assert not model._encoder._runner.is_ragged


@pytest.mark.parametrize(("window", "causal", "taken"), [(None, False, 1), (4, False, 0), (None, True, 0)])
def test_distances_to_expansion_tokens_are_counted_text_by_text(window, causal: bool, taken: int) -> None:
    states = [torch.randn(1, 2, 17, 8, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    outputs = []
    for function in (None, as_torch_takes_them):
        pack = Pack([9, 8], [6, 8], function)
        output, _ = packed_attention(
            torch.nn.Identity(), *states, None, vectorplug_pack=pack, sliding_window=window, is_causal=causal
        )
        outputs.append(output)
    torch.testing.assert_close(*outputs)
    assert (pack.calls, pack.ragged_calls) == (1, taken)


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch was built without CUDA")
@pytest.mark.parametrize(
    ("window", "causal", "attended"), [(None, False, [6, 8]), (4, True, [9, 8]), (4, False, [9, 8])]
)
def test_torch_s_own_function_takes_the_arguments(window, causal: bool, attended: list[int]) -> None:
    with FakeTensorMode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # shapes on a device that need not be there
        query = torch.empty(1, 8, 17, 64, device="cuda", dtype=torch.bfloat16)
        key = torch.empty(1, 4, 17, 64, device="cuda", dtype=torch.bfloat16)
        pack = Pack([9, 8], attended, varlen.varlen_attn)
        output, _ = packed_attention(
            torch.nn.Identity(), query, key, key, None, vectorplug_pack=pack, sliding_window=window, is_causal=causal
        )
    assert (output.shape, pack.ragged_calls) == ((1, 17, 8, 64), 1)


def test_only_a_gpu_in_16_bits_has_it() -> None:
    assert ragged_attention(torch.device("cpu"), torch.bfloat16) is None
    assert ragged_attention(torch.device("cuda"), torch.float32) is None
    assert ragged_attention(torch.device("cuda"), torch.bfloat16) is varlen.varlen_attn
