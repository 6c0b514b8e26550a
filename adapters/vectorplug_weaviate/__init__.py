"""Weaviate for vectorplug: one collection, or one tenant of it, on a server (`weaviate+http://HOST:8080`)."""

from vectorplug_weaviate.asynchronous import AsyncWeaviateStore
from vectorplug_weaviate.store import WeaviateStore

__all__ = ["AsyncWeaviateStore", "WeaviateStore"]
