"""Weights that leave the device and come back: the same bits, and no byte held in between."""

from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from torch import nn

from vectorplug.errors import ModelError
from vectorplug.models.encoder import Encoder
from vectorplug.models.piece import Piece
from vectorplug.models.weights import HostWeights, empty, weight_bytes

TEXTS = ["the sea", "bread", "a ship on the sea with wind and salt " * 5]


def encoded(encoder: Encoder) -> Piece:
    return encoder.forward(encoder.tokenize(TEXTS, "document"))


def same_bits(one: Piece, other: Piece) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("tokens", "lengths", "dense"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3", "mpnet"])
def test_what_comes_back_gives_the_same_bits(tmp_path: Path, family: str, dtype: str) -> None:
    encoder = Encoder(str(checkpoints.write_tiny_colbert(tmp_path / family, family=family)), device="cpu", dtype=dtype)
    before, weights = encoded(encoder), encoder.weight_bytes
    for _ in range(2):  # the second time from where the first put them
        encoder.offload()
        assert (encoder.weight_bytes, encoder.host_bytes) == (0, weights)
        with pytest.raises(ModelError, match=r"not in memory.*lease\(\)"):
            encoded(encoder)
        assert len(encoder.tokenize(TEXTS, "query")) == 3
        encoder.restore()
        assert (encoder.weight_bytes, encoder.host_bytes) == (weights, 0)
        assert same_bits(encoded(encoder), before)


def test_repeating_either_way_changes_nothing(tiny_dense: Path) -> None:
    encoder = Encoder(str(tiny_dense), device="cpu", dtype="float32")
    before, weights = encoded(encoder), encoder.weight_bytes
    encoder.restore()
    encoder.offload()
    encoder.offload()
    assert encoder.host_bytes == weights
    encoder.restore()
    assert same_bits(encoded(encoder), before)


def test_compact_goes_out_and_back_and_a_way_back_without_memory_is_tried_again(
    tiny_dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(str(tiny_dense), device="cpu", dtype="float32")
    before = encoded(encoder)
    seen = []
    encoder.compact(lambda: seen.append(encoder.weight_bytes))
    assert seen == [0]
    assert same_bits(encoded(encoder), before)

    def full(_: HostWeights) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patched:
        patched.setattr(HostWeights, "put_back", full)
        with pytest.raises(torch.OutOfMemoryError):
            encoder.compact(lambda: None)
        with pytest.raises(torch.OutOfMemoryError):
            encoded(encoder)
    assert same_bits(encoded(encoder), before)


def test_what_was_unloaded_is_gone(tiny_dense: Path) -> None:
    encoder = Encoder(str(tiny_dense), device="cpu", dtype="float32")
    encoder.unload()
    encoder.offload()
    encoder.restore()
    assert (encoder.weight_bytes, encoder.host_bytes) == (0, 0)
    with pytest.raises(ModelError, match="not in memory"):
        encoded(encoder)
    assert encoder.facts.token_dim == 32  # what is known stays


class Odd(nn.Module):
    """Shared, transposed, scalar and empty tensors of several dtypes, and a buffer that is a view."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 5, dtype=torch.float64)
        self.two = nn.Linear(3, 5)
        self.three = nn.Linear(3, 5)
        self.three.weight = self.two.weight
        self.four = nn.Parameter(torch.randn(7, 4).t())
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("none", torch.empty(0, dtype=torch.bfloat16))
        self.register_buffer("spread", torch.arange(4)[None].expand(3, 4), persistent=False)


def test_every_kind_of_tensor_comes_back_as_it_was() -> None:
    module = Odd()
    before = {name: (t.clone(), t.shape) for name, t in [*module.named_parameters(), *module.named_buffers()]}
    order = module.four.stride()
    size = weight_bytes(module)
    host = HostWeights(module, pinned=False)
    assert weight_bytes(module) == 0
    assert host.nbytes == size == 8 * 256  # eight tensors, each from a multiple of 256 on, the shared one once
    host.put_back()
    after = dict([*module.named_parameters(), *module.named_buffers()])
    assert all(
        torch.equal(after[name], value) and after[name].shape == shape for name, (value, shape) in before.items()
    )
    assert module.three.weight is module.two.weight
    assert module.four.stride() == order
    empty(module)
    assert weight_bytes(module) == 0
