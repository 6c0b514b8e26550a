"""A Qdrant collection as a store of vectorplug."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Rows
from vectorplug.search.modes import Mode, Plan
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_qdrant import payload
from vectorplug_qdrant.schema import refusals, stages_of

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import QdrantClient, models

    from vectorplug_qdrant.edge import EdgeCollection
    from vectorplug_qdrant.layout import Creation
    from vectorplug_qdrant.server import ServerCollection

    Filter = qdrant_edge.Filter | models.Filter

__all__ = ["QdrantStore"]


class QdrantStore(Store["Filter"]):
    """A collection in a Qdrant: the engine in this process (`edge:FOLDER`) or a server (`http://HOST:6333`).

    A server's `url` is [qdrant+]http[s]://HOST[:6333][?grpc_port=6334]; `from_client` takes a client that exists. A
    folder is open in one process at a time, a server serves many.

    Token vectors are ranked by exact MaxSim inside the engine. A `filter` over the payload fields is a
    `qdrant_edge.Filter`, on a server a `qdrant_client.models.Filter`. `creation` says how a new collection on a
    server is made: the fields of `vectorplug_qdrant.layout.Creation`. A document has fewer than 1,048,576 floats of
    tokens, a vector at most 65,536 numbers, and no payload a field "_vectorplug". When `add` returns, its documents
    are on the disk, or with the server; what a killed process had written is there when it is opened again.

    Raises ConfigurationError for another URL, StoreUnavailableError where another store holds the folder or the
    server does not answer for some time, StoreError where the disk is full, the files are damaged, or the collection
    is somebody else's.
    """

    _engine: "EdgeCollection | ServerCollection"

    def __init__(
        self,
        url: str,
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        **creation: "Unpack[Creation]",
    ) -> None:
        self._engine = _engine_at(url, collection, creation)
        super().__init__(collection, vectorizer=vectorizer, mode=mode, outputs=outputs)

    @classmethod
    def from_client(
        cls,
        client: "QdrantClient",
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        **creation: "Unpack[Creation]",
    ) -> Self:
        """The collection on the server of a `QdrantClient`: its connections, key, TLS, headers and time-outs are used.

        Documents are written by gRPC, the fast way, if the client was made with prefer_grpc=True. Closing the store
        leaves the client open.
        """
        from vectorplug_qdrant.server import ServerCollection

        store = cls.__new__(cls)
        store._engine = ServerCollection(client, collection, creation)
        Store.__init__(store, collection, vectorizer=vectorizer, mode=mode, outputs=outputs)
        return store

    def _close(self) -> None:
        self._engine.close()

    def _read_info(self) -> CollectionInfo | None:
        return self._engine.open()

    def _create(self, info: CollectionInfo) -> None:
        self._engine.create(info)

    def _contents(self, keys: Sequence[str]) -> Mapping[str, str]:
        return self._engine.contents(keys)

    def _payloads(self, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        return self._engine.payloads(keys)

    def _refusals(self, rows: Rows) -> Mapping[int, str]:
        for row in rows.rows:
            payload.check(row)
        return refusals(rows)

    def _upsert(self, rows: Rows) -> None:
        self._engine.upsert(rows)

    def _finish_adding(self) -> None:
        self._engine.finish()

    def _search(self, query: Encoded, plan: Plan, limit: int, filter: Any, candidates: int) -> list[Hit]:
        points = self._engine.query(stages_of(plan, limit, candidates), query, filter)
        found = ((*payload.decode(point.payload or {}), point.score) for point in points)
        return [Hit(document_id, score, fields) for document_id, fields, score in found]

    def _delete(self, keys: Sequence[str]) -> None:
        self._engine.delete(keys)

    def _count(self) -> int:
        return self._engine.count()


def _engine_at(url: str, collection: str, creation: "Creation") -> "EdgeCollection | ServerCollection":
    """The engine that the URL names; what it needs is imported here, so that each goes without the other's package."""
    scheme, _, folder = url.partition(":")
    try:
        if scheme.removeprefix("qdrant+") in ("http", "https"):
            from vectorplug_qdrant.connecting import connected
            from vectorplug_qdrant.server import ServerCollection

            client = connected(url)
            return ServerCollection(client, collection, creation, close=client.close)
        from vectorplug_qdrant.edge import EdgeCollection
        from vectorplug_qdrant.folder import CollectionFolder
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"store {url!r} needs the package {error.name!r}: pip install 'vectorplug[qdrant]'."
        ) from error
    if scheme != "edge" or not folder or folder.startswith("//"):
        raise ConfigurationError(
            f"url {url!r} names no folder and no server, expected edge:FOLDER, such as edge:./index, or "
            "qdrant+http://HOST:6333."
        )
    if creation:
        raise ConfigurationError(f"{', '.join(creation)}: options of a server's collections, and {url!r} is a folder.")
    return EdgeCollection(CollectionFolder(Path(folder).expanduser(), collection))
