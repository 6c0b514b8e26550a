"""MaxSim of tensors where they lie: on a GPU by the fused kernel of triton.py, elsewhere in plain torch.

Not part of `import vectorplug.maxsim`, which stays without torch.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from vectorplug.errors import InputError

__all__ = ["maxsim", "plain_maxsim"]

TOKEN_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
QUERY_DTYPES = TOKEN_DTYPES[:3]
# The plain path's products at a time, float32: what a chunk of documents may hold beside the tokens.
PRODUCTS_AT_ONCE = 1 << 24


def maxsim(
    queries: Tensor,
    tokens: Tensor,
    offsets: Tensor,
    *,
    query_offsets: Tensor | None = None,
    scales: Tensor | None = None,
    candidates: Tensor | None = None,
) -> Tensor:
    """float32 [n] for one query, `queries` [query tokens, dim]; [queries, n] with `query_offsets` int64 [queries + 1].

    `tokens` [total, dim] in float32, float16, bfloat16, or int8 with `scales` float32 [total]; document i is
    `tokens[offsets[i]:offsets[i + 1]]`. `queries` are float32, float16 or bfloat16. With `candidates` [k] only those
    documents are scored, in that order, repeats allowed: n is k, and no token is gathered. Offsets and candidates are
    int64. Everything lies on one device, and the scores, too.

    Scores are exact MaxSim of the numbers as stored, as float32 arithmetic gives it: a float32 query is multiplied with
    tokens of 16 or 8 bits in two or three pieces that add up to it. Queries in the tokens' own dtype (bfloat16 for
    int8) are one piece, which is the fastest.

    On CUDA nothing waits for the device, so numbers are not looked at: the score is NaN for a candidate that is no
    document, and -inf for a document without tokens. Raises InputError for shapes, dtypes or devices that do not fit.
    Source: Khattab & Zaharia, ColBERT, 2020, equation 3.
    """
    _check(queries, tokens, offsets, query_offsets, scales, candidates)
    if tokens.device.type == "cuda" and _has_triton():
        from vectorplug.maxsim.triton import fused_maxsim

        scores = fused_maxsim(queries, tokens, offsets, query_offsets, scales, candidates)
    else:
        scores = plain_maxsim(queries, tokens, offsets, query_offsets, scales, candidates)
    return scores[0] if query_offsets is None else scores


@torch.no_grad()
def plain_maxsim(
    queries: Tensor,
    tokens: Tensor,
    offsets: Tensor,
    query_offsets: Tensor | None,
    scales: Tensor | None,
    candidates: Tensor | None,
) -> Tensor:
    """float32 [queries, n] of checked arguments, those of `maxsim`: matrix products of some documents at a time."""
    asked = queries.float()
    starts, lengths = offsets[:-1], offsets.diff()
    known = None
    if candidates is not None:
        known = (candidates >= 0) & (candidates < len(starts))
        # Another document stands in for one that is not there, until its score is NaN; among no documents, none.
        starts, lengths = torch.cat([starts, starts.new_zeros(1)]), torch.cat([lengths, lengths.new_zeros(1)])
        places = torch.where(known, candidates, len(starts) - 1)
        starts, lengths = starts[places], lengths[places]
    maxima = torch.empty(len(lengths), len(asked), device=tokens.device)
    for part in _parts(lengths, len(asked)):
        counts = lengths[part]
        document = torch.repeat_interleave(torch.arange(len(counts), device=tokens.device), counts)
        ends = counts.cumsum(0)
        rows = torch.arange(len(document), device=tokens.device) + (starts[part] - (ends - counts))[document]
        products = tokens[rows].float() @ asked.T
        if scales is not None:
            products *= scales[rows, None]
        best = products.new_full((len(counts), len(asked)), -torch.inf)
        maxima[part] = best.scatter_reduce_(0, document[:, None].expand_as(products), products, "amax")
    if query_offsets is None:
        scores = maxima.sum(dim=1)[None]
    else:
        query = torch.repeat_interleave(
            torch.arange(len(query_offsets) - 1, device=tokens.device), query_offsets.diff(), output_size=len(asked)
        )
        scores = maxima.new_zeros(len(query_offsets) - 1, len(maxima)).index_add_(0, query, maxima.T)
    return scores if known is None else scores.masked_fill(~known, torch.nan)


def _parts(lengths: Tensor, query_tokens: int) -> Iterator[slice]:
    """Runs of documents whose products fit PRODUCTS_AT_ONCE; one document at the least."""
    most = max(PRODUCTS_AT_ONCE // max(query_tokens, 1), 1)
    start, held = 0, 0
    for i, length in enumerate(lengths.tolist()):
        if i > start and held + length > most:
            yield slice(start, i)
            start, held = i, 0
        held += length
    if start < len(lengths):
        yield slice(start, len(lengths))


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _check(
    queries: Tensor,
    tokens: Tensor,
    offsets: Tensor,
    query_offsets: Tensor | None,
    scales: Tensor | None,
    candidates: Tensor | None,
) -> None:
    _check_tokens("queries", queries, QUERY_DTYPES)
    _check_tokens("tokens", tokens, TOKEN_DTYPES)
    if queries.shape[1] != tokens.shape[1]:
        raise InputError(
            f"the queries have {queries.shape[1]} numbers a token, the documents have {tokens.shape[1]}: "
            "encode both with one model, to one dim."
        )
    if len(queries) == 0 and query_offsets is None:
        raise InputError("the query has no token, expected at least one: MaxSim of none is undefined.")
    for name, positions, least in (
        ("offsets", offsets, 1),
        ("query_offsets", query_offsets, 1),
        ("candidates", candidates, 0),
    ):
        if positions is not None and (positions.dtype != torch.int64 or positions.ndim != 1 or len(positions) < least):
            length = "candidates" if name == "candidates" else "n + 1"
            raise InputError(
                f"{name} are {positions.dtype} of shape {tuple(positions.shape)}, expected torch.int64 [{length}]."
            )
    if (tokens.dtype == torch.int8) != (scales is not None):
        came = "no scales" if scales is None else "scales"
        raise InputError(f"the tokens are {tokens.dtype} with {came}; int8 needs a float32 scale a token, others none.")
    if scales is not None and (scales.dtype != torch.float32 or scales.shape != (len(tokens),)):
        raise InputError(
            f"scales are {scales.dtype} of shape {tuple(scales.shape)}, expected torch.float32 [{len(tokens)}]."
        )
    for name, tensor in (
        ("queries", queries),
        ("offsets", offsets),
        ("query_offsets", query_offsets),
        ("scales", scales),
        ("candidates", candidates),
    ):
        if tensor is not None and tensor.device != tokens.device:
            raise InputError(f"{name} lie on {tensor.device}, the tokens on {tokens.device}: bring them together.")


def _check_tokens(name: str, tokens: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    if tokens.ndim != 2 or tokens.shape[1] == 0 or tokens.dtype not in dtypes:
        expected = ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise InputError(
            f"{name} are {tokens.dtype} of shape {tuple(tokens.shape)}, expected [tokens, dim] in {expected}."
        )
