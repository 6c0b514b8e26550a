"""Exact MaxSim as Haystack's ranker."""

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_to_dict
from haystack.utils import Secret

from vectorplug.errors import InputError
from vectorplug.search.reranking import best, scores_of
from vectorplug_haystack.model import ModelUser, texts_of

__all__ = ["VectorplugRanker"]


@component
class VectorplugRanker(ModelUser):
    """Ranks documents by exact MaxSim with the question, which becomes their score, and keeps the `top_k` best.

    All are kept where `top_k` is None. `model` runs in this process, or in the `vectorplug serve` at `server_url`.
    """

    def __init__(
        self, model: str, *, top_k: int | None = None, server_url: str | None = None, api_key: Secret | None = None
    ) -> None:
        ModelUser.__init__(self, model, server_url=server_url, api_key=api_key)
        self.top_k = _checked(top_k)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same component of."""
        return default_to_dict(
            self, model=self.model, top_k=self.top_k, server_url=self.server_url, api_key=self.api_key
        )

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """{"documents": copies of the best with their score, best first}."""
        count = self.top_k if top_k is None else _checked(top_k)
        scores, _ = scores_of(self.vectorizer, query, texts_of(documents))
        ranked = [replace(documents[place], score=float(scores[place])) for place in best(scores, count)]
        return {"documents": ranked}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        return await asyncio.to_thread(self.run, query, documents, top_k)


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k is {top_k}, expected at least 1, or None for all.")
    return top_k
