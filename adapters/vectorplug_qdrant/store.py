"""A Qdrant collection as a store of vectorplug."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.config import IndexConfig
from vectorplug.search.database import Database
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer

if TYPE_CHECKING:
    import qdrant_edge
    from qdrant_client import QdrantClient, models

    from vectorplug_qdrant.layout import Creation

    Filter = qdrant_edge.Filter | models.Filter

__all__ = ["QdrantStore"]


class QdrantStore(Store["Filter"]):
    """A collection in a Qdrant: the engine in this process (`edge:FOLDER`) or a server (`http://HOST:6333`).

    A server's `url` is [qdrant+]http[s]://HOST[:6333][?grpc_port=6334], `api_key` what it asks for; `from_client`
    takes a client that exists. A folder is open in one process at a time, a server serves many.

    Token vectors are ranked by exact MaxSim inside the engine. A `filter` over the payload fields is a
    `qdrant_edge.Filter`, on a server a `qdrant_client.models.Filter`. `creation` says how a new collection on a
    server is made: the fields of `vectorplug_qdrant.layout.Creation`. A document has fewer than 1,048,576 floats of
    tokens, a vector at most 65,536 numbers, and no payload a field "_vectorplug". When `add` returns, its documents
    are on the disk, or with the server; what a killed process had written is there when it is opened again.

    Raises ConfigurationError for another URL, StoreUnavailableError where another store holds the folder or the
    server does not answer for some time, StoreError where the disk is full, the files are damaged, or the collection
    is somebody else's.
    """

    def __init__(
        self,
        url: str,
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        api_key: str | None = None,
        **creation: "Unpack[Creation]",
    ) -> None:
        database = _database_at(url, collection, api_key, creation)
        super().__init__(database, collection, vectorizer=vectorizer, mode=mode, outputs=outputs, config=config)

    @classmethod
    def from_client(
        cls,
        client: "QdrantClient",
        collection: str = "docs",
        *,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        **creation: "Unpack[Creation]",
    ) -> Self:
        """The collection on the server of a `QdrantClient`: its connections, key, TLS, headers and time-outs are used.

        Documents are written by gRPC, the fast way, if the client was made with prefer_grpc=True. Closing the store
        leaves the client open.
        """
        from vectorplug_qdrant.connection import Connection
        from vectorplug_qdrant.server import ServerCollection

        store = cls.__new__(cls)
        database: Database[Any] = ServerCollection(Connection(client, collection), creation)
        Store.__init__(store, database, collection, vectorizer=vectorizer, mode=mode, outputs=outputs, config=config)
        return store


def _database_at(url: str, collection: str, api_key: str | None, creation: "Creation") -> "Database[Any]":
    """The one that the URL names; what it needs is imported here, so that each goes without the other's package."""
    scheme, _, folder = url.partition(":")
    try:
        if scheme.removeprefix("qdrant+") in ("http", "https"):
            from vectorplug_qdrant.connecting import connected
            from vectorplug_qdrant.connection import Connection
            from vectorplug_qdrant.server import ServerCollection

            client = connected(url, api_key)
            return ServerCollection(Connection(client, collection), creation, close=client.close)
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
