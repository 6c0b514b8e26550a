"""A search in a store of vectorplug as Haystack's retriever."""

import asyncio
from typing import Any, Self

from haystack import Document, component, default_from_dict, default_to_dict

from vectorplug_haystack.document_store import VectorplugDocumentStore, document_of_hit

__all__ = ["VectorplugRetriever"]


@component
class VectorplugRetriever:
    """The `top_k` best documents for a question in words, found and scored by the store's mode; no embedder before it.

    `candidates` are ranked by exact MaxSim in +rerank modes.
    """

    def __init__(
        self, document_store: VectorplugDocumentStore, *, top_k: int = 10, candidates: int | None = None
    ) -> None:
        self.document_store = document_store
        self.top_k = top_k
        self.candidates = candidates

    def warm_up(self) -> None:
        """Open the store and load its model."""
        _ = self.document_store.store.vectorizer

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same component of."""
        return default_to_dict(self, document_store=self.document_store, top_k=self.top_k, candidates=self.candidates)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        return default_from_dict(cls, data)

    @component.output_types(documents=list[Document])
    def run(self, query: str, filters: Any = None, top_k: int | None = None) -> dict[str, list[Document]]:
        """{"documents": the best with their score, best first}; `filters` is of the database's own type."""
        limit = self.top_k if top_k is None else top_k
        hits = self.document_store.store.search(query, limit=limit, filter=filters, candidates=self.candidates)
        return {"documents": [document_of_hit(hit) for hit in hits]}

    @component.output_types(documents=list[Document])
    async def run_async(self, query: str, filters: Any = None, top_k: int | None = None) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        return await asyncio.to_thread(self.run, query, filters, top_k)

    def close(self) -> None:
        """Release the database."""
        self.document_store.close()
