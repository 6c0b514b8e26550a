"""A store of vectorplug as LlamaIndex's retriever."""

import asyncio
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle

from vectorplug.search import Store
from vectorplug_llamaindex.nodes import node_of

__all__ = ["VectorplugRetriever"]


class VectorplugRetriever(BaseRetriever):
    """The `similarity_top_k` best nodes of any store, found and scored by the store's mode.

    `filter` is of the database's own type; `candidates` are ranked by exact MaxSim in +rerank modes.
    """

    def __init__(
        self,
        store: Store[Any],
        *,
        similarity_top_k: int = 10,
        filter: Any = None,
        candidates: int | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        self._store = store
        self._similarity_top_k = similarity_top_k
        self._filter = filter
        self._candidates = candidates

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._store.search(
            query_bundle.query_str, limit=self._similarity_top_k, filter=self._filter, candidates=self._candidates
        )
        return [node_of(hit) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
