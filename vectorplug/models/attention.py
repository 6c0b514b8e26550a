"""Packed attention: sequences of any length stand one after the other in a batch of one, and none sees another.

transformers hands every attention layer to a registered function and passes unknown keywords of the model's call on
to it. So one function serves each architecture that goes through that interface, and no padding is computed.
On a GPU a pack is one call of torch's ragged attention, elsewhere one of plain attention for each run of equal lengths.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

__all__ = ["NAME", "Pack", "Ragged", "ragged_attention"]

NAME = "vectorplug_packed"

Ragged = Callable[..., Any]
"""`torch.nn.attention.varlen.varlen_attn`, or what takes the same arguments."""


def ragged_attention(device: torch.device, dtype: torch.dtype) -> Ragged | None:
    """torch's attention over sequences of any length in one call; None where there is none for device and dtype.

    A torch whose function has other arguments, or a network it does not fit, is found when a checkpoint is tried.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


@dataclass(slots=True)
class Pack:
    """Where each of n sequences stands in the packed row: one after the other, `lengths[i]` positions each.

    Of these the first `attended[i]` are keys: ColBERT's [MASK] expansion stands last and nobody attends to it.
    With `ragged` all sequences are one call of it. `calls` counts the layers that came through here, `ragged_calls`
    those of them that it took.
    """

    lengths: list[int]
    attended: list[int]
    ragged: Ragged | None = None
    calls: int = 0
    ragged_calls: int = 0
    _places: tuple[Tensor, Tensor | None] | None = field(default=None, init=False)

    def places(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """int32 [n + 1], where each sequence begins, and int32 [n], its keys; None where all are. Copied once."""
        if self._places is None:
            offsets = torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32, device=device)
            keys = None
            if self.attended != self.lengths:
                keys = torch.tensor(self.attended, dtype=torch.int32, device=device)
            self._places = offsets, keys
        return self._places

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
    # It counts causal and windowed distances from the last key, which has to be the last query, too.
    if pack.ragged is not None and (pack.attended == pack.lengths or not (causal or sliding_window is not None)):
        return _in_one_call(pack, pack.ragged, query, key, value, scaling, sliding_window, causal, grouped), None
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


def _in_one_call(
    pack: Pack,
    ragged: Ragged,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    sliding_window: int | None,
    causal: bool,
    grouped: bool,
) -> Tensor:
    pack.ragged_calls += 1
    offsets, keys = pack.places(query.device)
    longest = max(pack.lengths)
    # How far to the left and to the right a query sees: -1 is to the end.
    left = -1 if sliding_window is None else sliding_window - 1
    # Only what is needed: not every torch's function has every keyword.
    needed: dict[str, Any] = {
        "scale": scaling,
        "window_size": (left, 0 if causal else left) if causal or left >= 0 else None,
        "enable_gqa": grouped or None,
        "seqused_k": keys,
    }
    rows = (states[0].transpose(0, 1) for states in (query, key, value))
    output: Tensor = ragged(
        *rows,
        offsets,
        offsets,
        longest,
        longest,
        **{name: value for name, value in needed.items() if value is not None},
    )
    return output[None]


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
