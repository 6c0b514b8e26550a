"""A Weaviate collection as a store of vectorplug."""

from collections.abc import Sequence
from typing import Self

import weaviate
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import FilterReturn

from vectorplug.encoded import Output
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_weaviate.collection import WeaviateCollection
from vectorplug_weaviate.connection import Connection

__all__ = ["WeaviateStore"]


class WeaviateStore(Store[FilterReturn]):
    """A collection on a Weaviate server: `url` is `[weaviate+]http(s)://HOST:8080[?grpc_port=50051]`.

    Token vectors are ranked by exact MaxSim inside the server. A `filter` is a `weaviate.classes.query.Filter` over the
    payload's fields, which are properties of Weaviate's own types. With `tenant` the store is one tenant of a
    collection that has tenants. A collection "docs" is Weaviate's "Docs".

    Raises ConfigurationError for another URL or name, StoreUnavailableError where no server answers, StoreError where
    a collection of that name was not made by vectorplug or has been changed.
    """

    def __init__(
        self,
        url: str,
        collection: str = "docs",
        *,
        tenant: str | None = None,
        consistency_level: ConsistencyLevel | None = None,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> None:
        self._open(Connection.to(url), collection, tenant, consistency_level, vectorizer, mode, outputs)

    @classmethod
    def from_client(
        cls,
        client: weaviate.WeaviateClient,
        collection: str = "docs",
        *,
        tenant: str | None = None,
        consistency_level: ConsistencyLevel | None = None,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
    ) -> Self:
        """The same over a connected client: its authentication, TLS, headers and timeouts hold, and it stays open."""
        store = cls.__new__(cls)
        store._open(Connection(client, owned=False), collection, tenant, consistency_level, vectorizer, mode, outputs)
        return store

    def _open(
        self,
        connection: Connection,
        collection: str,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
    ) -> None:
        try:
            database = WeaviateCollection(connection, collection, tenant=tenant, consistency_level=consistency_level)
        except BaseException:
            connection.close()
            raise
        super().__init__(database, collection, vectorizer=vectorizer, mode=mode, outputs=outputs)
