"""FDEs of tokens that lie on a device, made there: only the vectors, or their codes, have to cross the bus.

Not part of `import vectorplug.muvera`, which stays without torch. Tokens are projected before their blocks are added
up, the other way round than on a CPU: a GPU has arithmetic to spare, and blocks of dproj numbers are an eighth of the
traffic.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.muvera.dialects import Matrices
from vectorplug.muvera.encoding import Muvera

__all__ = ["EMPTY", "code_values", "encode_documents", "encode_queries", "plain_blocks"]

TOKEN_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Where the first token of a block would stand that has none.
EMPTY = 2**31 - 1


def encode_documents(
    muvera: Muvera, tokens: Tensor, offsets: Tensor, *, dtype: Literal["float32", "float16"] = "float32"
) -> Tensor:
    """float32 or float16 [n, muvera.size] on the tokens' device: what `muvera.encode_documents` gives, to rounding.

    `tokens` [total, dim] in float32, float16 or bfloat16, finite; text i is `tokens[offsets[i]:offsets[i + 1]]`,
    `offsets` int64 [n + 1] beside them. Every text has a token.

    A token's block is the reference's: its products with the hyperplanes are float64, and only one within float64's
    rounding of zero (about 1e-15 of the norms) may fall on the other side. Numbers differ by the order of float32 sums,
    by about 1e-5 of the largest. A device without float64, such as Apple's, cannot run this.

    One batch at a time: it takes memory for total x (dim + repetitions x dproj) and n x size numbers. Raises
    InputError for shapes, dtypes and devices that do not fit, and where a number does not fit float16 (for which it
    waits for the device; float32 does not). Source: arXiv 2405.19504, section 2.
    """
    return _encode(muvera, tokens, offsets, dtype, average=True, fill=muvera.fill, unit_norm=muvera.unit_norm)


def encode_queries(
    muvera: Muvera, tokens: Tensor, offsets: Tensor, *, dtype: Literal["float32", "float16"] = "float32"
) -> Tensor:
    """float32 or float16 [n, muvera.size]: sums of the tokens of each block, never filled; else as encode_documents."""
    return _encode(muvera, tokens, offsets, dtype, average=False, fill=False, unit_norm=False)


@torch.no_grad()
def code_values(fdes: Tensor, kind: Literal["int8", "bit"]) -> tuple[Tensor, Tensor]:
    """`values` and `scales` of FdeCodes, on the device: int8 [n, size] or uint8 [n, ceil(size / 8)], float32 [n].

    `fdes` float [n, size]. Codes are those of `FdeCodes.of`, number by number; a bit's scale, a mean, to rounding.
    ConfigurationError for another kind.
    """
    numbers = fdes.float()
    if kind == "int8":
        scales = numbers.abs().amax(dim=1) / 127
        divisors = torch.where(scales == 0, 1, scales)
        return (numbers / divisors[:, None]).round().to(torch.int8), scales
    if kind != "bit":
        raise ConfigurationError(f"kind {kind!r} is unknown; FDE codes are 'int8' or 'bit'.")
    bits = torch.nn.functional.pad(numbers > 0, (0, -numbers.shape[1] % 8)).reshape(len(numbers), -1, 8)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=fdes.device)
    return (bits * weights).sum(dim=2, dtype=torch.uint8), numbers.abs().mean(dim=1)


@torch.no_grad()
def _encode(
    muvera: Muvera, tokens: Tensor, offsets: Tensor, dtype: str, *, average: bool, fill: bool, unit_norm: bool
) -> Tensor:
    _check(muvera, tokens, offsets, dtype)
    n, matrices = len(offsets) - 1, muvera.matrices
    if n == 0:
        return torch.empty(0, matrices.size, dtype=getattr(torch, dtype), device=tokens.device)
    placed = _placed(matrices, tokens.device)
    values = tokens.float()
    products = (values.double() @ placed.planes).view(len(values), *matrices.planes.shape[:2])
    # [total, repetitions, dproj]; without a projection every repetition adds up the tokens themselves.
    parts = values[:, None].expand(-1, len(matrices.planes), -1)
    if placed.projection is not None:
        parts = (values @ placed.projection).view(len(values), len(matrices.planes), -1)
    if tokens.device.type == "cuda" and _has_triton():
        from vectorplug.muvera.triton import fused_blocks

        blocks, firsts = fused_blocks(products, parts, offsets, average)
    else:
        blocks, firsts = plain_blocks(products, parts, offsets, average)
    if fill:
        blocks = _filled(blocks, firsts, parts, matrices.ties)
    if placed.codes is not None:
        blocks = blocks[:, :, placed.codes]
    fdes = blocks.flatten(1)
    if placed.columns is not None and placed.signs is not None:
        # In float64, whose sums are the same float32 in any order: additions of a GPU come in none.
        sketch = torch.zeros(n, matrices.size, dtype=torch.float64, device=tokens.device)
        fdes = sketch.index_add_(1, placed.columns, (fdes * placed.signs).double()).float()
    if unit_norm:
        norms = torch.linalg.vector_norm(fdes, dim=1, keepdim=True, dtype=torch.float64)
        fdes = (fdes / torch.where(norms > 0, norms, 1)).float()
    return fdes if dtype == "float32" else _half(fdes)


def plain_blocks(products: Tensor, parts: Tensor, offsets: Tensor, average: bool) -> tuple[Tensor, Tensor]:
    """Sums or averages of `parts` by block, float32 [n, repetitions, 2^ksim, d], and the first token of each block.

    products float64 [total, repetitions, ksim]: bit i of a token's code is (products[:, :, i] > 0); parts float32
    [total, repetitions, d]; offsets int64 [n + 1]. The first tokens are int64 [n, repetitions, 2^ksim]: rows of parts,
    EMPTY where there is none.
    """
    total, repetitions, ksim = products.shape
    n, codes = len(offsets) - 1, 1 << ksim
    each = torch.arange(total, device=parts.device)
    text = torch.repeat_interleave(torch.arange(n, device=parts.device), offsets.diff(), output_size=total)
    weights = 1 << torch.arange(ksim, device=parts.device)
    index = text[:, None] * codes + ((products > 0) * weights).sum(dim=2)
    sums = torch.zeros(repetitions, n * codes, parts.shape[2], dtype=torch.float64, device=parts.device)
    firsts = torch.full((repetitions, n * codes), EMPTY, device=parts.device)
    for repetition in range(repetitions):
        blocks = index[:, repetition]
        sums[repetition].index_add_(0, blocks, parts[:, repetition].double())
        firsts[repetition].scatter_reduce_(0, blocks, each, "amin")
        if average:
            counts = torch.zeros(n * codes, device=parts.device).index_add_(0, blocks, torch.ones_like(each).float())
            sums[repetition] /= counts.clamp(min=1)[:, None]
    by_text = sums.float().view(repetitions, n, codes, parts.shape[2]).transpose(0, 1).contiguous()
    return by_text, firsts.view(repetitions, n, codes).transpose(0, 1).contiguous()


def _filled(blocks: Tensor, firsts: Tensor, parts: Tensor, ties: Literal["token", "code"]) -> Tensor:
    """Blocks without a token take the part of the nearest one, by Hamming distance of the codes."""
    codes = blocks.shape[2]
    step = 1 << 32
    by_code = torch.arange(codes, device=blocks.device).expand_as(firsts)
    rank = firsts.long() if ties == "token" else by_code
    nearest = torch.where(firsts == EMPTY, codes * step, rank)
    # distance x step + rank, the least over all codes: a distance is a sum over bits, so one bit after the other.
    bit = 1
    while bit < codes:
        pairs = nearest.view(*nearest.shape[:2], -1, 2, bit)
        nearest = torch.minimum(pairs, pairs.flip(3) + step).view_as(nearest)
        bit *= 2
    tokens = nearest % step
    if ties == "code":
        tokens = firsts.long().gather(2, tokens)
    repetition = torch.arange(blocks.shape[1], device=blocks.device)[:, None]
    return torch.where((firsts == EMPTY)[..., None], parts[tokens, repetition], blocks)


def _half(fdes: Tensor) -> Tensor:
    half = fdes.half()
    if bool(half.isinf().any()):
        highest = fdes.abs().amax(dim=1)
        index = int(highest.argmax())
        raise InputError(
            f"the FDE of text {index} reaches {float(highest[index]):.4g}, float16 ends at 65504: "
            'ask for dtype="float32", or normalise the tokens.',
            index=index,
        )
    return half


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Matrices on a device: planes float64 [dim, repetitions x ksim], projection float32 [dim, repetitions x dproj].

    `codes` int64 [2^ksim]: whose block stands at each place, None where each stands at its own; `columns` int64 and
    `signs` float32 [full size] of the last sketch.
    """

    planes: Tensor
    projection: Tensor | None
    codes: Tensor | None
    columns: Tensor | None
    signs: Tensor | None


@lru_cache(maxsize=16)
def _placed(matrices: Matrices, device: torch.device) -> _Placed:
    def on_device(array: object) -> Tensor:
        # A copy: torch wants arrays that may be written to.
        return torch.tensor(array, device=device)

    planes = on_device(matrices.planes.reshape(-1, matrices.dim).T.copy())
    projection = matrices.projection
    codes = matrices.places.argsort()
    final = matrices.final
    return _Placed(
        planes,
        None if projection is None else on_device(projection.transpose(1, 0, 2).reshape(matrices.dim, -1)),
        None if (codes == matrices.places).all() and (codes[:-1] < codes[1:]).all() else on_device(codes),
        None if final is None else on_device(final.columns),
        None if final is None else on_device(final.signs),
    )


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _check(muvera: Muvera, tokens: Tensor, offsets: Tensor, dtype: str) -> None:
    if dtype not in ("float32", "float16"):
        raise ConfigurationError(f"dtype {dtype!r} is unknown; FDEs are float32 or float16, smaller with code_values.")
    if tokens.ndim != 2 or tokens.dtype not in TOKEN_DTYPES:
        raise InputError(
            f"tokens are {tokens.dtype} of shape {tuple(tokens.shape)}, expected [total, dim] in float32, float16 or "
            "bfloat16."
        )
    if tokens.shape[1] != muvera.dim:
        raise InputError(f"the tokens have {tokens.shape[1]} numbers each, this Muvera was made for dim={muvera.dim}.")
    if offsets.dtype != torch.int64 or offsets.ndim != 1 or len(offsets) == 0:
        raise InputError(
            f"offsets are {offsets.dtype} of shape {tuple(offsets.shape)}, expected torch.int64 [texts + 1]."
        )
    if offsets.device != tokens.device:
        raise InputError(f"offsets lie on {offsets.device}, the tokens on {tokens.device}: bring them together.")
