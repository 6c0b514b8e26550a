"""One vector a document, in every way: MUVERA and its variants, Lemur, means, the dense vector, and their codes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.study.quality import Quality, Row
from vectorplug import Muvera, Vectorizer
from vectorplug.codes import FdeCodes
from vectorplug.compressor import Compressor
from vectorplug.lemur import Lemur, pseudo_queries
from vectorplug.multivectors import MultiVectors

__all__ = ["PUBLISHED", "singles"]

PUBLISHED = "MUVERA R20 k5 dp16, as published"
SIZES = (128, 256, 512, 1024, 2048)
CODED = 512
# Eight samples a pseudo-query: twice as many tokens as are sampled, so that they come from many texts.
SAMPLES_A_QUERY = 8

Vectors = npt.NDArray[np.float32]


def singles(quality: Quality, vectorizer: Vectorizer) -> Iterator[Row]:
    """A row for each, MUVERA as published first."""
    documents, queries = quality.workload.documents, quality.workload.queries
    assert documents.tokens is not None
    assert queries.tokens is not None
    for name, compressor, coded in _compressors(documents.tokens, vectorizer, _texts(quality)):
        made = compressor.encode_documents(documents.tokens)
        asked = compressor.encode_queries(queries.tokens)
        yield _row(quality, name, made, asked)
        if coded:
            yield from _codes(quality, name, made, asked)
        if isinstance(compressor, Lemur) and compressor.size == CODED:
            yield _row(quality, f"{name}, documents at unit norm", _unit(made), asked)
    means = _mean(documents.tokens), _mean(queries.tokens)
    yield _row(quality, "mean of the tokens", *means)
    yield _row(quality, "mean of the tokens, documents at unit norm", _unit(means[0]), means[1])
    if documents.dense is not None and queries.dense is not None:
        yield _row(quality, "the model's dense vector", documents.dense, queries.dense)


def _compressors(
    tokens: MultiVectors, vectorizer: Vectorizer, texts: Sequence[str]
) -> Iterator[tuple[str, Compressor, bool]]:
    """Each with its name, and whether its codes are tried, too."""

    def muvera(preset: str = "fastembed", **options: Any) -> Muvera:
        return Muvera.preset(preset, dim=tokens.dim, **options)

    yield PUBLISHED, muvera(), True
    yield "MUVERA, documents at unit norm", muvera(unit_norm=True), False
    yield "MUVERA without fill", muvera(fill=False), True
    yield "MUVERA without fill, documents at unit norm", muvera(fill=False, unit_norm=True), True
    yield "MUVERA R10 k4 dp16, Weaviate's", muvera("weaviate"), False
    yield "MUVERA R10 k4 dp16 without fill, unit norm", muvera("weaviate", fill=False, unit_norm=True), False
    yield "MUVERA as published, final sketch of 2,560", muvera(final_dim=2560), False
    asked = pseudo_queries(texts, Lemur(dim=tokens.dim).samples // SAMPLES_A_QUERY)
    pseudo = vectorizer.encode_query(asked, outputs=("tokens",), show_progress_bar=False).tokens
    for size in SIZES:
        yield f"Lemur {size:,}", Lemur(dim=tokens.dim, size=size).fit(tokens, pseudo), size == CODED
    half = np.sort(np.random.default_rng(0).permutation(len(tokens))[: len(tokens) // 2])
    yield (
        f"Lemur {CODED}, fitted on a random half",
        Lemur(dim=tokens.dim, size=CODED).fit(tokens.take(half), pseudo),
        False,
    )
    yield f"Lemur {CODED}, no pseudo-queries", Lemur(dim=tokens.dim, size=CODED).fit(tokens), False


def _codes(quality: Quality, name: str, documents: Vectors, queries: Vectors) -> Iterator[Row]:
    """The queries stay in float32."""
    for kind, said, bits in (("int8", "8 bits", 8), ("bit", "1 bit", 1)):
        kept = FdeCodes.of(documents, kind).decode()  # type: ignore[arg-type]
        yield quality.row(f"{name}, {said} a number", documents.shape[1] * bits / 8 + 4, queries @ kept.T)


def _row(quality: Quality, name: str, documents: Vectors, queries: Vectors) -> Row:
    return quality.row(name, documents.shape[1] * 4, np.asarray(queries @ documents.T, np.float32))


def _texts(quality: Quality) -> list[str]:
    return [document.text for document in quality.workload.collection.documents]


def _mean(tokens: MultiVectors) -> Vectors:
    return np.add.reduceat(tokens.astype("float32").values, tokens.offsets[:-1]) / tokens.lengths[:, None]


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
