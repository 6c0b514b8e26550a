"""The dense vectors of a vectorizer as LlamaIndex's embedding."""

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["VectorplugEmbedding"]


class VectorplugEmbedding(BaseEmbedding):
    """One dense vector a text; `vectorizer` is a `Vectorizer` or what `Vectorizer.remote` gives."""

    embed_batch_size: int = Field(default=256, gt=0, le=2048, description="Texts that are encoded at once.")
    _vectorizer: TextVectorizer = PrivateAttr()

    def __init__(self, vectorizer: TextVectorizer, **options: Any) -> None:
        super().__init__(**{"model_name": vectorizer.model, **options})
        self._vectorizer = vectorizer

    @classmethod
    def class_name(cls) -> str:
        """The name in LlamaIndex's events."""
        return "VectorplugEmbedding"

    def _get_query_embedding(self, query: str) -> Embedding:
        dense = self._vectorizer.encode_query([query], outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        vector: Embedding = dense[0].tolist()
        return vector

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        dense = self._vectorizer.encode_document(texts, outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        vectors: list[Embedding] = dense.tolist()
        return vectors

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
