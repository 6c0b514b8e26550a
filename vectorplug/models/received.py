"""How much attention each token of a text receives in the model's last layer."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from vectorplug.models.spans import kept_tokens
from vectorplug.models.tokenizing import prompt_of

__all__ = ["attention_received"]

NAME = "vectorplug_received"
# Rows of attention that are held at once: those of 8,192 tokens and 12 heads would be 3 GB.
QUERIES_AT_ONCE = 512


class _Received:
    """What came through last, which in the end is the last layer: float32 [tokens] for a text that stands alone."""

    def __init__(self) -> None:
        self.weights: Tensor | None = None


def attention_received(
    model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str]
) -> list[npt.NDArray[np.float32]] | None:
    """n times float32 [token vectors]: the mean over heads and over the text's tokens of the attention that it gets.

    `texts` are documents; None where the checkpoint has no attention layer that is reached through transformers'
    interface. Source: Lassance et al., token pruning for ColBERT (arXiv 2112.06540), the attention score.
    """
    backbone: Any = getattr(model[0], "model", None)
    if not hasattr(backbone, "set_attn_implementation"):
        return None
    accepted = set(inspect.signature(backbone.forward).parameters)
    before = backbone.config._attn_implementation
    found = []
    backbone.set_attn_implementation(NAME)
    try:
        for text in texts:
            features: dict[str, Any] = model.preprocess([text], prompt=prompt_of(model, "document"), task="document")
            kept = kept_tokens(model, features, "document")[0]
            inputs = {name: each.to(backbone.device) for name, each in features.items() if name in accepted}
            received = _Received()
            with torch.inference_mode():
                backbone(**inputs, vectorplug_received=received, return_dict=True)
            if received.weights is None:
                return None
            found.append(received.weights.cpu()[kept].numpy())
    finally:
        backbone.set_attn_implementation(before)
    return found


def receiving_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    vectorplug_received: _Received,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, tokens, d], key and value [1, key heads, tokens, d] -> [1, tokens, heads, d]."""
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    output = torch.empty_like(query)
    total = torch.zeros(key.shape[2], device=key.device)
    for start in range(0, query.shape[2], QUERIES_AT_ONCE):
        rows = slice(start, start + QUERIES_AT_ONCE)
        scores = (query[:, :, rows] @ key.transpose(2, 3)).float() * scale
        if attention_mask is not None:
            scores += attention_mask[:, :, rows, : key.shape[2]]
        weights = scores.softmax(dim=-1)
        total += weights.sum(dim=(0, 1, 2))
        output[:, :, rows] = weights.to(value.dtype) @ value
    vectorplug_received.weights = total / (query.shape[1] * query.shape[2])
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, receiving_attention)
AttentionMaskInterface.register(NAME, eager_mask)
