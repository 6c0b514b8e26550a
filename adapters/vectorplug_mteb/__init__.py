"""vectorplug in MTEB: a vectorizer, a mode and a store as a model that its retrieval tasks take."""

from vectorplug_mteb.model import VectorplugSearch

__all__ = ["VectorplugSearch"]
