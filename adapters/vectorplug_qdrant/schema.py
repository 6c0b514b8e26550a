"""How vectors lie in Qdrant and how a plan searches them; the same for the engine in process and for a server."""

from dataclasses import dataclass
from typing import Literal

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.fingerprint import CollectionInfo, StoredDtypes
from vectorplug.search.hits import Rows
from vectorplug.search.modes import Plan
from vectorplug_qdrant.payload import RESERVED

__all__ = [
    "FULL_SCAN_KB",
    "HNSW_EF_CONSTRUCT",
    "HNSW_M",
    "OVERSAMPLING",
    "WORDS",
    "WORDS_MODEL",
    "Stage",
    "VectorField",
    "check_dtypes",
    "fields_of",
    "refusals",
    "stages_of",
]

# The sparse vector of a text's words, and the name under which a server itself makes it, with Qdrant's own defaults:
# English endings and stop words, k 1.2, b 0.75, an average of 256 words. The engine in process has the same.
WORDS: Literal["words"] = "words"
WORDS_MODEL = "qdrant/bm25"

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
# Candidates by quantized FDEs a candidate that is asked for; the whole FDEs choose among them.
OVERSAMPLING = 2.0
# Where so little is left to score (after a filter, say) all of it is scored: about 10 ms, and exact.
FULL_SCAN_KB = 64 * 1024


@dataclass(frozen=True, slots=True)
class VectorField:
    """A named vector of `size` numbers compared by inner product: one a document, or `multi`: compared by MaxSim.

    `output` is what is in it. Dense vectors come with unit norm, so their inner product is the cosine. Multi-vectors
    have no HNSW graph: to build one took 400 times the CPU of none, and ranking must be exact.
    """

    name: str
    output: Output
    size: int

    @property
    def multi(self) -> bool:
        """Whether it holds all tokens of a document."""
        return self.output == "tokens"


@dataclass(frozen=True, slots=True)
class Stage:
    """The best `limit` by what is `using`: named vectors, or the fusion of the stages before it by their ranks.

    `ef` is HNSW's breadth, None scores everything exactly.
    """

    using: Output | Literal["words", "fusion"]
    limit: int
    ef: int | None = None


def fields_of(info: CollectionInfo) -> list[VectorField]:
    """The named vectors of a collection, those of a refit among them; ConfigurationError for longer ones than Qdrant
    takes.
    """
    fields = [VectorField(info.vector_names.get(output, output), output, dim) for output, dim in info.dims.items()]
    if info.refit is not None:
        fields.append(VectorField(info.refit.vector, "fde", info.refit.size))
    for field in fields:
        if field.size > MAX_VECTOR:
            fix = (
                ": use an FDE with fewer repetitions, a smaller ksim or a final_dim." if field.output == "fde" else "."
            )
            raise ConfigurationError(
                f"{field.output} vectors have {field.size:,} numbers, Qdrant takes at most {MAX_VECTOR:,}{fix}"
            )
    return fields


def check_dtypes(dtypes: StoredDtypes) -> None:
    """Raise ConfigurationError for numbers in which Qdrant does not keep such vectors."""
    if dtypes.tokens == "int8":
        # Its codes come on top of the whole tokens, and a ranking by them is no exact MaxSim of what is stored.
        raise ConfigurationError(
            "tokens.dtype is 'int8', and Qdrant keeps tokens in float32 or float16: use one of these. (Its uint8 holds "
            "whole numbers from 0 to 255, its int8 is kept beside the whole tokens.)"
        )


def stages_of(plan: Plan, limit: int, candidates: int) -> list[list[Stage]]:
    """What to ask in turn, the last of it one stage: each ranks what those before it found, together."""
    found = candidates if plan.rerank is not None or plan.words else limit
    ef = None if plan.find == "tokens" else max(MIN_EF, EF_A_CANDIDATE * found)
    steps = [[Stage(plan.find, found, ef)]]
    if plan.words:
        steps[0].append(Stage(WORDS, found))
        steps.append([Stage("fusion", limit if plan.rerank is None else candidates)])
    if plan.rerank is not None:
        steps.append([Stage(plan.rerank, limit)])
    return steps


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
