"""MUVERA's parameters, searched cheaply: which few settings of each size are worth measuring on everything.

The whole product of repetitions, ksim, dproj, fill, unit norm and final sketch has some hundreds of settings. Three
things make it cheap. Repetitions are independent, so the inner product after R of them is a sum that passes through
those of all smaller R: one encoding of the most gives all. A vector's norm grows in the same way, which gives unit norm
for nothing. And which of two settings is better shows on part of the documents already.

Of fastembed's dialect the projections of fewer repetitions are not the first of more (they are drawn after all the
planes), so what is measured here is as good as the setting, not the setting itself. It is measured again, with its own
matrices, on all documents (`finders.found_by`).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.tuning.depths import depths, recall_at, wanted_among
from vectorplug.evaluation.tuning.finders import chunks_of
from vectorplug.evaluation.workload import Workload
from vectorplug.muvera import Muvera
from vectorplug.search.config import MuveraConfig

__all__ = ["MuveraFamily"]

REPETITIONS = (2, 3, 5, 8, 10, 15, 20, 30, 40)
KSIMS = (3, 4, 5, 6)
DPROJS = (8, 16, 32)
# With a fill every block costs a search for the nearest token; where it pays, it does so at any dproj.
FILLED_DPROJ = 16
LARGEST = 20_480
# (repetitions, ksim, dproj) that a sketch shortens to each of these.
SKETCHED = ((20, 5, 16), (20, 6, 32))
SKETCHES = (1_280, 5_120)
DOCUMENTS = 3_000
# Settings are compared by the mean of 10R@c over these, so that none is best for one number of candidates only.
COUNTS = (10, 20, 50, 100, 200)
# The norm of a document whose FDE is zero.
SMALLEST = np.float32(1e-30)
# A larger vector has to find so much more than a smaller one.
WORTH = 0.004


@dataclass(frozen=True, slots=True)
class _Tried:
    fde: MuveraConfig
    size: int
    score: float


class MuveraFamily:
    """The settings of MUVERA for the tokens of `workload`, tried on at most 3,000 of its documents."""

    def __init__(self, workload: Workload, seed: int) -> None:
        assert workload.documents.tokens is not None
        assert workload.queries.tokens is not None
        self._tokens, self._queries = workload.documents.tokens, workload.queries.tokens
        drawn = np.random.default_rng(seed).permutation(len(self._tokens))[:DOCUMENTS]
        self._members = np.sort(drawn)
        self._wanted = wanted_among(workload.exact, self._members)
        self._left_out = workload.left_out
        self._grid = list(_grid(self._tokens.dim))

    @property
    def steps(self) -> int:
        """How often `shortlist` reports progress."""
        return len(self._grid)

    def shortlist(self, progress: Callable[[], None]) -> Sequence[MuveraConfig]:
        """Of each size (to a factor of two) the setting that finds most, where it finds more than smaller ones."""
        tried: list[_Tried] = []
        for muvera in self._grid:
            tried += self._tried(muvera)
            progress()
        best = sorted(tried, key=lambda each: each.score, reverse=True)
        kept: dict[int, _Tried] = {}
        for each in best:
            kept.setdefault(each.size.bit_length(), each)
        chosen: list[_Tried] = []
        for each in sorted(kept.values(), key=lambda each: each.size):
            if not chosen or each.score > chosen[-1].score + WORTH:
                chosen.append(each)
        return [each.fde for each in chosen]

    def compressor(self, fde: MuveraConfig) -> Muvera:
        """What encodes, of one of the shortlist."""
        return fde.compressor(self._tokens.dim)

    def _tried(self, muvera: Muvera) -> Iterator[_Tried]:
        """All numbers of repetitions of it, with and without unit norm."""
        for repetitions, scores, norms in self._prefixes(muvera):
            size = muvera.size if muvera.final_dim else muvera.size // muvera.repetitions * repetitions
            for unit_norm, scored in ((False, scores), (True, scores / np.maximum(norms, SMALLEST))):
                setting = MuveraConfig.of(muvera).model_copy(
                    update={"repetitions": repetitions, "unit_norm": unit_norm}
                )
                yield _Tried(setting, size, self._score(scored))

    def _prefixes(self, muvera: Muvera) -> Iterator[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """(R, inner products float32 [queries, documents], documents' norms float32) of the first R repetitions."""
        # A sketch mixes all repetitions: it has no prefix.
        whole = muvera.final_dim is not None
        counts = [muvera.repetitions] if whole else [r for r in REPETITIONS if r <= muvera.repetitions]
        shape = (-1, 1, muvera.size) if whole else (-1, muvera.repetitions, muvera.size // muvera.repetitions)
        ends = [1] if whole else counts
        queries = muvera.encode_queries(self._queries).reshape(shape)
        scores = np.empty((len(counts), len(queries), len(self._members)), np.float32)
        norms = np.empty((len(counts), len(self._members)), np.float32)
        for part in chunks_of(len(self._members), muvera.size):
            vectors = muvera.encode_documents(self._tokens.take(self._members[part])).reshape(shape)
            product = np.zeros((len(queries), len(vectors)), np.float32)
            square = np.zeros(len(vectors), np.float32)
            for i, (begin, end) in enumerate(itertools.pairwise((0, *ends))):
                own, asked = (
                    each[:, begin:end].reshape(len(each), (end - begin) * shape[2]) for each in (vectors, queries)
                )
                product += asked @ own.T
                square += np.einsum("ij,ij->i", own, own)
                scores[i][:, part], norms[i][part] = product, np.sqrt(square)
        yield from zip(counts, scores, norms, strict=True)

    def _score(self, scores: npt.NDArray[Any]) -> float:
        rows, columns = np.nonzero(self._left_out[:, None] == self._members)
        scores[rows, columns] = -np.inf
        counts = [count for count in COUNTS if 2 * count <= len(self._members)] or [1]
        return float(recall_at(depths(scores, self._wanted), counts).mean())


def _grid(dim: int) -> Iterator[Muvera]:
    """Each with the most repetitions that are tried."""
    made = {}
    for ksim, dproj, fill in itertools.product(KSIMS, DPROJS, (False, True)):
        if fill and dproj != FILLED_DPROJ:
            continue
        block = min(dproj, dim)
        repetitions = max((r for r in REPETITIONS if r * block << ksim <= LARGEST), default=0)
        if repetitions:
            muvera = Muvera(dim=dim, repetitions=repetitions, ksim=ksim, dproj=block, fill=fill)
            made[muvera.fingerprint] = muvera
    for (repetitions, ksim, dproj), final_dim in itertools.product(SKETCHED, SKETCHES):
        block = min(dproj, dim)
        if final_dim < repetitions * block << ksim:
            muvera = Muvera(dim=dim, repetitions=repetitions, ksim=ksim, dproj=block, fill=False, final_dim=final_dim)
            made[muvera.fingerprint] = muvera
    return iter(made.values())
