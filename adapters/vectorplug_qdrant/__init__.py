"""Qdrant for vectorplug: the engine in process (`edge:FOLDER`), or a server (`qdrant+http://HOST:6333`)."""

from vectorplug_qdrant.store import QdrantStore

__all__ = ["QdrantStore"]
