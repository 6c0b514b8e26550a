"""Linear layers in oneDNN's layout: what the plain ones give, and what cannot be laid out stays plain."""

from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from vectorplug.models.catalog import resolve
from vectorplug.models.encoder import Encoder
from vectorplug.models.loading import load
from vectorplug.models.packed import PackedEncoder
from vectorplug.models.prepacked import PrepackedLinear, prepack, unpack
from vectorplug.models.weights import HostWeights, weight_bytes
from vectorplug.residency.peak import cpu_peak

DTYPES = [torch.float32, torch.bfloat16]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


class Block(nn.Module):
    """As BERT's: a linear layer and its GELU, called one after the other, or the other way round."""

    def __init__(self, wide: int, narrow: int, *, swapped: bool = False) -> None:
        super().__init__()
        self.dense = nn.Linear(wide, narrow)
        self.act = GELUActivation()
        self._swapped = swapped

    def forward(self, states: Tensor) -> Tensor:
        made: Tensor = self.dense(self.act(states)) if self._swapped else self.act(self.dense(states))
        return made


def layers(network: nn.Module) -> list[PrepackedLinear]:
    return [module for module in network.modules() if isinstance(module, PrepackedLinear)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("wide", "narrow", "bias"), [(7, 13, True), (64, 32, False), (384, 1536, True)])
def test_a_layer_gives_what_the_plain_one_gives_for_batches_of_any_size(
    dtype: torch.dtype, wide: int, narrow: int, bias: bool
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(wide, narrow, bias=bias).to(dtype)
    weight = linear.weight.detach().clone()
    network = nn.Sequential(linear)
    prepack(network)
    (layer,) = layers(network)
    assert layer.weight.is_mkldnn
    for rows in (1, 16, 300):
        states = torch.randn(2, rows, wide).to(dtype)
        expected = nn.functional.linear(states, weight, linear.bias)
        with torch.inference_mode():
            assert torch.allclose(network(states), expected, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])
    unpack(network)
    assert torch.equal(layer.weight, weight)
    with torch.inference_mode():
        assert torch.allclose(network(states), expected, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gelu_that_follows_is_one_with_its_layer(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    block = Block(24, 40).to(dtype)
    states = torch.randn(5, 24).to(dtype)
    with torch.inference_mode():
        expected = block(states)
        prepack(block)
        found = block(states)
    assert isinstance(block.act, nn.Identity)
    assert torch.allclose(found, expected, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])


def test_a_gelu_that_comes_first_is_left_where_it_is() -> None:
    torch.manual_seed(0)
    block = Block(24, 24, swapped=True)
    states = torch.randn(5, 24)
    with torch.inference_mode():
        expected = block(states)
        prepack(block)
        assert torch.allclose(block(states), expected, atol=1e-5)
    assert isinstance(block.act, GELUActivation)
    assert len(layers(block)) == 1


def test_a_dtype_that_onednn_has_not_stays_plain() -> None:
    block = Block(6, 6).double()
    linear = block.dense
    prepack(block)
    assert block.dense is linear
    assert isinstance(block.act, GELUActivation)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_layer_of_a_transformer_is_laid_out_on_a_cpu(tmp_path: Path, dtype: str) -> None:
    encoder = Encoder(str(checkpoints.write_tiny_colbert(tmp_path, family="bert")), device="cpu", dtype=dtype)
    backbone: Any = encoder._model[0].model
    plain = [module for module in backbone.modules() if type(module) is nn.Linear]
    assert not plain
    assert all(isinstance(block.intermediate.intermediate_act_fn, nn.Identity) for block in backbone.encoder.layer)


def test_a_network_that_reads_its_weights_can_go_on_doing_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = load(resolve(str(checkpoints.write_tiny_colbert(tmp_path, family="bert"))), torch.device("cpu"))
    block = checkpoint.backbone.encoder.layer[0].output
    forward = type(block).forward

    def reading(self: nn.Module, *states: Tensor) -> Tensor:
        self.dense.weight.chunk(2)  # type: ignore[union-attr, operator]
        return forward(self, *states)  # type: ignore[no-any-return]

    monkeypatch.setattr(type(block), "forward", reading)
    encoder = PackedEncoder.of(checkpoint, torch.float32)
    assert encoder is not None
    assert layers(checkpoint.backbone)
    assert not any(layer.weight.is_mkldnn for layer in layers(checkpoint.backbone))
    # Out and back does not lay them out after all.
    HostWeights(checkpoint.backbone, pinned=False).put_back()
    assert not any(layer.weight.is_mkldnn for layer in layers(checkpoint.backbone))


def test_out_and_back_lays_them_out_again() -> None:
    network = nn.Sequential(nn.Linear(12, 20), nn.Linear(20, 4))
    prepack(network)
    states = torch.randn(3, 12)
    with torch.inference_mode():
        expected = network(states)
        size = weight_bytes(network)
        host = HostWeights(network, pinned=False)
        assert (weight_bytes(network), host.nbytes) == (0, size)
        host.put_back()
        assert torch.equal(network(states), expected)
    assert weight_bytes(network) == size
    assert all(layer.weight.is_mkldnn for layer in layers(network))


def test_where_memory_runs_out_on_the_way_they_are_laid_out_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Linear(12, 20))
    prepack(network)

    def full(*_: object, **__: object) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("vectorplug.models.weights.torch.empty", full)
    with pytest.raises(torch.OutOfMemoryError):
        HostWeights(network, pinned=False)
    assert all(layer.weight.is_mkldnn for layer in layers(network))


def test_the_peak_of_a_pass_counts_what_it_makes() -> None:
    network = nn.Sequential(nn.Linear(64, 256))
    prepack(network)
    states = torch.randn(100, 64)
    with torch.inference_mode():
        _, peak = cpu_peak(lambda: network(states))
    assert peak == 100 * 256 * 4
