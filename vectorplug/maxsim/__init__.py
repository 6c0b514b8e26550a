"""Query tokens x document tokens -> scores: exact MaxSim, with NumPy and numba only."""

from vectorplug.maxsim.scoring import maxsim

__all__ = ["maxsim"]
