"""Points and their vectors as requests that a server takes: as bytes by gRPC, else through its client."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from qdrant_client import models

from vectorplug.encoded import Encoded, Output
from vectorplug.search.backfill import Unfilled
from vectorplug.search.database import NO_NAMES
from vectorplug.search.hits import Rows
from vectorplug_qdrant import payload, wire
from vectorplug_qdrant.connection import Connection
from vectorplug_qdrant.patience import WRITING
from vectorplug_qdrant.schema import WORDS, WORDS_MODEL

__all__ = ["Writing"]

# Of one request, as it is sent. 16 MiB cost half as much CPU again, in memory that is new to the process each time.
REQUEST_BYTES = 4 * 2**20
# A float32 of 4 bytes is up to 24 letters in JSON.
JSON_FACTOR = 6
POINT_BYTES = 200


class Writing:
    """Requests that write to one collection; several threads may make them.

    `most_points` of one request is the collection's own limit; `words` says whether it has a sparse vector of them;
    `names` are those of vectors that lie under another than their own.
    """

    def __init__(self, connection: Connection) -> None:
        self.most_points: int | None = None
        self.words = False
        self.names: Mapping[Output, str] = NO_NAMES
        self._connection = connection
        self._upsert = connection.sender(wire.UPSERT)
        self._update_vectors = connection.sender(wire.UPDATE_VECTORS)

    def opened(self, config: models.CollectionConfig, *, words: bool, names: Mapping[Output, str]) -> None:
        """What the collection is, before anything is written to it."""
        strict = config.strict_mode_config
        self.most_points = strict.upsert_max_batchsize if strict is not None and strict.enabled else None
        self.words = words
        self.names = names

    def upsert(self, rows: Rows) -> None:
        """Write points, replacing those with the same key."""
        texts = [payload.words_of(row) if self.words else None for row in rows.rows]
        beside = [len(json.dumps(row.payload)) + len(text or "") for row, text in zip(rows.rows, texts, strict=True)]
        for part in self._requests(rows.encoded, beside):
            chunk = Rows(rows.rows[part], rows.encoded[part])
            self._connection.ask("Writing to", self._upserting(chunk, texts[part]), seconds=WRITING)

    def fill(
        self, documents: Sequence[Unfilled], encoded: Encoded, only: models.Filter, names: Mapping[Output, str]
    ) -> None:
        """Write the vectors of those points that pass `only`; NotThereError where one of them is not there."""
        client, name = self._connection.client, self._connection.name
        texts = [document.text if self.words else None for document in documents]
        keys = [document.key for document in documents]
        if self._update_vectors is not None:
            message = wire.update_vectors_message(name, keys, encoded, texts, only, names)
            write: Callable[[], object] = partial(self._update_vectors, message)
        else:
            points = [
                models.PointVectors(id=payload.point_id(key), vector=vectors)
                for key, vectors in zip(keys, _named_vectors(encoded, texts, names), strict=True)
            ]
            write = partial(client.update_vectors, name, points, update_filter=only, wait=True)
        self._connection.ask("Writing to", write, seconds=WRITING)

    def filling(self, documents: Sequence[Unfilled], encoded: Encoded) -> Iterator[slice]:
        """Runs of documents that `fill` takes at once."""
        # The text stands in the condition, too.
        copies = 2 if self.words else 1
        return self._requests(encoded, [copies * len((document.text or "").encode()) for document in documents])

    def _requests(self, encoded: Encoded, beside: Sequence[int]) -> Iterator[slice]:
        """Runs of texts that the server takes in one request; `beside` are their bytes without vectors."""
        vectors: Any = sum(4 * _numbers(name, part) for name, part in encoded.vectors())
        sizes = vectors * (1 if self._upsert is not None else JSON_FACTOR) + POINT_BYTES + np.asarray(beside)
        start, held = 0, 0
        for i, size in enumerate(sizes.tolist()):
            if i > start and (held + size > REQUEST_BYTES or i - start == self.most_points):
                yield slice(start, i)
                start, held = i, 0
            held += size
        yield slice(start, len(beside))

    def _upserting(self, rows: Rows, texts: Sequence[str | None]) -> Callable[[], object]:
        client, name = self._connection.client, self._connection.name
        if self._upsert is not None:
            return partial(self._upsert, wire.upsert_message(name, rows, texts, self.names))
        points = [
            models.PointStruct(id=payload.point_id(row.key), payload=payload.encode(row), vector=vectors)
            for row, vectors in zip(rows.rows, _named_vectors(rows.encoded, texts, self.names), strict=True)
        ]
        return partial(client.upsert, name, points, wait=True)


def _numbers(name: str, part: Any) -> Any:
    """int64 [n]: the numbers of each text's vectors."""
    return part.lengths * part.dim if name == "tokens" else np.full(len(part), part.shape[1])


def _named_vectors(
    encoded: Encoded, texts: Sequence[str | None], names: Mapping[Output, str]
) -> Iterator[dict[str, Any]]:
    columns = {names.get(output, output): part for output, part in encoded.vectors()}
    for i, text in enumerate(texts):
        vectors: dict[str, Any] = {name: np.asarray(part[i], np.float32).tolist() for name, part in columns.items()}
        if text is not None:
            vectors[WORDS] = models.Document(text=text, model=WORDS_MODEL)
        yield vectors
