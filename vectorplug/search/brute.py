"""The plain store: everything in memory, every score computed. Exact, and the oracle of every other store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.codes import FdeCodes
from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError
from vectorplug.maxsim import maxsim
from vectorplug.search.config import IndexConfig
from vectorplug.search.database import Database
from vectorplug.search.fingerprint import CollectionInfo, StoredDtypes
from vectorplug.search.hits import Hit, Id, Question, Row, Rows
from vectorplug.search.modes import Mode, Plan
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["BruteStore", "PayloadFilter"]

PayloadFilter = Callable[[Mapping[str, Any]], bool]


class BruteStore(Store[PayloadFilter]):
    """A collection in this process's memory, gone with it; `filter` is a function payload -> bool."""

    def __init__(
        self,
        url: str = "memory:",
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
    ) -> None:
        if url != "memory:":
            raise ConfigurationError(f"url {url!r} names a place, a store in memory has none: expected 'memory:'.")
        super().__init__(
            MemoryCollection(), collection, vectorizer=vectorizer, mode=mode, outputs=outputs, config=config
        )


class MemoryCollection(Database[PayloadFilter]):
    """Rows and vectors in the order in which they came; a row that was deleted is None.

    Tokens are kept in the dtype that was asked for; FDEs are rounded to theirs, and held in float32 as they are scored.
    """

    def __init__(self) -> None:
        self._dtypes = StoredDtypes()
        self._rows: list[Row | None] = []
        self._positions: dict[str, int] = {}
        self._parts: list[Encoded] = []
        self._fits: dict[str, bytes] = {}

    def close(self) -> None:
        self._rows, self._positions, self._parts, self._fits = [], {}, [], {}

    def open(self) -> CollectionInfo | None:
        return None

    def create(self, info: CollectionInfo) -> None:
        self._dtypes = info.dtypes

    def keep_fit(self, fingerprint: str, data: bytes) -> None:
        self._fits[fingerprint] = data

    def read_fit(self, fingerprint: str) -> bytes | None:
        return self._fits.get(fingerprint)

    def contents(self, keys: Sequence[str]) -> Mapping[str, str]:
        there = ((key, self._rows[self._positions[key]]) for key in keys if key in self._positions)
        return {key: row.content for key, row in there if row is not None}

    def payloads(self, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        there = ((key, self._rows[self._positions[key]]) for key in keys if key in self._positions)
        return {key: dict(row.payload) for key, row in there if row is not None}

    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        there = ((row.id, dict(row.payload)) for row in self._rows if row is not None)
        return islice(there, most)

    def refusals(self, rows: Rows) -> Mapping[int, str]:  # noqa: ARG002
        return {}

    def finish(self) -> None:
        pass

    def upsert(self, rows: Rows) -> None:
        self.delete([row.key for row in rows.rows])
        self._positions |= {row.key: len(self._rows) + i for i, row in enumerate(rows.rows)}
        self._rows.extend(rows.rows)
        self._parts.append(self._rounded(rows.encoded))

    def search(
        self, question: Question, plan: Plan, limit: int, filter: PayloadFilter | None, candidates: int
    ) -> list[Hit]:
        if plan.words:
            raise ConfigurationError("a store in memory has no index of words: use a database for the hybrid modes.")
        query = question.encoded
        allowed = np.array(
            [i for i, row in enumerate(self._rows) if row is not None and (filter is None or filter(row.payload))],
            np.int64,
        )
        if not len(allowed):
            return []
        scores = self._scores(plan.find, query, allowed)
        order = _best(scores, limit if plan.rerank is None else candidates)
        found, scores = allowed[order], scores[order]
        if plan.rerank is not None:
            scores = self._scores(plan.rerank, query, found)
            order = _best(scores, limit)
            found, scores = found[order], scores[order]
        hits = ((self._rows[i], score) for i, score in zip(found, scores, strict=True))
        return [Hit(row.id, float(score), dict(row.payload)) for row, score in hits if row is not None]

    def _scores(self, name: Output, query: Encoded, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """float32 [len(positions)]: inner product, or MaxSim for tokens, of those documents with the query."""
        documents = self._vectors()
        if name == "tokens":
            assert query.tokens is not None
            assert documents.tokens is not None
            return maxsim(query.tokens[0], documents.tokens, candidates=positions)
        scores = (getattr(documents, name) @ getattr(query, name)[0])[positions]
        return np.asarray(scores, np.float32)

    def _rounded(self, encoded: Encoded) -> Encoded:
        tokens, fde = encoded.tokens, encoded.fde
        if tokens is not None and self._dtypes.tokens != "float32":
            tokens = tokens.astype(self._dtypes.tokens)
        match self._dtypes.fde:
            case "float16" if fde is not None:
                fde = fde.astype(np.float16).astype(np.float32)
            case ("int8" | "bit") as kind if fde is not None:
                fde = FdeCodes.of(fde, kind).decode()
        return replace(encoded, tokens=tokens, fde=fde)

    def _vectors(self) -> Encoded:
        """One array of each kind; the parts that came in since the last search are joined to it."""
        if len(self._parts) > 1:
            self._parts = [Encoded.concatenate(self._parts)]
        return self._parts[0]

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            if (position := self._positions.pop(key, None)) is not None:
                self._rows[position] = None

    def count(self) -> int:
        return len(self._positions)


def _best(scores: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.int64]:
    """The positions of the largest `limit` scores, best first, the earlier of equals first."""
    return np.argsort(-scores, kind="stable")[:limit]
