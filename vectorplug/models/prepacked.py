"""Linear layers on a CPU: the weight laid out once as oneDNN multiplies it, and GELU in the same pass.

torch's own linear layer lays its weight out anew in every call: for a text of some words that takes as long as the
product.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from transformers.activations import GELUActivation

__all__ = ["PrepackedLinear", "prepack", "unpack"]

# Of the two ways in 16 bits, each of which rounds in its own places.
LEAST_COSINE = 0.999


class PrepackedLinear(nn.Linear):
    """float [..., in] -> [..., out]: the linear layer that it was made of, with the GELU after it where `gelu`.

    `weight` has oneDNN's layout, which only its own operations read, until `unpack`. The layer runs either way.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self._activation = "gelu" if gelu else "none"
        self.pack()

    def forward(self, input: Tensor) -> Tensor:
        """One call of oneDNN: the operation that torch's own compiler makes of such a layer."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, self._activation, [], "none")
        return made

    def pack(self) -> None:
        """Lay the weight out, for batches of any size."""
        if not self.weight.is_mkldnn:
            packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)
            self.weight = nn.Parameter(packed, requires_grad=False)

    def unpack(self) -> None:
        """The weight as everybody reads it, with the same bits."""
        if self.weight.is_mkldnn:
            self.weight = nn.Parameter(self.weight.to_dense(), requires_grad=False)


def prepack(network: nn.Module) -> None:
    """Put a PrepackedLinear in place of each linear layer on whose outcome the two agree; others stay as they are.

    Where oneDNN has no such operation, or not in the weight's dtype, that is all of them.
    """
    for parent in list(network.modules()):
        parts = dict(parent.named_children())
        linears = {name: part for name, part in parts.items() if type(part) is nn.Linear}
        gelus = [name for name, part in parts.items() if type(part) is GELUActivation]
        if len(parts) == 2 and len(linears) == len(gelus) == 1 and _fuse(parent, *linears, *gelus):
            continue
        for name, linear in linears.items():
            layer = _prepacked(linear, gelu=False)
            if layer is not None and _agree(_outcome(linear, linear), _outcome(layer, linear)):
                setattr(parent, name, layer)


def unpack(network: nn.Module) -> list[PrepackedLinear]:
    """Make weights that can be copied and written, a layer at a time; returns the layers, for `pack`."""
    layers = [module for module in network.modules() if isinstance(module, PrepackedLinear) and module.weight.is_mkldnn]
    for layer in layers:
        layer.unpack()
    return layers


def _fuse(parent: nn.Module, name: str, after: str) -> bool:
    """Whether the module `parent`, of a linear layer and a GELU, gives the same with both in one; else it is as before.

    BERT's relatives have such a module in each block. What calls its two otherwise will not agree.
    """
    linear, gelu = parent.get_submodule(name), parent.get_submodule(after)
    assert isinstance(linear, nn.Linear)
    layer = _prepacked(linear, gelu=True)
    if layer is None:
        return False
    expected = _outcome(parent, linear)
    setattr(parent, name, layer)
    setattr(parent, after, nn.Identity())
    if _agree(expected, _outcome(parent, linear)):
        return True
    setattr(parent, name, linear)
    setattr(parent, after, gelu)
    return False


def _prepacked(linear: nn.Linear, *, gelu: bool) -> PrepackedLinear | None:
    try:
        return PrepackedLinear(linear, gelu=gelu)
    except (AttributeError, RuntimeError):  # another torch, without that operation; a dtype that oneDNN has not
        return None


def _outcome(module: nn.Module, linear: nn.Linear) -> Tensor | None:
    """float32 [4, out] of a sample that goes through `module` and so through `linear`; None where it cannot."""
    size = 4 * linear.in_features
    sample = torch.arange(size, dtype=torch.float32).sin().view(4, -1).to(linear.weight.dtype)
    try:
        with torch.inference_mode():
            made = module(sample)
    except (AttributeError, RuntimeError, TypeError):
        return None
    return made.float() if isinstance(made, Tensor) else None


def _agree(expected: Tensor | None, found: Tensor | None) -> bool:
    if expected is None or found is None or expected.shape != found.shape:
        return False
    return bool(cosine_similarity(expected, found, dim=-1).min() >= LEAST_COSINE)
