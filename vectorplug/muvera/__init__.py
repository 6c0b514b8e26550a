"""Token vectors to one vector: MUVERA as fastembed, Google and Weaviate compute it."""

from vectorplug.muvera.codes import FdeCodes
from vectorplug.muvera.encoding import Compressor, Muvera

__all__ = ["Compressor", "FdeCodes", "Muvera"]
