"""vectorplug in LlamaIndex: an embedding, nodes in and out of any store, and a reranker."""

from vectorplug_llamaindex.embedding import VectorplugEmbedding
from vectorplug_llamaindex.nodes import add_nodes
from vectorplug_llamaindex.rerank import VectorplugRerank
from vectorplug_llamaindex.retriever import VectorplugRetriever

__all__ = ["VectorplugEmbedding", "VectorplugRerank", "VectorplugRetriever", "add_nodes"]
