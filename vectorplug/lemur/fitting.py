"""How a fit is made: a bounded sample of what comes, trained features, ridge regression, and a turn to few numbers."""

import heapq
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.lemur.fitted import (
    DOCUMENTS_AT_ONCE,
    Fit,
    Floats,
    as_bfloat16,
    checked,
    features_of,
    targets_of,
    token_queries,
)
from vectorplug.lemur.training import first_features, second_moment, trained_features
from vectorplug.multivectors import MultiVectors

__all__ = ["fit", "sampled_documents"]

# Documents that the turn and the means are learnt on, and their tokens, at most.
MOST_DOCUMENTS = 2048
MOST_TOKENS = 2**19
# One sampled document of so many is kept out, to measure the residual on.
KEPT_OUT = 8
# Of the documents' spread, in directions that they do not show.
PRIOR = 1e-3
# Root mean square about their mean of the sampled tokens' numbers, which float16 holds to three digits.
LEAST_SPREAD = 1e-4


def fit(
    tokens: MultiVectors | Iterable[MultiVectors],
    queries: MultiVectors | None,
    *,
    dim: int,
    size: int,
    features: int,
    samples: int,
    seed: int,
) -> Fit:
    """The fit of these documents; see `Lemur.fit`."""
    random = np.random.default_rng(seed)
    documents = sampled_documents(tokens, dim=dim, random=random)
    stand_ins = documents if queries is None else _right(queries, dim, "queries")
    sample = _sampled_tokens(stand_ins, samples, random)
    kept_out = np.arange(len(documents)) % KEPT_OUT == KEPT_OUT - 1
    learnt_on = documents if not kept_out.any() else documents.take(np.flatnonzero(~kept_out))
    singles = token_queries(sample)
    targets = np.concatenate(
        [
            targets_of(singles, learnt_on[start : start + DOCUMENTS_AT_ONCE])
            for start in range(0, len(learnt_on), DOCUMENTS_AT_ONCE)
        ]
    )
    mean_targets = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
    targets -= mean_targets
    tokens_of_sample = sample.astype(np.float32)
    directions, thresholds = _directions(tokens_of_sample, targets, features, random)
    own = features_of(tokens_of_sample, directions.astype(np.float32), thresholds)
    projection, balance = _projection(own, targets, size)
    fitted = Fit(directions, thresholds, projection, balance, sample, mean_targets, residual=0.0)
    residual = fitted.unexplained(documents.take(np.flatnonzero(kept_out)) if kept_out.sum() > 1 else documents)
    return replace(fitted, residual=residual)


def sampled_documents(
    tokens: MultiVectors | Iterable[MultiVectors], *, dim: int, random: np.random.Generator
) -> MultiVectors:
    """Up to MOST_DOCUMENTS documents of at most MOST_TOKENS tokens together (but one at least), in their order.

    Each document draws a number, those of the smallest are kept: parts give the same as a whole. InputError where there
    is none, for another dim, and for NaN or infinity in those that are kept.
    """
    parts = [tokens] if isinstance(tokens, MultiVectors) else tokens
    # A heap with the largest draw first: (-draw, position, the document, copied so that its part can go).
    kept: list[tuple[float, int, MultiVectors]] = []
    held = position = 0
    limit = 1.0
    for part in parts:
        if len(part):
            _right(part, dim, "documents")
        draws = random.random(len(part))
        lengths = part.lengths
        for i in np.argsort(draws, kind="stable").tolist():
            if draws[i] >= limit:
                break
            document = MultiVectors.concatenate([checked(part, slice(i, i + 1))])
            heapq.heappush(kept, (-float(draws[i]), position + i, document))
            held += int(lengths[i])
            while len(kept) > MOST_DOCUMENTS or (held > MOST_TOKENS and len(kept) > 1):
                # What comes after a document that had no room would have none in another order of the parts, either.
                draw, _, dropped = heapq.heappop(kept)
                limit = -draw
                held -= len(dropped.values)
        position += len(part)
    if not kept:
        raise InputError("there is no document to fit on: give some hundreds of the kind that will be stored.")
    return MultiVectors.concatenate(document for _, _, document in sorted(kept, key=lambda entry: entry[1]))


def _right(tokens: MultiVectors, dim: int, what: str) -> MultiVectors:
    if not len(tokens):
        raise InputError(f"there are no {what} to fit on.")
    if tokens.dim != dim:
        raise InputError(f"the {what} have {tokens.dim} numbers a token, this Lemur was made for dim={dim}.")
    return tokens


def _sampled_tokens(tokens: MultiVectors, samples: int, random: np.random.Generator) -> npt.NDArray[np.float16]:
    """float16 [up to `samples`, dim]: tokens drawn without repeats, in their order."""
    count = min(samples, len(tokens.values))
    rows = np.sort(random.choice(len(tokens.values), count, replace=False))
    singles = MultiVectors(
        tokens.values[rows], np.arange(count + 1), None if tokens.scales is None else tokens.scales[rows]
    )
    return singles.astype("float16").values


def _directions(
    tokens: Floats, targets: Floats, count: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.float16], Floats]:
    """Directions float16 [count, dim] and thresholds float32 [count], trained; see training.py."""
    if (tokens == tokens[0]).all():
        raise InputError(
            f"the {len(tokens)} sampled tokens are all equal, there is nothing to fit: give documents, or queries, "
            "with different tokens."
        )
    directions, thresholds = trained_features(tokens, targets, *first_features(tokens, count, random), random)
    with np.errstate(over="ignore"):
        narrow = as_bfloat16(directions).astype(np.float16)
    spread = float(np.sqrt(np.square(tokens - tokens.mean(axis=0)).mean()))
    if spread < LEAST_SPREAD or not np.isfinite(narrow).all():
        raise InputError(f"the sampled tokens differ by as little as {spread:.3g}, too little to fit: normalise them.")
    return narrow, thresholds


def _projection(features: Floats, targets: Floats, size: int) -> tuple[Floats, Floats]:
    """Projection float32 [features, size] and balance float32 [size].

    Of `features` float32 [samples, features] and centred `targets` float32 [documents, samples].

    With M = L L^T the features' second moment and its ridge, ridge regression gives a document the weights
    M^-1 F^T y / samples. In the coordinates L^T weights a squared distance is one of predicted targets: there the
    leading principal axes U of the documents lose least, as reduced-rank regression does. The projection is L^-T U.
    """
    lower = np.linalg.cholesky(second_moment(features))
    coordinates = np.linalg.solve(lower, (features.T @ targets.T / np.float32(len(features))).astype(np.float64))
    spread = coordinates @ coordinates.T / len(targets)
    # What no document of the sample shows is ordered by how much of the features it holds.
    prior = lower.T @ lower
    spread += PRIOR * (np.trace(spread) or 1.0) / np.trace(prior) * prior
    values, axes = np.linalg.eigh(spread)
    values, axes = values[::-1][:size], axes[:, ::-1][:, :size]
    # Variances to roots of standard deviations; what rounding leaves of none still divides.
    balance = np.maximum(values, values[0] * np.finfo(np.float32).eps) ** 0.25
    return np.linalg.solve(lower.T, axes).astype(np.float32), balance.astype(np.float32)
