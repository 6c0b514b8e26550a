"""Token vectors to one vector, fitted to a collection: LEMUR, a small vector whose inner product follows MaxSim."""

from vectorplug.lemur.encoding import Lemur
from vectorplug.lemur.fitted import Drift
from vectorplug.lemur.pseudo_queries import pseudo_queries

__all__ = ["Drift", "Lemur", "pseudo_queries"]
