"""What a database keeps: in which numbers, and how many bytes they are."""

from dataclasses import dataclass
from typing import Final

from vectorplug.search.fingerprint import FdeDtype, TokenDtype

__all__ = ["GRAPH_BYTES", "Storage", "storage_of"]

# A graph with m = 16: 2 m links of 4 bytes on the lowest level, m for one document in m above it.
GRAPH_BYTES: Final = 4 * (2 * 16 + 1)
NUMBER: Final[dict[str, float]] = {"float32": 4, "float16": 2, "int8": 1, "bit": 0.125}


@dataclass(frozen=True, slots=True)
class Storage:
    """What a kind of database has of the dtypes.

    `keeps_whole`: int8 and bit FDEs are codes in memory, beside the float32 ones on the disk, which choose among
    `oversampling` times as many as are asked for.
    """

    name: str
    tokens: tuple[TokenDtype, ...]
    fde: tuple[FdeDtype, ...]
    keeps_whole: bool
    oversampling: float = 1.0

    def fde_bytes(self, size: int, dtype: FdeDtype) -> float:
        """Bytes a document of a vector of `size` numbers, as it is stored."""
        if dtype in ("int8", "bit"):
            return size * NUMBER[dtype] + (size * NUMBER["float32"] if self.keeps_whole else NUMBER["float32"])
        return size * NUMBER[dtype]

    def scanned_bytes(self, size: int, dtype: FdeDtype) -> float:
        """Bytes a document that are held in memory to be searched."""
        return size * NUMBER[dtype]

    def token_bytes(self, dim: int, tokens: float, dtype: TokenDtype) -> float:
        """Bytes a document of so many `tokens` of `dim` numbers, the scales of int8 included."""
        return tokens * (dim * NUMBER[dtype] + (NUMBER["float32"] if dtype == "int8" else 0))


QDRANT = Storage("Qdrant", ("float32", "float16"), ("float32", "float16", "int8", "bit"), True, 2.0)
WEAVIATE = Storage("Weaviate", ("float32",), ("float32", "int8", "bit"), True)
PLAIN = Storage("the plain store", ("float32", "float16", "int8"), ("float32", "float16", "int8", "bit"), False)
BY_SCHEME: Final = {"edge": QDRANT, "qdrant": QDRANT, "weaviate": WEAVIATE}


def storage_of(url: str) -> Storage:
    """Of the database that the URL of a store names."""
    return BY_SCHEME.get(url.partition(":")[0].partition("+")[0], PLAIN)
