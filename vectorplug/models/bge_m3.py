"""bge-m3: its own modules give the dense vector, and a projection that lies beside them gives the token vectors.

Both come from one forward pass. Source: FlagEmbedding, `EncoderOnlyEmbedderM3ModelForInference` and `M3Embedder`.
"""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from torch.nn.functional import normalize

from vectorplug.errors import ModelLoadError
from vectorplug.models.catalog import Source
from vectorplug.models.files import find

__all__ = ["TokenHead", "with_token_head"]

PROJECTION = "colbert_linear.pt"


class TokenHead(nn.Module):
    """hidden [total, width] of sequences one after the other -> tokens [total - sequences, dim] at unit norm."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())

    def forward(self, hidden: Tensor, first: Tensor) -> Tensor:
        """`first` bool [total]: True at the first position of each sequence, which is the dense vector's alone."""
        return normalize(nn.functional.linear(hidden[~first], self.weight, self.bias), dim=-1)


def with_token_head(source: Source, model: SentenceTransformer) -> tuple[SentenceTransformer, TokenHead | None]:
    """The model and its head for tokens; None where the checkpoint has no such projection."""
    path = find(source, PROJECTION)
    if path is None:
        return model, None
    transformer: Any = model[0]
    width = transformer.get_embedding_dimension()
    head = _read(path, width).to(model.device)
    if find(source, "modules.json") is None:
        # FlagEmbedding's trainer writes none; sentence-transformers then takes the mean instead of the first position.
        model = SentenceTransformer(
            modules=[transformer, Pooling(width, pooling_mode="cls"), Normalize()], device=str(model.device)
        )
    # A part of the transformer's module, so that it moves between devices and is counted with it.
    transformer.add_module("token_head", head)
    return model, head


def _read(path: Path, width: int) -> TokenHead:
    # A pickle, so that anything in it but tensors and plain containers is refused, not executed.
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not {"weight", "bias"} <= state.keys():
        raise ModelLoadError(f"{path.name} is no linear layer: expected its weight and bias.")
    if state["weight"].ndim != 2 or state["weight"].shape[1] != width:
        raise ModelLoadError(
            f"{path.name} has shape {tuple(state['weight'].shape)}, expected [dim, {width}]: it is another model's."
        )
    return TokenHead(state["weight"], state["bias"])
