"""LlamaIndex's nodes as documents of a store."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from vectorplug.search import Hit, Store
from vectorplug.search.documents import document_of, payload_of

__all__ = ["add_nodes", "node_of"]


def add_nodes(store: Store[Any], nodes: Sequence[BaseNode]) -> list[str]:
    """Encode nodes and write them by their ids, which are given back; what is there unchanged is skipped.

    What is encoded is the content that LlamaIndex's embeddings read (MetadataMode.EMBED). The payload is LlamaIndex's
    own for vector stores: the metadata's fields, and the whole node beside them, so that it comes back as it was.
    PartialFailureError names what the store refused; the others are in. Remove nodes with `store.delete(ids)`.
    """
    texts = [node.get_content(MetadataMode.EMBED) for node in nodes]
    payloads = [
        payload_of(node.get_content(MetadataMode.NONE), node_to_metadata_dict(node, remove_text=True)) for node in nodes
    ]
    ids = [node.node_id for node in nodes]
    store.add(texts, ids, payloads).raise_failed()
    return ids


def node_of(hit: Hit) -> NodeWithScore:
    """The node that was added; a TextNode of the payload where the document was added without LlamaIndex."""
    text, metadata = document_of(hit.id, hit.payload)
    if "_node_content" in metadata:
        node = metadata_dict_to_node(metadata, text=text)
    else:
        node = TextNode(id_=str(hit.id), text=text, metadata=metadata)
    return NodeWithScore(node=node, score=hit.score)
