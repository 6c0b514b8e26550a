"""The dense vectors of a model as Haystack's embedders."""

import asyncio
from dataclasses import replace

from haystack import Document, component

from vectorplug_haystack.model import ModelUser, texts_of

__all__ = ["VectorplugDocumentEmbedder", "VectorplugTextEmbedder"]


@component
class VectorplugTextEmbedder(ModelUser):
    """One dense vector of a question, with the checkpoint's recipe for queries.

    `model` runs in this process, or in the `vectorplug serve` at `server_url`.
    """

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """{"embedding": the vector}."""
        dense = self.vectorizer.encode_query([text], outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        return {"embedding": dense[0].tolist()}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """As `run`, in a thread."""
        return await asyncio.to_thread(self.run, text)


@component
class VectorplugDocumentEmbedder(ModelUser):
    """One dense vector a document, of its content.

    `model` runs in this process, or in the `vectorplug serve` at `server_url`.
    """

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """{"documents": copies with their embedding}."""
        if not documents:
            return {"documents": []}
        dense = self.vectorizer.encode_document(texts_of(documents), outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        embedded = zip(documents, dense.tolist(), strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in embedded]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """As `run`, in a thread."""
        return await asyncio.to_thread(self.run, documents)
