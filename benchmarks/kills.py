"""Kill -9 of whoever writes, and of the server it writes to: is afterwards there what an undisturbed run leaves?

    python -m benchmarks.kills [--only qdrant|weaviate] [--writers 50] [--servers 10]

A process that adds documents is killed at a seeded moment between its start and its end, and the same call is made
again; then a server is killed and started again while documents go in. Each time the number of documents, their ids,
payloads and vectors (bit by bit), and the score that exact search gives each of them, have to be those of an
undisturbed run. A run that had ended before its moment came is no kill, and another moment is drawn. Exit code 1 on
any difference.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stamina.instrumentation import set_on_retry_hooks

from benchmarks.killed import BEGUN, DOCUMENTS, opened, texts
from benchmarks.rounds import console
from benchmarks.servers import SERVERS, Server

SEED = 20
QUESTION = "wind and wave"

Document = tuple[Any, dict[str, npt.NDArray[np.float32]]]


class Contents(NamedTuple):
    """What a collection holds: `documents` by the database's own ids; `scores` of one exact search, by the caller's."""

    count: int
    documents: dict[str, Document]
    scores: dict[Any, float]


def in_qdrant(client: Any, collection: str) -> Iterator[tuple[str, Document]]:
    after = None
    while True:
        points, after = client.scroll(collection, limit=500, offset=after, with_vectors=True)
        for point in points:
            yield str(point.id), (point.payload, _arrays(point.vector))
        if after is None:
            break


def in_weaviate(client: Any, collection: str) -> Iterator[tuple[str, Document]]:
    for each in client.collections.use(collection).iterator(include_vector=True):
        yield str(each.uuid), (dict(each.properties), _arrays(each.vector))


def _arrays(vectors: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    return {name: np.array(vector, np.float32) for name, vector in vectors.items()}


READERS: Mapping[str, Callable[[Any, str], Iterator[tuple[str, Document]]]] = {
    "qdrant": in_qdrant,
    "weaviate": in_weaviate,
}
REMOVERS: Mapping[str, Callable[[Any, str], object]] = {
    "qdrant": lambda client, collection: client.delete_collection(collection),
    "weaviate": lambda client, collection: client.collections.delete(collection),
}


class Outcome(NamedTuple):
    """What happened and what differs afterwards; `late` where the run had ended before it was to be disturbed."""

    late: bool
    said: str
    differences: list[str]


class Trial:
    """One database under kills; every trial has a collection of its own, gone afterwards."""

    def __init__(self, database: str, server: Server) -> None:
        self._database, self._server = database, server
        self._rng = np.random.default_rng(SEED)
        self._collections = 0
        self._alone()  # compiles and warms up
        self._seconds, self._undisturbed = self._alone()
        assert self._undisturbed.count == len(self._undisturbed.documents) == DOCUMENTS
        console.print(f"{database}: undisturbed, {DOCUMENTS:,} documents go in within {self._seconds:.1f} s")

    def writer_is_killed(self) -> Outcome:
        """The same `add` completes, in another process, what one that is killed has begun."""
        collection, moment = self._new(), self._rng.uniform(0, self._seconds)
        child = self._child(collection)
        time.sleep(moment)
        child.kill()
        child.communicate()
        with opened(self._server.url, collection) as store:
            there = store.count()
            report = store.add(texts(), ids=range(DOCUMENTS))
        differences = self._differences(collection)
        if report.added + report.skipped != DOCUMENTS or report.failed:
            differences.append(f"the second add says {report}")
        said = (
            f"writer killed after {moment:.2f} s: {there:,} were in, the same add skipped {report.skipped:,} and wrote "
            f"{report.added:,}"
        )
        return Outcome(child.returncode == 0, said, differences)

    def server_is_killed(self) -> Outcome:
        """The server is killed and at once started again, and one `add` has to live through that."""
        collection, moment = self._new(), self._rng.uniform(0, self._seconds)
        killer = threading.Timer(moment, self._server.restart)
        began = time.perf_counter()
        killer.start()
        with opened(self._server.url, collection) as store:
            report = store.add(texts(), ids=range(DOCUMENTS))
        seconds = time.perf_counter() - began
        killer.join()
        self._server.wait()
        differences = self._differences(collection)
        if report.added != DOCUMENTS or report.skipped or report.failed:
            differences.append(f"the add says {report}")
        said = f"server killed after {moment:.2f} s: the add ended after {seconds:.1f} s"
        return Outcome(seconds < moment, said, differences)

    def _alone(self) -> tuple[float, Contents]:
        collection = self._new()
        child = self._child(collection)
        began = time.perf_counter()
        child.communicate()
        seconds = time.perf_counter() - began
        assert child.returncode == 0, f"an undisturbed run ended with {child.returncode}"
        return seconds, self._contents(collection)

    def _child(self, collection: str) -> subprocess.Popen[str]:
        """A process that is about to add, everything imported."""
        command = [sys.executable, "-m", "benchmarks.killed", self._server.url, collection]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline().strip() == BEGUN
        return child

    def _new(self) -> str:
        self._collections += 1
        return f"Trial{self._collections}"

    def _contents(self, collection: str) -> Contents:
        with closing(self._server.connect()) as client:
            documents = dict(READERS[self._database](client, collection))
        with opened(self._server.url, collection) as store:
            hits = store.search(QUESTION, limit=DOCUMENTS, mode="native")
            return Contents(store.count(), documents, {hit.id: hit.score for hit in hits})

    def _differences(self, collection: str) -> list[str]:
        contents, expected = self._contents(collection), self._undisturbed
        with closing(self._server.connect()) as client:
            REMOVERS[self._database](client, collection)
        said = []
        if contents.count != expected.count:
            said.append(f"count {contents.count}, expected {expected.count}")
        if missing := expected.documents.keys() - contents.documents.keys():
            said.append(f"{len(missing)} ids missing")
        if more := contents.documents.keys() - expected.documents.keys():
            said.append(f"{len(more)} ids too many")
        both = contents.documents.keys() & expected.documents.keys()
        if changed := [key for key in both if not _same(contents.documents[key], expected.documents[key])]:
            said.append(f"{len(changed)} documents with another payload or vector")
        if contents.scores.keys() != expected.scores.keys() or not np.allclose(
            [contents.scores[each] for each in expected.scores], list(expected.scores.values()), rtol=1e-5
        ):
            said.append("an exact search gives other scores")
        return said


def _same(one: Document, other: Document) -> bool:
    (payload, vectors), (expected_payload, expected) = one, other
    return (
        payload == expected_payload
        and vectors.keys() == expected.keys()
        and all(np.array_equal(vectors[name], expected[name]) for name in expected)
    )


def repeated(trial: Callable[[], Outcome], kills: int, database: str) -> tuple[int, int]:
    """So many kills, a line each; how many left a difference, and how many runs had ended before their kill."""
    done = broken = late = 0
    while done < kills:
        outcome = trial()
        broken += bool(outcome.differences)
        late += outcome.late
        done += not outcome.late
        said = ", ".join(outcome.differences) or "equal"
        if outcome.differences or not outcome.late:
            console.print(f"{database} {done:>2}: {outcome.said}; {said}", soft_wrap=True)
    return broken, late


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SERVERS, help="one database (default both)")
    parser.add_argument("--writers", type=int, default=50, help="kills of the writing process (default 50)")
    parser.add_argument("--servers", type=int, default=10, help="kills of the server (default 10)")
    asked = parser.parse_args()
    summary, differing = [], 0
    set_on_retry_hooks(())
    for database in [asked.only] if asked.only else SERVERS:
        with SERVERS[database]() as server:
            trial = Trial(database, server)
            for kind, what, kills in (
                ("writer", trial.writer_is_killed, asked.writers),
                ("server", trial.server_is_killed, asked.servers),
            ):
                broken, late = repeated(what, kills, database)
                differing += broken
                summary.append(f"{database}: {kills} kills of the {kind}, {broken} left a difference ({late} too late)")
    console.print("", *summary, sep="\n", soft_wrap=True)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
