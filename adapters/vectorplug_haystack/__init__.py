"""vectorplug in Haystack: embedders, a document store over any store with its retriever, and a ranker."""

from vectorplug_haystack.document_store import VectorplugDocumentStore
from vectorplug_haystack.embedders import VectorplugDocumentEmbedder, VectorplugTextEmbedder
from vectorplug_haystack.ranker import VectorplugRanker
from vectorplug_haystack.retriever import VectorplugRetriever

__all__ = [
    "VectorplugDocumentEmbedder",
    "VectorplugDocumentStore",
    "VectorplugRanker",
    "VectorplugRetriever",
    "VectorplugTextEmbedder",
]
