"""A store of vectorplug as LangChain's vector store."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.search import Mode, Store, open_store
from vectorplug.search.documents import document_of, payload_of
from vectorplug.search.hits import Id, key_of
from vectorplug_langchain.embeddings import VectorplugEmbeddings

__all__ = ["VectorplugVectorStore"]


class VectorplugVectorStore(VectorStore):
    """Any store, such as `open_store("edge:./index", vectorizer=vectorizer)`, whose mode decides how it is searched.

    The metadata are fields of the payload, where the database's filters see them, beside the text in "text". Scores
    are the store's: higher is better, and exact MaxSim in its native and +rerank modes. Ids are str: a document that
    was added elsewhere by an int comes back with the int's digits, by which it is not found again.
    The async methods run these in a thread.
    """

    def __init__(self, store: Store[Any]) -> None:
        self.store = store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Encode and write texts, and give their ids; `kwargs` go to `Store.add`.

        A text without an id has one that is made from it and its metadata, so adding it twice stores it once.
        PartialFailureError names what the store refused; the others are in.
        """
        texts = list(texts)
        metadatas = [{} for _ in texts] if metadatas is None else metadatas
        given = [None] * len(texts) if ids is None else ids
        if not len(texts) == len(metadatas) == len(given):
            raise InputError(
                f"there are {len(texts)} texts, {len(metadatas)} metadatas and {len(given)} ids; "
                "expected as many of each."
            )
        payloads = [payload_of(text, metadata) for text, metadata in zip(texts, metadatas, strict=True)]
        names = [name or _id_of(payload) for name, payload in zip(given, payloads, strict=True)]
        self.store.add(texts, names, payloads, **kwargs).raise_failed()
        return names

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The `k` best documents, best first; `kwargs` (`filter`, `candidates`, `mode`) go to `Store.search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """As `similarity_search`, each with the store's score."""
        if self.store.info is None:  # LangChain searches a store that nothing was added to, a Store refuses to
            return []
        hits = self.store.search(query, limit=k, **kwargs)
        return [(_document(hit.id, hit.payload), hit.score) for hit in hits]

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents that are there, in the order of `ids`."""
        return [_document(name, payload) for name, payload in self.store.payloads(ids).items()]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Remove documents by their ids; ids that are not there are no error."""
        if ids is None or kwargs:
            raise InputError(f"delete came with ids={ids} and {kwargs}, expected a list of ids and nothing else.")
        self.store.delete(ids)
        return True

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        url: str = "memory:",
        collection: str = "docs",
        mode: Mode | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open the store at `url` with the model of `embedding`, a `VectorplugEmbeddings`, and add the texts."""
        if not isinstance(embedding, VectorplugEmbeddings):
            raise ConfigurationError(
                f"embedding is a {type(embedding).__name__}, expected VectorplugEmbeddings(vectorizer): "
                "others give no token vectors."
            )
        vectorstore = cls(open_store(url, collection=collection, vectorizer=embedding.vectorizer, mode=mode))
        try:
            vectorstore.add_texts(texts, metadatas, ids=ids, **kwargs)
        except BaseException:
            vectorstore.store.close()  # nobody else holds it
            raise
        return vectorstore


def _document(document_id: Id, payload: dict[str, Any]) -> Document:
    text, metadata = document_of(document_id, payload)
    return Document(text, id=str(document_id), metadata=metadata)


def _id_of(payload: dict[str, Any]) -> str:
    # What JSON does not have is refused by the store, which names the document.
    return key_of(json.dumps(payload, sort_keys=True, default=repr))
