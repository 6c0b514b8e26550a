"""Exact MaxSim as LangChain's document compressor."""

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PositiveInt, SkipValidation

from vectorplug.search.reranking import best, scores_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["VectorplugReranker"]


class VectorplugReranker(BaseDocumentCompressor):
    """Ranks documents by exact MaxSim with the question, and keeps the `top_n` best (all where it is None).

    Each kept document is a copy with `metadata["relevance_score"]`: MaxSim a token of the question, which is at
    most 1 and may be compared between questions. `vectorizer` is a `Vectorizer` or what `Vectorizer.remote` gives.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    vectorizer: SkipValidation[TextVectorizer]
    top_n: PositiveInt | None = None

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002
    ) -> list[Document]:
        """The best documents, best first."""
        scores, tokens = scores_of(self.vectorizer, query, [document.page_content for document in documents])
        return [
            documents[place].model_copy(
                update={"metadata": {**documents[place].metadata, "relevance_score": float(scores[place]) / tokens}}
            )
            for place in best(scores, self.top_n)
        ]
