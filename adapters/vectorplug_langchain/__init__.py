"""vectorplug in LangChain: embeddings, a vector store over any store, and a reranker."""

from vectorplug_langchain.embeddings import VectorplugEmbeddings
from vectorplug_langchain.reranker import VectorplugReranker
from vectorplug_langchain.vectorstore import VectorplugVectorStore

__all__ = ["VectorplugEmbeddings", "VectorplugReranker", "VectorplugVectorStore"]
