"""What a search costs as a collection grows: milliseconds a query in every mode, and how much of the best it finds.

    python -m benchmarks.search_growth [--only qdrant|weaviate] [--documents 5000 100000]

Synthetic documents of 64 tokens of 96 numbers, an FDE of 2,560 and their mean of 96. Each speaks of up to three of a
thousand topics, whose words lie around a centre; a question is 16 tokens of a document, blurred. The collection grows,
and a search is measured once the index is built. `native` scores every document: a few questions do.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
from qdrant_client.models import CollectionStatus
from rich.table import Table

from benchmarks.rounds import console
from benchmarks.servers import SERVERS, Server
from vectorplug import MultiVectors, Muvera, open_store
from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.evaluation import Times, overlap
from vectorplug.evaluation.exact import ExactTop
from vectorplug.search import VECTOR_MODES, Mode

DOCUMENTS = (5_000, 100_000)
TOKENS, QUESTION_TOKENS, DIM = 64, 16, 96
FDE = Muvera(dim=DIM, repetitions=10, ksim=4, dproj=16)
TOPICS, WORDS_A_TOPIC, TOPICS_A_DOCUMENT = 1_000, 200, 3
BLUR = 0.5
WINDOW = 1_000
QUESTIONS, NATIVE_QUESTIONS = 100, 10
LIMIT = 10
SEED = 6

Vectors = npt.NDArray[np.float32]


class Language:
    """Topics as unit vectors around a centre; texts are seeded by their window."""

    def __init__(self) -> None:
        rng = np.random.default_rng(SEED)
        centres = _random_units(rng, TOPICS, 1)
        self._words = _unit(centres + _random_units(rng, TOPICS, WORDS_A_TOPIC))

    def documents(self, window: int) -> Encoded:
        """WINDOW documents, always the same of a window."""
        tokens = self._spoken(window)
        return _encoded(tokens, FDE.encode_documents(tokens))

    def questions(self) -> Encoded:
        rng = np.random.default_rng([SEED, 0, 1])
        said = self._spoken(0).values.reshape(WINDOW, TOKENS, DIM)[:QUESTIONS, :QUESTION_TOKENS]
        tokens = _multivectors(_unit(said + BLUR * _random_units(rng, QUESTIONS, QUESTION_TOKENS)))
        return _encoded(tokens, FDE.encode_queries(tokens))

    def _spoken(self, window: int) -> MultiVectors:
        """Each token a word of one of its document's topics, in whose context it is a little other."""
        rng = np.random.default_rng([SEED, window])
        topics = rng.integers(0, TOPICS, (WINDOW, TOPICS_A_DOCUMENT))
        shares = rng.dirichlet([BLUR] * TOPICS_A_DOCUMENT, WINDOW).cumsum(axis=1)[:, None, :-1]
        of_token = np.take_along_axis(topics, (rng.random((WINDOW, TOKENS, 1)) > shares).sum(axis=2), axis=1)
        words = self._words[of_token, rng.integers(0, WORDS_A_TOPIC, of_token.shape)]
        return _multivectors(_unit(words + BLUR * _random_units(rng, WINDOW, TOKENS)))


def _random_units(rng: np.random.Generator, *shape: int) -> Vectors:
    return _unit(rng.standard_normal((*shape, DIM), np.float32))


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _multivectors(values: Vectors) -> MultiVectors:
    """Of as many tokens in every text: `values` [texts, tokens, DIM]."""
    texts, tokens, dim = values.shape
    return MultiVectors(values.reshape(-1, dim), np.arange(texts + 1) * tokens)


def _encoded(tokens: MultiVectors, fde: Vectors) -> Encoded:
    return Encoded(tokens, fde, _unit(np.stack([each.mean(axis=0) for each in tokens])))


def wait_until_indexed(server: Server, collection: str) -> None:
    """Qdrant builds its graph in the background, Weaviate while documents come in."""
    if server.url.startswith("qdrant"):
        with closing(server.connect()) as client:
            while client.get_collection(collection).status != CollectionStatus.GREEN:
                time.sleep(1)


def grown(database: str, sizes: Sequence[int]) -> dict[int, dict[Mode, tuple[Times, float]]]:
    """documents -> mode -> milliseconds a search, and the share of the exact best that it finds."""
    language, measured, there = Language(), {}, 0
    questions = language.questions()
    assert questions.tokens is not None
    exact = ExactTop(questions.tokens, LIMIT)
    with (
        SERVERS[database]() as server,
        open_store(server.url, collection="Growing", mode="fde+rerank", outputs=OUTPUTS) as store,
    ):
        for size in sizes:
            began = time.perf_counter()
            while there < size:
                encoded = language.documents(there // WINDOW)
                assert encoded.tokens is not None
                ids = list(range(there, there + WINDOW))
                store.add_encoded(encoded, ids=ids).raise_failed()
                exact.see([str(each) for each in ids], encoded.tokens)
                there += WINDOW
            wait_until_indexed(server, store.collection)
            console.print(f"{database}: {there:,} are there and indexed {time.perf_counter() - began:,.0f} s later")
            measured[size] = {}
            for mode in VECTOR_MODES:
                asked = NATIVE_QUESTIONS if mode == "native" else QUESTIONS
                store.search_encoded(questions[:1], limit=LIMIT, mode=mode)
                seconds, shares = [], []
                for i, best in enumerate(exact.rankings()[:asked]):
                    began = time.perf_counter()
                    hits = store.search_encoded(questions[i : i + 1], limit=LIMIT, mode=mode)
                    seconds.append(time.perf_counter() - began)
                    shares.append(overlap([str(hit.id) for hit in hits], best))
                measured[size][mode] = Times.of(seconds), float(np.mean(shares))
    return measured


def show(database: str, measured: dict[int, dict[Mode, tuple[Times, float]]]) -> None:
    table = Table(title=f"{database}: {TOKENS} x {DIM} tokens, FDE {FDE.size:,}", title_justify="left", box=None)
    table.add_column("mode", no_wrap=True)
    for size in measured:
        for column in (f"{size:,}: median ms", "p95 ms", f"of the exact {LIMIT}"):
            table.add_column(column, justify="right")
    table.add_column("times", justify="right")
    sizes = list(measured)
    for mode in VECTOR_MODES:
        cells = []
        for size in sizes:
            times, share = measured[size][mode]
            cells += [f"{times.p50:.1f}", f"{times.p95:.1f}", f"{share:.2f}"]
        growth = measured[sizes[-1]][mode][0].p50 / measured[sizes[0]][mode][0].p50
        table.add_row(mode, *cells, f"{growth:.1f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_growth", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SERVERS, help="one database (default both)")
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS, help="sizes to measure at, rising")
    asked = parser.parse_args()
    for database in [asked.only] if asked.only else SERVERS:
        show(database, grown(database, asked.documents))


if __name__ == "__main__":
    main()
