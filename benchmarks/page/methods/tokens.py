"""The token vectors that a section wrote; the file is mapped, so that processes share its pages."""

import numpy as np

__all__ = ["documents", "lengths", "offsets", "queries", "values"]


def values(folder, name="documents"):
    """float32 [tokens, dim] of all documents, or "queries"."""
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c"))


def lengths(folder, name="documents"):
    """int64 [texts]."""
    return np.load(folder / f"{name}_lengths.npy")


def offsets(folder, name="documents"):
    """int64 [texts + 1]."""
    return np.concatenate([[0], np.cumsum(lengths(folder, name))])


def documents(folder):
    """float32 [tokens_i, dim] each."""
    return np.split(values(folder), offsets(folder)[1:-1])


def queries(folder):
    """float32 [tokens_i, dim] each."""
    return np.split(values(folder, "queries"), offsets(folder, "queries")[1:-1])
