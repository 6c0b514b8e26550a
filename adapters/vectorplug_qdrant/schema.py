"""How vectors lie in Qdrant and how a plan searches them; the same for the engine in process and for a server."""

from collections.abc import Mapping
from dataclasses import dataclass

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.hits import Rows
from vectorplug.search.modes import Plan
from vectorplug_qdrant.payload import RESERVED

__all__ = ["FULL_SCAN_KB", "HNSW_EF_CONSTRUCT", "HNSW_M", "Stage", "VectorField", "fields_of", "refusals", "stages_of"]

# A server refuses more; in process nothing does, but a collection should be able to move to a server.
MAX_VECTOR = 65_536
MAX_MULTIVECTOR = 1_048_576  # floats of one document, exclusive

# Qdrant's own defaults. On the FDEs of SciFact (5,183 texts, a small ColBERT), the 100 candidates of the graph overlap
# the exact ones by 0.92, 0.98 and 0.996 at an ef of one, two and four times the candidates for 10,240 numbers
# (7, 11, 19 ms; a scan 49 ms), and by 0.86, 0.95 and 0.988 for 2,560. The best 10 need an ef of about 100.
HNSW_M = 16
HNSW_EF_CONSTRUCT = 100
EF_A_CANDIDATE = 4
MIN_EF = 128
# Where so little is left to score (after a filter, say) all of it is scored: about 10 ms, and exact.
FULL_SCAN_KB = 64 * 1024


@dataclass(frozen=True, slots=True)
class VectorField:
    """A named vector of `size` numbers compared by inner product: one a document, or `multi`: compared by MaxSim.

    Dense vectors come with unit norm, so their inner product is the cosine. Multi-vectors have no HNSW graph: to
    build one took 400 times the CPU of none, and ranking must be exact.
    """

    name: Output
    size: int
    multi: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """The best `limit` by the vectors `using`; `ef` is HNSW's breadth, None scores everything exactly."""

    using: Output
    limit: int
    ef: int | None


def fields_of(dims: Mapping[Output, int]) -> list[VectorField]:
    """The named vectors of a collection; ConfigurationError for vectors longer than Qdrant takes."""
    for name, dim in dims.items():
        if dim > MAX_VECTOR:
            raise ConfigurationError(
                f"{name} vectors have {dim:,} numbers, Qdrant takes at most {MAX_VECTOR:,}"
                + (": use an FDE with fewer repetitions, a smaller ksim or a final_dim." if name == "fde" else ".")
            )
    return [VectorField(name, dim, multi=name == "tokens") for name, dim in dims.items()]


def stages_of(plan: Plan, limit: int, candidates: int) -> list[Stage]:
    """What to ask in turn: each stage ranks what the one before it found."""
    found = limit if plan.rerank is None else candidates
    ef = None if plan.find == "tokens" else max(MIN_EF, EF_A_CANDIDATE * found)
    stages = [Stage(plan.find, found, ef)]
    if plan.rerank is not None:
        stages.append(Stage(plan.rerank, limit, None))
    return stages


def refusals(rows: Rows) -> dict[int, str]:
    """Position -> the reason, of documents that Qdrant does not take, or that have a field of our name."""
    refused = {
        i: f"its payload has a field {RESERVED!r}, in which vectorplug keeps the id: rename it"
        for i, row in enumerate(rows.rows)
        if RESERVED in row.payload
    }
    tokens = rows.encoded.tokens
    if tokens is None:
        return refused
    for i, length in enumerate(tokens.lengths.tolist()):
        if (floats := length * tokens.dim) >= MAX_MULTIVECTOR:
            refused[i] = (
                f"its {length:,} tokens of {tokens.dim} numbers are {floats:,} floats, Qdrant takes fewer than "
                f"{MAX_MULTIVECTOR:,} a document: split it, or pool its tokens"
            )
    return refused
