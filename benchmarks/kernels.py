"""MaxSim and FDE beside the peers that install from the package index: `python -m benchmarks.kernels`."""

import os
from collections.abc import Callable
from functools import partial

import maxsim_cpu
import numpy as np
from fastembed.postprocess import Muvera as FastembedMuvera

from benchmarks.rounds import console, in_turns, print_ratios
from vectorplug import MultiVectors, Muvera, maxsim
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.maxsim.kernels import KERNELS, Path, StoredDtype

# Set OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, RAYON_NUM_THREADS and NUMBA_NUM_THREADS alike, as `make bench` does.
THREADS = os.environ.get("NUMBA_NUM_THREADS", str(os.cpu_count()))


def unit_tokens(rng: np.random.Generator, tokens: int, dim: int) -> np.ndarray:
    """Float32 [tokens, dim] of unit norm."""
    values = rng.standard_normal((tokens, dim), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def bench_maxsim() -> None:
    """One query of 32 tokens against 1,000 ragged documents, and 100 of them picked by id as a rerank does."""
    rng = np.random.default_rng(0)
    documents = [unit_tokens(rng, int(n), 128) for n in rng.integers(20, 301, 1000)]
    query = unit_tokens(rng, 32, 128)
    store = MultiVectors.from_list(documents)
    methods = {
        "vectorplug": lambda: maxsim(query, store),
        "maxsim-cpu": lambda: maxsim_cpu.maxsim_scores_variable(query, documents),
        "numpy, a document at a time": lambda: [(query @ d.T).max(axis=1).sum() for d in documents],
        "sgemm alone (no maximum)": lambda: query @ store.values.T,
    }
    print_ratios(
        f"MaxSim float32, 32x128 against 1,000 documents of 20-300 tokens, {THREADS} threads",
        in_turns(methods, 15),
        1000,
        "documents",
    )
    candidates = rng.permutation(1000)[:100]
    picked = [documents[i] for i in candidates]
    methods = {
        "vectorplug, by id": lambda: maxsim(query, store, candidates=candidates),
        "maxsim-cpu, list at hand": lambda: maxsim_cpu.maxsim_scores_variable(query, picked),
    }
    print_ratios("MaxSim of 100 candidates", in_turns(methods, 31), 100, "documents")


def bench_dtypes() -> None:
    """Each dtype by each kernel that it has, one query and 32 at once, beside float32 and maxsim-cpu's float32."""
    rng = np.random.default_rng(0)
    documents = [unit_tokens(rng, int(n), 128) for n in rng.integers(20, 301, 1000)]
    queries = MultiVectors.from_list([unit_tokens(rng, 32, 128) for _ in range(32)])
    floats = MultiVectors.from_list(documents)
    stores = {dtype: floats.astype(dtype) for dtype in ("float32", "float16", "bfloat16", "int8", "int4")}
    newest = [path for path in supported_paths() if path != "plain"] or ["plain"]
    kernels = [(dtype, path) for dtype in stores for path in newest if (path, dtype) in KERNELS]

    def method(dtype: StoredDtype, path: Path, asked: np.ndarray | MultiVectors) -> Callable[[], object]:
        def score() -> object:
            os.environ["VECTORPLUG_MAXSIM"] = path
            return maxsim(asked, stores[dtype])

        return score

    def peer(each: list[np.ndarray]) -> object:
        return [maxsim_cpu.maxsim_scores_variable(query, documents) for query in each]

    for title, asked, rounds in (("one query", queries[0], 31), ("32 queries at once", queries, 5)):
        methods = {f"{dtype}, {path}": method(dtype, path, asked) for dtype, path in kernels}
        each = [asked] if isinstance(asked, np.ndarray) else list(asked)
        methods["maxsim-cpu, float32"] = partial(peer, each)
        print_ratios(
            f"MaxSim by dtype, {title}, {THREADS} threads", in_turns(methods, rounds), 1000 * len(each), "documents"
        )
    os.environ.pop("VECTORPLUG_MAXSIM", None)


def bench_fde() -> None:
    """Documents of 128 tokens and queries of 32, R20 k5 dp16: 10,240 numbers a vector."""
    rng = np.random.default_rng(0)
    documents = [unit_tokens(rng, 128, 128) for _ in range(64)]
    queries = [unit_tokens(rng, 32, 128) for _ in range(64)]
    peer = FastembedMuvera(dim=128, k_sim=5, dim_proj=16, r_reps=20, random_seed=42)
    ours = Muvera(dim=128)
    held, asked = MultiVectors.from_list(documents), MultiVectors.from_list(queries)
    for title, methods in (
        (
            "FDE of documents 128x128",
            {
                "vectorplug": lambda: ours.encode_documents(held),
                "fastembed": lambda: [peer.process_document(d) for d in documents],
            },
        ),
        (
            "FDE of queries 32x128",
            {
                "vectorplug": lambda: ours.encode_queries(asked),
                "fastembed": lambda: [peer.process_query(q) for q in queries],
            },
        ),
    ):
        print_ratios(f"{title}, R20 k5 dp16, {THREADS} threads", in_turns(methods, 7), 64, "vectors")


if __name__ == "__main__":
    bench_maxsim()
    bench_dtypes()
    bench_fde()
    console.print("Ratios are of medians taken in turns in this one run; rates are this machine's, now.")
