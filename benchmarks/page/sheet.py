"""What every mode costs at a million documents and more, reckoned from single pieces of work."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.page.methods.cost import CODES, TOKEN_DTYPES
from benchmarks.page.part import Part
from benchmarks.page.sections.cost import TOKENS

__all__ = ["DOCUMENTS", "Mode", "modes"]

DOCUMENTS = {"1 M": 1e6, "100 M": 1e8, "1 B": 1e9}


@dataclass(frozen=True)
class Mode:
    """A mode with what it keeps. `scan` are milliseconds a document of the whole collection, `fixed` a query.

    `index` are milliseconds to index a document; None where encoding was not measured.
    """

    name: str
    found_by: str
    ranked_by: str
    bytes: float
    scan: float
    fixed: float
    index: float | None

    def query(self, documents: float) -> float:
        """Milliseconds, nothing skipped: every document is scored."""
        return self.fixed + documents * self.scan


def modes(cost: Part, encode: Part | None) -> Iterator[Mode]:
    """Every mode in every dtype; nothing where the costs were not measured."""
    costs = cost.costs
    if not costs:
        return
    made = encode.costs if encode is not None else {}
    encoding = made["document"] * TOKENS / made["tokens"] if made else None
    asking = made.get("query", 0.0)

    def plus(more: float) -> float | None:
        return None if encoding is None else encoding + more

    for dtype in TOKEN_DTYPES:
        size = costs[f"tokens {dtype}"]
        yield Mode("native", f"tokens {dtype}", "", size, costs[f"exact {dtype}"], asking, plus(0))
    for name, vector in (("fde", "FDE of 10,240"), ("lemur", "Lemur 512"), ("dense", "dense 384")):
        folding, folded = costs.get(f"document {name}", 0.0), costs.get(f"query {name}", 0.0)
        mode = "dense" if name == "dense" else "fde"
        for code in CODES if name != "dense" else CODES[:1]:
            scan, size = costs[f"scan {name} {code}"], costs[f"{name} {code}"]
            found = f"{vector} {code}"
            yield Mode(mode, found, "", size, scan, asking + folded, plus(folding))
            for dtype in TOKEN_DTYPES:
                whole = size + costs[f"tokens {dtype}"]
                fixed = asking + folded + costs[f"rerank {dtype}"]
                yield Mode(f"{mode}+rerank", found, f"tokens {dtype}", whole, scan, fixed, plus(folding))
