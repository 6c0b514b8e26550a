"""A store of vectorplug as Haystack's document store."""

import asyncio
from typing import Any, Self

from haystack import Document, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from vectorplug.errors import ConfigurationError
from vectorplug.search import Hit, Mode, Store, open_store
from vectorplug.search.documents import document_of, payload_of
from vectorplug_haystack.model import texts_of, vectorizer_of

__all__ = ["VectorplugDocumentStore", "document_of_hit"]


class VectorplugDocumentStore:
    """The collection at a store's URL, such as "edge:./index", opened at first use; Haystack's writer writes into it.

    `model` and `mode` may be left out for a collection that exists; the model runs in this process, or in the
    `vectorplug serve` at `server_url`. The meta are fields of the payload, where the database's filters see them,
    beside the text in "text". Give the same object to the writer and to the retriever: some databases are open once.
    """

    def __init__(
        self,
        url: str = "memory:",
        collection: str = "docs",
        *,
        model: str | None = None,
        mode: Mode | None = None,
        server_url: str | None = None,
        api_key: Secret | None = None,
    ) -> None:
        self.url = url
        self.collection = collection
        self.model = model
        self.mode = mode
        self.server_url = server_url
        self.api_key = api_key
        self._store: Store[Any] | None = None
        self._is_given = False

    @classmethod
    def from_store(cls, store: Store[Any]) -> Self:
        """Over a store that is open already; a pipeline with it runs, and cannot be written to a file."""
        given = cls(collection=store.collection)
        given._store, given._is_given = store, True
        return given

    @property
    def store(self) -> Store[Any]:
        """The store, opened at first use."""
        if self._store is None:
            vectorizer = None
            if self.model is not None:
                vectorizer = vectorizer_of(self.model, self.server_url, self.api_key)
            store = open_store(self.url, collection=self.collection, vectorizer=vectorizer, mode=self.mode)
            if vectorizer is None and store.info is None:
                store.close()
                raise ConfigurationError(
                    f"there is no collection {self.collection!r} at {self.url!r} yet: name a model=... to make it with."
                )
            self._store = store
        return self._store

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same document store of."""
        if self._is_given:
            raise ConfigurationError(
                "this document store was made from an open store, which has no description: make it of a URL."
            )
        return default_to_dict(
            self,
            url=self.url,
            collection=self.collection,
            model=self.model,
            mode=self.mode,
            server_url=self.server_url,
            api_key=self.api_key,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The document store that `to_dict` described."""
        return default_from_dict(cls, data)

    def count_documents(self) -> int:
        """How many documents the collection holds."""
        return self.store.count()

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Not there: a store is searched, by a filter too, and never listed."""
        raise NotImplementedError(
            f"filter_documents({filters}) lists documents, which a store of vectorplug does not: search with "
            "VectorplugRetriever.run(query, filters=...), or read by id with store.payloads(ids)."
        )

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Encode and write documents, and say how many; NONE is OVERWRITE, which encodes only what has changed.

        PartialFailureError names what the store refused; the others are in.
        """
        if not all(isinstance(document, Document) for document in documents):
            raise ValueError(f"documents is {str(documents)[:80]}, expected a list of haystack.Document.")
        if policy in (DuplicatePolicy.FAIL, DuplicatePolicy.SKIP):
            there = self.store.payloads([document.id for document in documents])
            if there and policy is DuplicatePolicy.FAIL:
                raise DuplicateDocumentError(f"document {next(iter(there))!r} and {len(there) - 1} others are there.")
            documents = [document for document in documents if document.id not in there]
        texts = texts_of(documents)
        payloads = [payload_of(text, document.meta) for text, document in zip(texts, documents, strict=True)]
        self.store.add(texts, [document.id for document in documents], payloads).raise_failed()
        return len(documents)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """As `write_documents`, in a thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove documents by their ids; ids that are not there are no error."""
        self.store.delete(document_ids)

    def close(self) -> None:
        """Release the database; it is opened again at the next use, unless it was given."""
        if self._store is not None:
            self._store.close()
        if not self._is_given:
            self._store = None


def document_of_hit(hit: Hit) -> Document:
    """The document that was written, with its score; what it had besides content, meta and id was not kept."""
    text, meta = document_of(hit.id, hit.payload)
    return Document(id=str(hit.id), content=text, meta=meta, score=hit.score)
