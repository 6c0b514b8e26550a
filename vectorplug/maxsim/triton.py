"""MaxSim in one launch: a program scores one document for one query, and no product leaves its registers.

A program walks its document's tokens where they lie, a tile of TOKEN_BLOCK at a time, multiplies each with 32 query
tokens, and keeps the larger of what it found and of what it held. Neither tokens nor products are written anywhere.
Programs of one document stand next to each other, so several queries read it out of the cache.
"""

from typing import Any

import torch
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor

from vectorplug.errors import InputError

__all__ = ["fused_maxsim", "kernel", "options"]

QUERY_BLOCK = 32
TOKEN_BLOCK = 64
MOST_COLUMNS = 128  # numbers of a token that are multiplied at a time
MOST_PROGRAMS = 2**31 - 1

# In what numbers a dtype's tokens are multiplied, all of which hold them exactly, and how many such numbers add up to
# a float32 of the query: three of 8 bits are all its 24, two of 11 are all but the last two.
NUMBERS = {
    torch.float32: (tl.float32, 1),
    torch.float16: (tl.float16, 2),
    torch.bfloat16: (tl.bfloat16, 3),
    torch.int8: (tl.bfloat16, 3),
}


@torch.no_grad()
def fused_maxsim(
    queries: Tensor,
    tokens: Tensor,
    offsets: Tensor,
    query_offsets: Tensor | None,
    scales: Tensor | None,
    candidates: Tensor | None,
) -> Tensor:
    """float32 [queries, n] of checked arguments, those of `vectorplug.maxsim.torch.maxsim`; nothing waits for it."""
    documents = len(offsets) - 1
    n = documents if candidates is None else len(candidates)
    asked = 1 if query_offsets is None else len(query_offsets) - 1
    scores = torch.empty(asked, n, device=tokens.device)
    if scores.numel() > MOST_PROGRAMS:
        raise InputError(
            f"{asked} queries x {n} documents are {scores.numel()} scores, one launch makes {MOST_PROGRAMS}."
        )
    if scores.numel():
        kernel[scores.numel(),](
            queries.contiguous(),
            query_offsets,
            tokens.contiguous(),
            scales,
            offsets,
            candidates,
            scores,
            len(queries),
            documents,
            n,
            asked,
            **options(queries.dtype, tokens.dtype, tokens.shape[1]),
        )
    return scores


def options(queries: torch.dtype, tokens: torch.dtype, dim: int) -> dict[str, Any]:
    """What a kernel is compiled for: dtypes of queries and tokens, numbers a token."""
    numbers, pieces = NUMBERS[tokens]
    if str(queries) == f"torch.{_names[numbers]}":
        pieces = 1
    return {
        "DIM": dim,
        "COLUMNS": min(max(triton.next_power_of_2(dim), 16), MOST_COLUMNS),
        "NUMBERS": numbers,
        # The interpreter takes the bits of bfloat16 for integers: it multiplies the same numbers as float32.
        "FACTORS": tl.float32 if triton.knobs.runtime.interpret else numbers,
        "PIECES": pieces,
        "QUERY_BLOCK": QUERY_BLOCK,
        "TOKEN_BLOCK": TOKEN_BLOCK,
        # float32 is split into its pieces by the compiler, in twice the registers and room for tokens.
        "num_warps": 8 if tokens == torch.float32 else 4,
        "num_stages": 2 if tokens == torch.float32 else 3,
        "enable_fp_fusion": True,
    }


_names = {tl.float32: "float32", tl.float16: "float16", tl.bfloat16: "bfloat16"}


@triton.jit  # type: ignore[untyped-decorator]
def kernel(
    queries: "Any",
    query_offsets: "Any",
    tokens: "Any",
    scales: "Any",
    offsets: "Any",
    candidates: "Any",
    scores: "Any",
    query_tokens: "Any",
    documents: "Any",
    n: "Any",
    asked: "Any",
    DIM: tl.constexpr,  # noqa: N803 - Triton's constants
    COLUMNS: tl.constexpr,  # noqa: N803
    NUMBERS: tl.constexpr,  # noqa: N803
    FACTORS: tl.constexpr,  # noqa: N803
    PIECES: tl.constexpr,  # noqa: N803
    QUERY_BLOCK: tl.constexpr,  # noqa: N803
    TOKEN_BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Program p writes scores[p % asked, p // asked], float32.

    queries [query tokens, DIM]; query_offsets int64 [asked + 1], None: all are one query; tokens [total, DIM]; scales
    float32 [total] or None; offsets int64 [documents + 1]; candidates int64 [n] or None.
    """
    program = tl.program_id(0)
    place, query = program // asked, program % asked
    target = scores + query.to(tl.int64) * n + place
    document = place.to(tl.int64)
    if candidates is not None:
        document = tl.load(candidates + place)
    if (document < 0) | (document >= documents):
        tl.store(target, float("nan"))
    else:
        first, last = tl.load(offsets + document), tl.load(offsets + document + 1)
        asks, ends = 0, query_tokens
        if query_offsets is not None:
            asks, ends = tl.load(query_offsets + query).to(tl.int32), tl.load(query_offsets + query + 1).to(tl.int32)
        score = 0.0
        for block in range(asks, ends, QUERY_BLOCK):
            rows = block + tl.arange(0, QUERY_BLOCK)
            lift, back = _lift(queries, rows, ends, DIM, COLUMNS, NUMBERS, PIECES)
            best = tl.full([TOKEN_BLOCK, QUERY_BLOCK], float("-inf"), tl.float32)
            for tile in range(first, last, TOKEN_BLOCK):
                held = tile + tl.arange(0, TOKEN_BLOCK)
                products = tl.zeros([TOKEN_BLOCK, QUERY_BLOCK], tl.float32)
                for column in range(0, DIM, COLUMNS):
                    columns = column + tl.arange(0, COLUMNS)
                    there = (held < last)[:, None] & (columns < DIM)[None, :]
                    values = tl.load(tokens + held[:, None] * DIM + columns[None, :], mask=there, other=0)
                    if scales is not None:
                        values = values.to(tl.float32)  # the interpreter makes no bfloat16 of an int8
                    rest = _query(queries, rows, ends, columns, DIM) * lift[None, :]
                    for _ in tl.static_range(PIECES):
                        piece = rest.to(NUMBERS)
                        products = tl.dot(
                            values.to(NUMBERS).to(FACTORS), piece.to(FACTORS), products, input_precision="tf32x3"
                        )
                        rest -= piece.to(tl.float32)
                if scales is not None:
                    products *= tl.load(scales + held, mask=held < last, other=0)[:, None]
                best = tl.where((held < last)[:, None], tl.maximum(best, products), best)
            score += tl.sum(tl.where(rows < ends, tl.max(best, axis=0) * back, 0))
        tl.store(target, score)


@triton.jit  # type: ignore[untyped-decorator]
def _query(queries: "Any", rows: "Any", ends: "Any", columns: "Any", DIM: tl.constexpr) -> "Any":  # noqa: N803
    """float32 [columns, rows] of the query, zero outside of it."""
    there = (columns < DIM)[:, None] & (rows < ends)[None, :]
    return tl.load(queries + rows.to(tl.int64)[None, :] * DIM + columns[:, None], mask=there, other=0).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator]
def _lift(
    queries: "Any",
    rows: "Any",
    ends: "Any",
    DIM: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    NUMBERS: tl.constexpr,  # noqa: N803
    PIECES: tl.constexpr,  # noqa: N803
) -> "Any":
    """float32 [rows], twice: the power of two that brings a query token to the top of float16's range, and its inverse.

    What is then left for the second piece is far above float16's smallest numbers. Other numbers need no lift.
    """
    exponent = tl.full(rows.shape, 127, tl.int32)
    if PIECES > 1 and tl.float16 == NUMBERS:
        largest = tl.zeros(rows.shape, tl.float32)
        for column in range(0, DIM, COLUMNS):
            part = _query(queries, rows, ends, column + tl.arange(0, COLUMNS), DIM)
            largest = tl.maximum(largest, tl.max(tl.abs(part), axis=0))
        # Biased exponents: the largest number shall be between 2^14 and 2^15.
        exponent = tl.minimum(tl.maximum(127 + 14 + 127 - (largest.to(tl.int32, bitcast=True) >> 23), 1), 253)
    lift = (exponent << 23).to(tl.float32, bitcast=True)
    back = ((254 - exponent) << 23).to(tl.float32, bitcast=True)
    return lift, back
