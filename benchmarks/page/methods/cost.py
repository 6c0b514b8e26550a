"""What one piece of our work costs, each on enough of it that no cache holds it all."""

import numpy as np

from benchmarks.page.methods import tokens

__all__ = ["WORKS", "vectorplug"]

CALLS = 20
CANDIDATES = 100
TOKEN_DTYPES = ("float32", "float16", "bfloat16", "int8", "int4")
CODES = ("float32", "int8", "bit")
WORKS = (
    *(f"{what} {dtype}" for dtype in TOKEN_DTYPES for what in ("exact", "rerank")),
    *(f"{what} {name}" for name in ("fde", "lemur") for what in ("document", "query")),
    *(f"scan {name} {kind}" for name in ("fde", "lemur") for kind in CODES),
    "scan dense float32",
)
# Bytes of the vectors that are scored.
SCANNED = 200e6


def vectorplug(folder):
    """`facts` say how many documents each work goes over, and the bytes of one."""
    from vectorplug import MultiVectors, maxsim
    from vectorplug.codes import FdeCodes
    from vectorplug.lemur import Lemur
    from vectorplug.vectorizer import default_fde

    given = MultiVectors(tokens.values(folder), tokens.offsets(folder))
    query = tokens.queries(folder)[0]
    asked = MultiVectors.from_list([query])
    rng = np.random.default_rng(0)
    works, items, sizes = {}, {}, {}
    for dtype in TOKEN_DTYPES:
        held = given.astype(dtype)
        sizes[f"tokens {dtype}"] = held.nbytes / len(held)
        works[f"exact {dtype}"] = lambda held=held: maxsim(query, held)
        items[f"exact {dtype}"] = len(held)

        def rank(held=held):
            for _ in range(CALLS):
                maxsim(query, held, candidates=rng.integers(len(held), size=CANDIDATES))

        works[f"rerank {dtype}"], items[f"rerank {dtype}"] = rank, CALLS
    fitted = Lemur(dim=given.dim).fit(given)
    some = given[:200]
    for name, compressor in (("fde", default_fde(given.dim)), ("lemur", fitted)):
        works[f"document {name}"], items[f"document {name}"] = lambda c=compressor: c.encode_documents(some), len(some)
        works[f"query {name}"], items[f"query {name}"] = lambda c=compressor: c.encode_queries(asked), 1
        for kind in CODES:
            _scan(works, items, sizes, f"{name} {kind}", compressor.size, kind, FdeCodes)
    _scan(works, items, sizes, "dense float32", 384, "float32", FdeCodes)
    return works, {"items": items, "bytes": sizes}


def _scan(works, items, sizes, name, size, kind, codes):
    rng = np.random.default_rng(0)
    asked = rng.standard_normal(size, dtype=np.float32)
    vectors = rng.standard_normal((int(SCANNED / (4 * size)), size), dtype=np.float32)
    held = vectors if kind == "float32" else codes.of(vectors, kind)
    sizes[name] = held.nbytes / len(held)
    items[f"scan {name}"] = len(held)
    works[f"scan {name}"] = (lambda: held @ asked) if kind == "float32" else (lambda: held.scores(asked))
