"""Multi-vector search for the vector database that you already run."""

__version__ = "0.1.0"
