"""Qdrant for vectorplug: the engine in process (`edge:FOLDER`), or a server (`qdrant+http://HOST:6333`)."""

from vectorplug_qdrant.asynchronous import AsyncQdrantStore
from vectorplug_qdrant.inference import register
from vectorplug_qdrant.store import QdrantStore

__all__ = ["AsyncQdrantStore", "QdrantStore", "register"]
