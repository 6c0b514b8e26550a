"""What `vectorplug tune` predicts, beside an embedded index made with the config that it recommends.

    vectorplug tune FOLDER --queries FOLDER/queries.train.jsonl --qrels FOLDER/qrels.train.tsv --json > tuned.json
    python -m benchmarks.tuned FOLDER tuned.json

The queries of FOLDER judge, which the tuning has not seen. Recall is the share of exact MaxSim's ten best, of all
tokens as the model gives them; bytes are counted in the vectors that the engine gives back; milliseconds are those of a
search with the query encoded already.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from qdrant_edge import EdgeShard, ScrollRequest
from rich.table import Table

from benchmarks.rounds import console
from vectorplug.evaluation import encode_workload, read_collection
from vectorplug.evaluation.tuning.storage import QDRANT
from vectorplug.search import open_store
from vectorplug.search.config import IndexConfig

SAMPLE = 256
NAME = "tuned"


def main(folder: str, answer: str) -> None:
    told = json.loads(Path(answer).read_text("utf-8"))["recommendation"]
    config = IndexConfig.of(told["config"])
    collection = read_collection(folder)
    whole = IndexConfig(model=config.model).vectorizer()
    workload = encode_workload(collection, whole, cache=user_cache_path("vectorplug") / "encoded")
    wanted = workload.exact.positions[:, :10]
    places = {document.id: i for i, document in enumerate(collection.documents)}
    with tempfile.TemporaryDirectory() as place:
        with open_store(f"edge:{place}", collection=NAME, config=config) as store:
            texts = [document.text for document in collection.documents]
            store.fit(texts)
            store.add(texts, ids=[document.id for document in collection.documents]).raise_failed()
            queries = store.vectorizer.encode_query(
                list(collection.queries.values()), outputs=("tokens", "fde" if "fde" in config.mode else "dense")
            )
            found, seconds = [], []
            for i in range(len(queries)):
                began = time.perf_counter()
                hits = store.search_encoded(queries[i : i + 1], limit=10, candidates=config.candidates)
                seconds.append(time.perf_counter() - began)
                found.append({places[str(hit.id)] for hit in hits})
        size = _bytes(Path(place), config)
    recall = statistics.fmean(len(best & {*row.tolist()}) / len(row) for best, row in zip(found, wanted, strict=True))
    table = Table("", "predicted", "real", title=f"{collection.name}: {told['label']}", title_justify="left", box=None)
    predicted = told["predicted"]
    table.add_row("recall@10", f"{predicted['recall@10']:.3f}", f"{recall:.3f}")
    table.add_row("bytes a document", f"{predicted['bytes_per_document']:,.0f}", f"{size:,.0f}")
    table.add_row("ms a query, median", f"{predicted['ms_per_query']:.2f}", f"{1000 * statistics.median(seconds):.2f}")
    console.print(table)


def _bytes(place: Path, config: IndexConfig) -> float:
    """Of a document's vectors, mean of a sample: the numbers that the engine gives back, at the config's dtypes."""
    engine = EdgeShard.load(str(place / NAME / "shard"))
    points, _ = engine.scroll(ScrollRequest(limit=SAMPLE, with_vector=True))
    sizes = []
    for point in points:
        numbers = {name: np.asarray(vector, np.float32) for name, vector in point.vector.items()}
        tokens = numbers.pop("tokens")
        (single,) = numbers.values()
        sizes.append(
            QDRANT.token_bytes(tokens.shape[1], len(tokens), config.tokens.dtype)
            + QDRANT.fde_bytes(single.size, config.store.fde_dtype)
        )
    engine.close()
    return statistics.fmean(sizes)


if __name__ == "__main__":
    main(*sys.argv[1:])
