"""The dense vectors of a vectorizer as LangChain's embeddings."""

from langchain_core.embeddings import Embeddings

from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["VectorplugEmbeddings"]


class VectorplugEmbeddings(Embeddings):
    """One dense vector a text; `vectorizer` is a `Vectorizer` or what `Vectorizer.remote` gives.

    The async methods run these in a thread.
    """

    def __init__(self, vectorizer: TextVectorizer) -> None:
        self.vectorizer = vectorizer

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of n documents, in order."""
        if not texts:
            return []
        dense = self.vectorizer.encode_document(texts, outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        vectors: list[list[float]] = dense.tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of one question, with the checkpoint's recipe for queries."""
        dense = self.vectorizer.encode_query([text], outputs=("dense",), show_progress_bar=False).dense
        assert dense is not None
        vector: list[float] = dense[0].tolist()
        return vector
