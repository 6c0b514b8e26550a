"""Packed attention: sequences of any length stand one after the other in a batch of one, and none sees another.

transformers hands every attention layer to a registered function and passes unknown keywords of the model's call on
to it. So one function serves each architecture that goes through that interface, and no padding is computed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

__all__ = ["NAME", "Pack"]

NAME = "vectorplug_packed"


@dataclass(slots=True)
class Pack:
    """Where each of n sequences stands in the packed row: one after the other, `lengths[i]` positions each.

    Of these the first `attended[i]` are keys: ColBERT's [MASK] expansion stands last and nobody attends to it.
    `calls` counts the layers that came through here.
    """

    lengths: list[int]
    attended: list[int]
    calls: int = 0

    def groups(self) -> Iterator[tuple[int, int, int, int]]:
        """(start, sequences, length, attended) of neighbours that are alike: they are one call."""
        start = 0
        for (length, attended), alike in groupby(zip(self.lengths, self.attended, strict=True)):
            count = len(list(alike))
            yield start, count, length, attended
            start += count * length


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - the interface's; the pack says who sees whom
    *,
    vectorplug_pack: Pack,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, total, d], key and value [1, key heads, total, d] -> [1, total, heads, d].

    A layer with a `sliding_window` of w attends where |i - j| < w, which is what transformers passes on.
    """
    pack = vectorplug_pack
    pack.calls += 1
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    grouped = key.shape[1] != query.shape[1]
    output = query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])
    for start, count, length, attended in pack.groups():
        rows = slice(start, start + count * length)
        q, k, v = (_apart(t[0, :, rows], count) for t in (query, key, value))
        windowed = sliding_window is not None and length >= sliding_window
        mask = _window_mask(length, attended, sliding_window or 0, causal, query) if windowed else None
        part = scaled_dot_product_attention(
            q,
            k[:, :, :attended],
            v[:, :, :attended],
            attn_mask=mask,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=grouped,
        )
        output[0, rows] = part.transpose(1, 2).flatten(0, 1)
    return output, None


def _apart(packed: Tensor, count: int) -> Tensor:
    """[heads, count * length, d] -> [count, heads, length, d]: a view, whatever the strides are."""
    heads, total, d = packed.shape
    return packed.view(heads, count, total // count, d).transpose(0, 1)


def _window_mask(queries: int, keys: int, window: int, causal: bool, like: Tensor) -> Tensor:
    """Bool [queries, keys]: True where a query may attend."""
    i = torch.arange(queries, device=like.device)[:, None]
    j = torch.arange(keys, device=like.device)[None, :]
    near = (i - j).abs() < window
    return near & (j <= i) if causal else near


def _no_mask(*_: Any, **__: Any) -> None:
    """The pack replaces every mask."""


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _no_mask)
