"""How a fit is made: a bounded sample of what comes, ridge regression, and a turn that keeps most in few numbers."""

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
    checked,
    features_of,
    product,
    targets_of,
    token_queries,
)
from vectorplug.multivectors import MultiVectors

__all__ = ["RIDGE", "fit", "sampled_documents"]

# Documents that the turn and the means are learnt on, and their tokens, at most.
MOST_DOCUMENTS = 2048
MOST_TOKENS = 2**19
# One sampled document of so many is kept out, to measure the residual on.
KEPT_OUT = 8
# Of the mean of the features' second moments, added to each.
RIDGE = 1e-3
# Features in float64 at a time.
SAMPLES_AT_ONCE = 1024
# Of the documents' spread, in directions that they do not show.
PRIOR = 1e-3
# Standard deviations, over the sample, by which a token must lie beyond the mean in a direction to be felt there.
THRESHOLD = 1.0


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
    directions, thresholds = _features(sample, features, random)
    own = features_of(sample.astype(np.float32), directions.astype(np.float32), thresholds)
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
    projection, balance = _projection(own, targets - mean_targets, size)
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


def _features(
    sample: npt.NDArray[np.float16], count: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.float16], Floats]:
    """Directions float16 [count, dim] and thresholds float32 [count], of mean square 1 over the sample.

    Each direction leads from the sample's mean to one of its tokens, which follows what tokens are like as no Gaussian
    does; beyond their number directions are Gaussian.
    """
    tokens = sample.astype(np.float32)
    if (tokens == tokens[0]).all():
        raise InputError(
            f"the {len(tokens)} sampled tokens are all equal, there is nothing to fit: give documents, or queries, "
            "with different tokens."
        )
    mean = tokens.mean(axis=0, dtype=np.float64).astype(np.float32)
    anchors = tokens[random.permutation(len(tokens))[:count]] - mean
    directions = np.concatenate([anchors, random.standard_normal((count - len(anchors), sample.shape[1]), np.float32)])
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(norms > 0, norms, 1)
    heights = product(tokens, directions.T) - directions @ mean
    # Where there are few different tokens, some must still reach beyond.
    edges = np.minimum(THRESHOLD * heights.std(axis=0), heights.max(axis=0) / 2).astype(np.float32)
    features = np.maximum(heights - edges, 0)
    thresholds = directions @ mean + edges
    root_mean_square = float(np.sqrt(np.square(features, dtype=np.float64).mean()))
    with np.errstate(over="ignore"):
        scaled = (directions / root_mean_square).astype(np.float16)
    if not np.isfinite(scaled).all():
        raise InputError(
            f"the sampled tokens differ by as little as {root_mean_square:.3g}, too little to fit: normalise them."
        )
    return scaled, thresholds / np.float32(root_mean_square)


def _projection(features: Floats, targets: Floats, size: int) -> tuple[npt.NDArray[np.float16], Floats]:
    """Projection float16 [features, size] and balance float32 [size].

    Of `features` float32 [samples, features] and centred `targets` float32 [documents, samples].

    With M = L L^T the features' second moment and its ridge, ridge regression gives a document the weights
    M^-1 F^T y / samples. In the coordinates L^T weights a squared distance is one of predicted targets: there the
    leading principal axes U of the documents lose least, as reduced-rank regression does. The projection is L^-T U.
    """
    count = features.shape[1]
    moment = np.zeros((count, count))
    for start in range(0, len(features), SAMPLES_AT_ONCE):
        part = features[start : start + SAMPLES_AT_ONCE].astype(np.float64)
        moment += part.T @ part
    moment /= len(features)
    moment[np.diag_indices(count)] += RIDGE * np.trace(moment) / count
    lower = np.linalg.cholesky(moment)
    coordinates = np.linalg.solve(lower, (features.T @ targets.T / np.float32(len(features))).astype(np.float64))
    spread = coordinates @ coordinates.T / len(targets)
    # What no document of the sample shows is ordered by how much of the features it holds.
    prior = lower.T @ lower
    spread += PRIOR * (np.trace(spread) or 1.0) / np.trace(prior) * prior
    values, axes = np.linalg.eigh(spread)
    values, axes = values[::-1][:size], axes[:, ::-1][:, :size]
    # Variances to roots of standard deviations; what rounding leaves of none still divides.
    balance = np.maximum(values, values[0] * np.finfo(np.float32).eps) ** 0.25
    return np.linalg.solve(lower.T, axes).astype(np.float16), balance.astype(np.float32)
