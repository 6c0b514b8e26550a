"""Qdrant for vectorplug: the engine in process (`edge:FOLDER`)."""

from vectorplug_qdrant.store import QdrantStore

__all__ = ["QdrantStore"]
