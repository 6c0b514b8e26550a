"""The blocks of FDEs in one launch: a program adds up the tokens of one text, of one repetition, by their codes.

Which token belongs to which block is a matrix of zeros and ones that exists in registers only; its product with the
tokens' parts is the sums. No addition races another, so a text's blocks have the same bits every time.
"""

from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

__all__ = ["fused_blocks", "kernel", "options"]

MOST_CODES = 64  # blocks of a program, and numbers of each
MOST_COLUMNS = 64


@torch.no_grad()
def fused_blocks(products: Tensor, parts: Tensor, offsets: Tensor, average: bool) -> tuple[Tensor, Tensor]:
    """As `vectorplug.muvera.torch.plain_blocks`, the first tokens in int32; `parts` may be a broadcast view."""
    n, repetitions, width = len(offsets) - 1, parts.shape[1], parts.shape[2]
    codes = 1 << products.shape[2]
    blocks = torch.empty(n, repetitions, codes, width, device=parts.device)
    firsts = torch.empty(n, repetitions, codes, dtype=torch.int32, device=parts.device)
    if n:
        chosen = options(products.shape[2], width, average)
        chunks = triton.cdiv(codes, chosen["CODES_AT_ONCE"]) * triton.cdiv(width, chosen["COLUMNS"])
        token_step, repetition_step, _ = parts.stride()
        kernel[n * repetitions, chunks](
            products, parts, offsets, blocks, firsts, repetitions, token_step, repetition_step, **chosen
        )
    return blocks, firsts


def options(ksim: int, width: int, average: bool) -> dict[str, Any]:
    """What a kernel is compiled for: hyperplanes, numbers a block, averages or sums."""
    return {
        "KSIM": ksim,
        "WIDTH": width,
        "AVERAGE": average,
        "CODES_AT_ONCE": min(max(1 << ksim, 16), MOST_CODES),
        "COLUMNS": min(max(triton.next_power_of_2(width), 16), MOST_COLUMNS),
        "TOKEN_BLOCK": 32,
        "num_warps": 4,
        "num_stages": 2,
        "enable_fp_fusion": True,
    }


@triton.jit  # type: ignore[untyped-decorator]
def kernel(
    products: "Any",
    parts: "Any",
    offsets: "Any",
    blocks: "Any",
    firsts: "Any",
    repetitions: "Any",
    token_step: "Any",
    repetition_step: "Any",
    KSIM: tl.constexpr,  # noqa: N803 - Triton's constants
    WIDTH: tl.constexpr,  # noqa: N803
    AVERAGE: tl.constexpr,  # noqa: N803
    CODES_AT_ONCE: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    TOKEN_BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Program (p, c) writes of text p // repetitions, repetition p % repetitions, the codes and columns of chunk c.

    products float64 [total, repetitions, KSIM]; parts float32 [total, repetitions, WIDTH] with its first two strides;
    offsets int64 [n + 1]; blocks float32 [n, repetitions, 2^KSIM, WIDTH]; firsts int32 [n, repetitions, 2^KSIM].
    """
    program, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    text, repetition = program // repetitions, program % repetitions
    chunks: tl.constexpr = (WIDTH + COLUMNS - 1) // COLUMNS
    codes = chunk // chunks * CODES_AT_ONCE + tl.arange(0, CODES_AT_ONCE)
    columns = chunk % chunks * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros([CODES_AT_ONCE, COLUMNS], tl.float32)
    counts = tl.zeros([CODES_AT_ONCE], tl.int32)
    lowest = tl.full([CODES_AT_ONCE], 2**31 - 1, tl.int32)
    last = tl.load(offsets + text + 1)
    for tile in range(tl.load(offsets + text), last, TOKEN_BLOCK):
        held = tile + tl.arange(0, TOKEN_BLOCK)
        there = held < last
        code = tl.zeros([TOKEN_BLOCK], tl.int32)
        for bit in tl.static_range(KSIM):
            product = tl.load(products + (held * repetitions + repetition) * KSIM + bit, mask=there, other=0)
            code |= (product > 0).to(tl.int32) << bit
        belongs = (codes[:, None] == code[None, :]) & there[None, :]
        place = parts + held[:, None] * token_step + repetition * repetition_step + columns[None, :]
        values = tl.load(place, mask=there[:, None] & (columns < WIDTH)[None, :], other=0)
        sums = tl.dot(belongs.to(tl.float32), values, sums, input_precision="tf32x3")
        counts += tl.sum(belongs.to(tl.int32), axis=1)
        lowest = tl.minimum(lowest, tl.min(tl.where(belongs, held.to(tl.int32)[None, :], 2**31 - 1), axis=1))
    if AVERAGE:
        sums /= tl.maximum(counts, 1).to(tl.float32)[:, None]
    rows = program * (1 << KSIM) + codes
    inside = codes < (1 << KSIM)
    tl.store(blocks + rows[:, None] * WIDTH + columns[None, :], sums, mask=inside[:, None] & (columns < WIDTH)[None, :])
    if chunk % chunks == 0:
        tl.store(firsts + rows, lowest, mask=inside)
