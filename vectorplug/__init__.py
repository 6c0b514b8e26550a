"""Multi-vector search for the vector database that you already run."""

import importlib
from typing import TYPE_CHECKING, Any

from vectorplug import errors

# At once, not when first asked for: the function has its package's name and has to be bound after it.
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

if TYPE_CHECKING:
    from vectorplug.encoded import Encoded
    from vectorplug.lemur import Lemur
    from vectorplug.muvera import Muvera
    from vectorplug.residency.cache import ModelCache
    from vectorplug.search import Hit, open_store
    from vectorplug.vectorizer import Vectorizer

__version__ = "0.1.0"

__all__ = [
    "Encoded",
    "Hit",
    "Lemur",
    "ModelCache",
    "MultiVectors",
    "Muvera",
    "Vectorizer",
    "errors",
    "maxsim",
    "open_store",
]

# Imported when they are first asked for: a pipeline that needs MaxSim alone does not wait for pydantic or torch.
_homes = {
    "Encoded": "vectorplug.encoded",
    "Hit": "vectorplug.search",
    "Lemur": "vectorplug.lemur",
    "ModelCache": "vectorplug.residency.cache",
    "Muvera": "vectorplug.muvera",
    "Vectorizer": "vectorplug.vectorizer",
    "open_store": "vectorplug.search",
}


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module 'vectorplug' has no attribute {name!r}")
    value = getattr(importlib.import_module(_homes[name]), name)
    globals()[name] = value
    return value
