"""Document FDEs in 8 bits or 1 bit a number, scored against queries that stay in float32."""

from vectorplug.codes.fde_codes import FdeCodes

__all__ = ["FdeCodes"]
