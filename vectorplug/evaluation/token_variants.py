"""Fewer token vectors a document: pooled, cut, or chosen, from the tokens that are there."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors

__all__ = ["distinctness", "heaviest", "leading", "mean", "pooled", "rarity"]

Document = npt.NDArray[np.float32]


def pooled(documents: MultiVectors, factors: Sequence[float]) -> list[MultiVectors]:
    """`documents` at unit norm with one token kept of so many, for each of `factors`: float32.

    The vectors of `Vectorizer(pool_factor=...)`, whose clustering is done once for all factors. The first token stays.
    Source: Clavie et al., token pooling (arXiv 2409.14683), as sentence-transformers has it.
    """
    kept: list[list[Document]] = [[] for _ in factors]
    for document in documents:
        values = np.asarray(document, np.float32)
        for found, one in zip(kept, _pooled(values, factors), strict=True):
            found.append(one)
    return [MultiVectors.from_list(found, dim=documents.dim) for found in kept]


def _pooled(document: Document, factors: Sequence[float]) -> list[Document]:
    from scipy.cluster import hierarchy  # here, because it takes most of a second to import
    from scipy.spatial.distance import squareform

    first, others = document[:1], document[1:]
    counts = [max(int(len(others) // factor), 1) for factor in factors]
    if len(others) < 2 or min(counts) >= len(others):
        return [_unit(document) for _ in factors]
    distances = np.clip(1 - others @ others.T, 0, 2)
    tree = hierarchy.linkage(squareform(distances, checks=False), method="ward")
    found = []
    for count in counts:
        if count >= len(others):
            found.append(_unit(document))
            continue
        labels = hierarchy.fcluster(tree, t=count, criterion="maxclust")
        order = np.argsort(labels, kind="stable")
        _, starts, members = np.unique(labels[order], return_index=True, return_counts=True)
        means = np.add.reduceat(others[order], starts, axis=0) / members[:, None].astype(np.float32)
        found.append(_unit(np.concatenate([first, means])))
    return found


def leading(documents: MultiVectors, share: float) -> MultiVectors:
    """The first `share` of each document's tokens, at least one.

    A document that the encoder had cut there would have other vectors: these have seen the rest of it.
    """
    return _chosen(documents, [np.arange(_count(len(document), share)) for document in documents])


def heaviest(documents: MultiVectors, weights: Sequence[npt.NDArray[Any]], share: float) -> MultiVectors:
    """The `share` of each document's tokens with the largest `weights` (a number a token), in their order.

    Of equal weights the earlier token. InputError where a document has not as many weights as tokens.
    """
    chosen = []
    for i, (length, weight) in enumerate(zip(documents.lengths.tolist(), weights, strict=True)):
        if len(weight) != length:
            raise InputError(f"document {i} has {length} tokens and {len(weight)} weights; expected one each.", index=i)
        chosen.append(np.sort(np.argsort(-weight, kind="stable")[: _count(length, share)]))
    return _chosen(documents, chosen)


def mean(documents: MultiVectors) -> MultiVectors:
    """One token a document: the mean of all, at unit norm."""
    return MultiVectors.from_list(
        [_unit(np.asarray(document, np.float32).mean(axis=0, keepdims=True)) for document in documents],
        dim=documents.dim,
    )


def distinctness(documents: MultiVectors) -> list[npt.NDArray[np.float32]]:
    """float32 [tokens] of each: how little a token is like the nearest before it; the first token is most distinct."""
    found = []
    for document in documents:
        values = np.asarray(document, np.float32)
        like = np.tril(values @ values.T, -1)
        like[np.triu_indices(len(values))] = -2
        weights = -like.max(axis=1)
        found.append(weights.astype(np.float32))
    return found


def rarity(texts: Sequence[str], spans: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
    """float32 [tokens] of each text: log(n / texts that hold the token's characters), by `spans` int [tokens, 2].

    Upper and lower case count as one. A token that stands for no characters (-1: a marker) is rarer than all others.
    """
    pieces = [
        [text[start:end].casefold() if start >= 0 else None for start, end in span.tolist()]
        for text, span in zip(texts, spans, strict=True)
    ]
    counts = Counter(chain.from_iterable({piece for piece in found if piece is not None} for found in pieces))
    most = np.log(len(texts)) + 1
    return [
        np.array([most if piece is None else np.log(len(texts) / counts[piece]) for piece in found], np.float32)
        for found in pieces
    ]


def _count(length: int, share: float) -> int:
    return max(1, int(length * share))


def _chosen(documents: MultiVectors, places: Sequence[npt.NDArray[Any]]) -> MultiVectors:
    kept = [document[chosen] for document, chosen in zip(documents, places, strict=True)]
    return MultiVectors.from_list(kept, dim=documents.dim)


def _unit(vectors: Document) -> Document:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Document = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
