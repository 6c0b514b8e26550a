"""A Weaviate collection as a store of vectorplug."""

from collections.abc import Sequence
from typing import Self, Unpack

import weaviate
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import FilterReturn

from vectorplug.encoded import Output
from vectorplug.search.config import IndexConfig
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug_weaviate.collection import WeaviateCollection
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.layout import Creation

__all__ = ["WeaviateStore"]


class WeaviateStore(Store[FilterReturn]):
    """A collection on a Weaviate server: `url` is `[weaviate+]http(s)://HOST:8080[?grpc_port=50051]`.

    Token vectors are ranked by exact MaxSim inside the server. A `filter` is a `weaviate.classes.query.Filter` over the
    payload's fields, which are properties of Weaviate's own types. With `tenant` the store is one tenant of a
    collection that has tenants. `creation` says how a new collection is made: the fields of
    `vectorplug_weaviate.layout.Creation`. A collection "docs" is Weaviate's "Docs".

    Raises ConfigurationError for another URL or name, StoreUnavailableError where no server answers, StoreError where
    a collection of that name has been changed since vectorplug made it. One that vectorplug did not make can be given
    vectors by `backfill`, and nothing else before.
    """

    def __init__(
        self,
        url: str,
        collection: str = "docs",
        *,
        api_key: str | None = None,
        tenant: str | None = None,
        consistency_level: ConsistencyLevel | None = None,
        vectorizer: TextVectorizer | None = None,
        mode: Mode | None = None,
        outputs: Sequence[Output] | None = None,
        config: IndexConfig | None = None,
        **creation: Unpack[Creation],
    ) -> None:
        connection = Connection.to(url, api_key)
        self._open(connection, collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config)

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
        config: IndexConfig | None = None,
        **creation: Unpack[Creation],
    ) -> Self:
        """The same over a connected client: its authentication, TLS, headers and timeouts hold, and it stays open."""
        connection = Connection(client, owned=False)
        return cls.over(connection, collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config)

    @classmethod
    def over(
        cls,
        connection: Connection,
        collection: str,
        creation: Creation,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
        config: IndexConfig | None,
    ) -> Self:
        """The same over a connection, which is closed with the store."""
        store = cls.__new__(cls)
        store._open(connection, collection, creation, tenant, consistency_level, vectorizer, mode, outputs, config)
        return store

    def _open(
        self,
        connection: Connection,
        collection: str,
        creation: Creation,
        tenant: str | None,
        consistency_level: ConsistencyLevel | None,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
        config: IndexConfig | None,
    ) -> None:
        try:
            database = WeaviateCollection(
                connection, collection, creation, tenant=tenant, consistency_level=consistency_level
            )
        except BaseException:
            connection.close()
            raise
        super().__init__(database, collection, vectorizer=vectorizer, mode=mode, outputs=outputs, config=config)
