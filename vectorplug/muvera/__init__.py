"""Token vectors to one vector: MUVERA as fastembed, Google and Weaviate compute it."""

from vectorplug.codes import FdeCodes
from vectorplug.muvera.encoding import Muvera

__all__ = ["FdeCodes", "Muvera"]
