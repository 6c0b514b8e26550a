"""MUVERA beside Lemur in real engines, at 5,000 and at 100,000 documents: what is found, bytes, milliseconds, minutes.

    python -m benchmarks.compressor_growth SCIFACT CRANFIELD [--cache DIR] [--documents 5000 100000]
        [--engines edge qdrant weaviate]

Up to 5,183 documents are SciFact's texts as they are. More are pieces: the tokens of all texts of both collections, as
the model read them in their text, cut into runs of as many tokens as make so many pieces (14 for 100,000). Questions
are SciFact's. Tokens are MiniLM's, cut to 128 numbers. Both FDEs are in the engine at once and asked in turns for 100
candidates. 10R@100 is the share of exact MaxSim's ten best among these; "of its scan" how many of the 100 by the inner
product of the whole FDEs the graph finds, by the breadth of its search; a Lemur of 100,000 documents is below what the
embedded engine makes a graph of. From 10,000 documents on both are kept in 8 bits a number, beside float32 on the disk.
Up to there a MUVERA with the mean document taken off, as a fit does it, is compared as well. Weaviate, where it is
named, chooses the breadth itself and has the fewest documents only: it takes longest to index them.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from qdrant_client.models import CollectionStatus
from rich.table import Table
from vectorplug_qdrant import schema

from benchmarks.compressors import MODEL, Texts, Vectors, stand_ins
from benchmarks.rounds import console
from benchmarks.servers import SERVERS, Server
from vectorplug import open_store
from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded
from vectorplug.evaluation import read_collection
from vectorplug.evaluation.exact import ExactTop
from vectorplug.evaluation.rankings import Rankings
from vectorplug.lemur import Lemur
from vectorplug.multivectors import MultiVectors
from vectorplug.search import IndexConfig, Store
from vectorplug.vectorizer import default_fde

DOCUMENTS = (5_000, 100_000)
DIM, SIZE = 128, 512
QUESTIONS, LIMIT, BEST = 200, 100, 10
BREADTHS: Mapping[str, Sequence[int | None]] = {"edge": (128, 256), "qdrant": (128, 256), "weaviate": (None,)}
WHOLE = 10_000
WINDOW = 1_000
SAMPLE = 2_048
SEED = 42


@dataclass(frozen=True)
class Centred:
    """A compressor whose mean document is taken off: no ranking changes, but what a graph makes of it may."""

    of: Compressor
    mean: Vectors

    def encode_documents(self, tokens: MultiVectors) -> Vectors:
        return self.of.encode_documents(tokens) - self.mean

    def encode_queries(self, tokens: MultiVectors) -> Vectors:
        return self.of.encode_queries(tokens)


@dataclass(frozen=True)
class Data:
    """Documents, questions, what stands for questions in a fit, and the places of exact MaxSim's best."""

    documents: MultiVectors
    questions: MultiVectors
    asked: MultiVectors
    best: Rankings

    def windows(self) -> Iterator[tuple[int, MultiVectors]]:
        return ((start, self.documents[start : start + WINDOW]) for start in range(0, len(self.documents), WINDOW))


@dataclass
class Found:
    """Of one FDE in one engine: seconds to write and index it, and by breadth its candidates and seconds a search."""

    seconds: float
    candidates: dict[int | None, list[list[int]]]
    searches: dict[int | None, list[float]]


def data_of(texts: Texts, folders: Sequence[Path], count: int) -> Data:
    collections = [read_collection(folder) for folder in folders]
    tokens = [texts.encoded("document", [each.text for each in one.documents]) for one in collections]
    documents = tokens[0][:count] if count <= len(tokens[0]) else pieces(MultiVectors.concatenate(tokens), count)
    questions = texts.encoded("query", list(collections[0].queries.values())[:QUESTIONS])
    exact = ExactTop(questions, BEST)
    data = Data(documents, questions, stand_ins(texts, collections[0]), exact.top())
    for start, window in data.windows():
        exact.see([str(start + i) for i in range(len(window))], window)
    return Data(documents, questions, data.asked, exact.top())


def pieces(tokens: MultiVectors, count: int) -> MultiVectors:
    """The first `count` runs of equally many tokens; none goes over the end of its document."""
    run = len(tokens.values) // count
    cuts = [np.arange(begin, end, run) for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]
    offsets = np.concatenate([*cuts, tokens.offsets[-1:]])[: count + 1]
    return MultiVectors(tokens.values[: offsets[-1]], offsets)


def compressors_of(data: Data) -> dict[str, Any]:
    """By name; how far the mean document is from nought, which is nothing for a fit."""
    count = len(data.documents)
    sample = data.documents.take(np.sort(np.random.default_rng(SEED).permutation(count)[:SAMPLE]))
    muvera = default_fde(DIM)
    began = time.perf_counter()
    lemur = Lemur(dim=DIM, size=SIZE).fit(data.documents, data.asked)
    console.print(f"Lemur was fitted in {time.perf_counter() - began:,.0f} s")
    made = {"MUVERA": muvera, "Lemur": lemur}
    if count <= WHOLE:
        made["centred"] = Centred(muvera, muvera.encode_documents(sample).mean(axis=0))
    for name, compressor in made.items():
        vectors = compressor.encode_documents(sample)
        share = np.linalg.norm(vectors.mean(axis=0)) / np.linalg.norm(vectors, axis=1).mean()
        console.print(f"{name}: the mean document has {share:.3f} of a document's norm")
    return made


def scanned(data: Data, compressor: Any) -> Vectors:
    """Places of the LIMIT best by the whole vectors, for every question."""
    questions = compressor.encode_queries(data.questions)
    places = np.empty((len(questions), 0), np.int64)
    scores = np.empty((len(questions), 0), np.float32)
    for start, window in data.windows():
        here = questions @ compressor.encode_documents(window).T
        scores = np.hstack([scores, here])
        places = np.hstack([places, np.broadcast_to(np.arange(start, start + len(window)), here.shape)])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :LIMIT]
        scores, places = (np.take_along_axis(each, best, axis=1) for each in (scores, places))
    return places


@contextmanager
def place(engine: str) -> Iterator[tuple[str, Server | None]]:
    """Where an empty store is, and its server."""
    if engine == "edge":
        with tempfile.TemporaryDirectory() as folder:
            yield f"edge:{folder}", None
    else:
        with SERVERS[engine]() as server:
            yield server.url, server


def measured(engine: str, data: Data, compressors: Mapping[str, Any]) -> dict[str, Found]:
    dtype = "float32" if len(data.documents) <= WHOLE else "int8"
    config = IndexConfig.of({"store": {"fde_dtype": dtype}})
    found = {name: Found(0.0, {}, {}) for name in compressors}
    with place(engine) as (url, server):
        stores: dict[str, Store[Any]] = {}
        try:
            for number, (name, compressor) in enumerate(compressors.items()):
                collection = f"Growing{number}"
                store = open_store(url, collection=collection, mode="fde", outputs=("fde",), config=config)
                stores[name] = store
                began = time.perf_counter()
                for start, window in data.windows():
                    encoded = Encoded(fde=compressor.encode_documents(window))
                    store.add_encoded(encoded, ids=range(start, start + len(window))).raise_failed()
                wait_until_indexed(server, collection)
                found[name].seconds = time.perf_counter() - began
                console.print(f"{engine}: {name} is in after {found[name].seconds:,.0f} s")
            questions = {name: Encoded(fde=each.encode_queries(data.questions)) for name, each in compressors.items()}
            for breadth in BREADTHS[engine]:
                with searching(breadth):
                    search(stores, questions, found, breadth)
        finally:
            for store in stores.values():
                store.close()
    return found


def wait_until_indexed(server: Server | None, collection: str) -> None:
    """A Qdrant server builds its graph in the background, the other two while documents come in."""
    if server is not None and server.url.startswith("qdrant"):
        with closing(server.connect()) as client:
            while client.get_collection(collection).status != CollectionStatus.GREEN:
                time.sleep(0.5)


@contextmanager
def searching(breadth: int | None) -> Iterator[None]:
    """Searches of that breadth; None leaves it to the engine."""
    if breadth is None:
        yield
    else:
        with mock.patch.multiple(schema, MIN_EF=breadth, EF_A_CANDIDATE=0):
            yield


def search(
    stores: Mapping[str, Store[Any]],
    questions: Mapping[str, Encoded],
    found: Mapping[str, Found],
    breadth: int | None,
) -> None:
    for i in range(-1, len(next(iter(questions.values())))):
        for name, store in stores.items():
            began = time.perf_counter()
            hits = store.search_encoded(questions[name][max(i, 0) : max(i, 0) + 1], limit=LIMIT)
            if i >= 0:  # the first one warms up
                found[name].searches.setdefault(breadth, []).append(time.perf_counter() - began)
                found[name].candidates.setdefault(breadth, []).append([int(hit.id) for hit in hits])


def share(found: Sequence[Sequence[int]], wanted: Vectors) -> float:
    """How many of what is wanted are found, on average."""
    return float(
        np.mean([len(set(row) & set(best)) / len(best) for row, best in zip(found, wanted.tolist(), strict=True)])
    )


def show(engine: str, data: Data, compressors: Mapping[str, Any], scans: Mapping[str, Vectors]) -> None:
    found = measured(engine, data, compressors)
    codes = len(data.documents) > WHOLE
    lengths = data.documents.lengths
    title = f"{engine}: {len(lengths):,} documents, {lengths.mean():.0f} tokens each"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for column in ("FDE", "bytes", "index s", "ef", "10R@100", "scan's", "of scan", "ms", "faster"):
        table.add_column(column, justify="left" if column == "FDE" else "right", no_wrap=True)
    for name, one in found.items():
        numbers = compressors[name].encode_queries(data.questions[:1]).shape[1]
        for breadth, candidates in one.candidates.items():
            milliseconds = 1000 * statistics.median(one.searches[breadth])
            theirs = 1000 * statistics.median(found["MUVERA"].searches[breadth])
            table.add_row(
                f"{name} {numbers:,}",
                f"{numbers * (5 if codes else 4):,}",
                f"{one.seconds:,.0f}",
                "own" if breadth is None else str(breadth),
                f"{share(candidates, data.best.positions):.3f}",
                f"{share(scans[name].tolist(), data.best.positions):.3f}",
                f"{share(candidates, scans[name]):.3f}",
                f"{milliseconds:.1f}",
                f"{theirs / milliseconds:.1f}",
            )
    console.print(table, "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compressor_growth", description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs=2, metavar="FOLDER", help="SciFact and Cranfield in BEIR's layout")
    parser.add_argument("--cache", type=Path, help="a folder for the encoded texts")
    parser.add_argument("--engines", nargs="+", choices=BREADTHS, default=("edge", "qdrant"), help="default these two")
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS, help="sizes to measure at, rising")
    given = parser.parse_args()
    texts = Texts(MODEL, DIM, given.cache)
    began = time.perf_counter()
    for count in given.documents:
        data = data_of(texts, given.folders, count)
        compressors = compressors_of(data)
        scans = {name: scanned(data, each) for name, each in compressors.items()}
        for engine in given.engines:
            if engine != "weaviate" or count == min(given.documents):
                show(engine, data, compressors, scans)
        console.print(f"{time.perf_counter() - began:,.0f} s until here")


if __name__ == "__main__":
    main()
