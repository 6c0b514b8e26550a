"""A Qdrant collection as a store of vectorplug."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qdrant_edge import Filter

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Rows
from vectorplug.search.modes import Mode, Plan
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_qdrant import payload
from vectorplug_qdrant.edge import EdgeCollection
from vectorplug_qdrant.folder import CollectionFolder
from vectorplug_qdrant.schema import refusals, stages_of

__all__ = ["QdrantStore"]


class QdrantStore(Store[Filter]):
    """A collection in Qdrant's engine, in this process: `url` is `edge:FOLDER`, and one process at a time may open it.

    Token vectors are ranked by exact MaxSim inside the engine. A `filter` is a `qdrant_edge.Filter` over the payload
    fields. A document has fewer than 1,048,576 floats of tokens, a vector at most 65,536 numbers, and no payload a
    field "_vectorplug". When `add` returns, its documents are on the disk; what a killed process had written is
    there when the collection is opened again.

    Raises ConfigurationError for another URL, StoreUnavailableError where another store holds the collection,
    StoreError where the disk is full or the files are damaged.
    """

    def __init__(
        self,
        url: str,
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        self._engine = EdgeCollection(CollectionFolder(_folder_of(url), collection))
        super().__init__(collection, vectorizer=vectorizer, mode=mode, outputs=outputs)

    def _close(self) -> None:
        self._engine.close()

    def _read_info(self) -> CollectionInfo | None:
        return self._engine.open()

    def _create(self, info: CollectionInfo) -> None:
        self._engine.create(info)

    def _contents(self, keys: Sequence[str]) -> Mapping[str, str]:
        return self._engine.contents(keys)

    def _refusals(self, rows: Rows) -> Mapping[int, str]:
        for row in rows.rows:
            payload.check(row)
        return refusals(rows)

    def _upsert(self, rows: Rows) -> None:
        self._engine.upsert(rows)

    def _finish_adding(self) -> None:
        self._engine.finish()

    def _search(self, query: Encoded, plan: Plan, limit: int, filter: Filter | None, candidates: int) -> list[Hit]:
        if filter is not None and not isinstance(filter, Filter):
            raise InputError(f"filter is a {type(filter).__name__}, expected a qdrant_edge.Filter.")
        points = self._engine.query(stages_of(plan, limit, candidates), query, filter)
        found = ((*payload.decode(point.payload or {}), point.score) for point in points)
        return [Hit(document_id, score, fields) for document_id, fields, score in found]

    def _delete(self, keys: Sequence[str]) -> None:
        self._engine.delete(keys)

    def _count(self) -> int:
        return self._engine.count()


def _folder_of(url: str) -> Path:
    scheme, _, folder = url.partition(":")
    if scheme in ("http", "https", "grpc", "qdrant"):
        raise ConfigurationError(f"url {url!r} names a Qdrant server, which this version cannot use: edge:FOLDER can.")
    if scheme != "edge" or not folder or folder.startswith("//"):
        raise ConfigurationError(f"url {url!r} names no folder, expected edge:FOLDER, such as edge:./index.")
    return Path(folder).expanduser()
