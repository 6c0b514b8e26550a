"""`tune`: encode once, search the parameters in stages, predict, and recommend one config.

The whole product of what can be set has millions of members. The stages use what is independent of what:

1. Which FDE is best at each size does not depend on how its numbers are kept nor on the tokens that rank again: a
   coarse grid at float32 on part of the documents leaves some six settings (`MuveraFamily`); a Lemur is fitted once
   (`LemurFamily`).
2. Those are made with their own matrices for all documents, kept in each dtype, and compared with the dense vector.
3. The tokens' variants rank whatever was found, whoever found it: each is scored once, for all finders.
4. Every finder with every variant and every number of candidates is then a look-up.

Cutting documents or queries changes what the finder and the ranking see: it is tried with one finder, the one of the
middle.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from vectorplug.compressor import Compressor
from vectorplug.errors import InputError
from vectorplug.evaluation.tuning.cut_queries import LONGER, cut_queries
from vectorplug.evaluation.tuning.depths import WANTED
from vectorplug.evaluation.tuning.finders import Family, Finder, Found, dense_found, found_by
from vectorplug.evaluation.tuning.front import Budget
from vectorplug.evaluation.tuning.growth import Growth, growth_of, parts_of
from vectorplug.evaluation.tuning.kept_tokens import Scored, base_of, scored_tokens, settings_of
from vectorplug.evaluation.tuning.lemur_family import LemurFamily
from vectorplug.evaluation.tuning.muvera_family import MuveraFamily
from vectorplug.evaluation.tuning.pairs import CANDIDATES, Pair, pairs_of
from vectorplug.evaluation.tuning.recommending import Facts, recommend
from vectorplug.evaluation.tuning.results import Tuning
from vectorplug.evaluation.tuning.storage import Storage, storage_of
from vectorplug.evaluation.tuning.timing import Sizes, Speed, needs_graph, speed_of
from vectorplug.evaluation.workload import Workload
from vectorplug.search.config import FdeConfig
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["tune"]

# Cut documents are tried at these, where many are longer.
LENGTHS = (64, 128, 256)

Setting = tuple[FdeConfig, Compressor]


@dataclass(slots=True)
class _Measured:
    found: list[tuple[Found, Growth]] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: str | None = None


def tune(
    workload: Workload,
    vectorizer: TextVectorizer,
    budget: Budget,
    *,
    store_url: str = "edge:",
    documents_total: int | None = None,
    seed: int = 0,
    sizes: Sizes | None = None,
    show_progress_bar: bool | None = None,
) -> Tuning:
    """The config for such documents and queries that keeps `budget`, and all that no other beats.

    The recall is of exact MaxSim's ten best among the ten best of a two-stage search. `documents_total` is how many
    documents there will be (default: as many as there are here); `store_url` names the kind of database, by what it
    can keep. `sizes` is what is timed. Ctrl-C ends the measuring: what is known by then is the answer, marked as
    partial; before anything is known, and the second time, it ends at once.

    InputError for fewer than two documents, or a `documents_total` below those at hand. Memory: a matrix float32
    [queries, documents] for each token variant.
    """
    documents = len(workload.documents)
    total = documents if documents_total is None else documents_total
    if documents < 2:
        raise InputError(
            f"collection {workload.collection.name!r} has {documents} document: every setting finds it. Give some more."
        )
    if total < documents:
        raise InputError(f"documents_total is {total:,}, and {documents:,} documents are here already.")
    hidden = None if show_progress_bar is None else not show_progress_bar
    storage = storage_of(store_url)
    measured = _Measured(scored=[base_of(workload, storage)])
    stages = _Stages(workload, storage, total / documents, seed, hidden, measured)
    speed = stages.timing(vectorizer, total, sizes)
    try:
        shortlist = [*stages.shortlist(MuveraFamily(workload, seed), "Trying FDEs")]
        shortlist += stages.shortlist(LemurFamily(workload, vectorizer), "Fitting Lemur")
        stages.finders(shortlist)
        stages.tokens()
        stages.cut_documents(shortlist)
        stages.cut_queries(shortlist, vectorizer)
    except KeyboardInterrupt:
        if not measured.found:
            raise
    pairs = list(stages.pairs())
    facts = Facts(
        workload=workload,
        storage=storage,
        store_url=store_url,
        speed=speed,
        documents_total=total,
        growth={found.finder: growth for found, growth in measured.found},
        interrupted=measured.interrupted,
        seconds=measured.seconds,
    )
    return recommend(pairs, facts, budget, seed)


@dataclass(slots=True)
class _Stages:
    workload: Workload
    storage: Storage
    factor: float
    seed: int
    hidden: bool | None
    measured: _Measured

    def timing(self, vectorizer: TextVectorizer, total: int, sizes: Sizes | None) -> Speed:
        """Timed first, while nothing else is in memory, and so that a partial answer has milliseconds."""
        graph = needs_graph(total, 20_480)
        count = len((sizes or Sizes()).megabytes) + 1 + graph
        with self._stage("Timing searches", count, "size") as bar:
            return speed_of(self.workload, vectorizer, self.storage, graph=graph, sizes=sizes, progress=bar.update)

    def shortlist(self, family: Family, said: str) -> Sequence[Setting]:
        with self._stage(said, family.steps, "setting") as bar:
            return [(fde, family.compressor(fde)) for fde in family.shortlist(bar.update)]

    def finders(self, shortlist: Sequence[Setting]) -> None:
        depth = min(len(self.workload.documents), CANDIDATES[-1])
        parts = parts_of(self.workload.exact, len(self.workload.documents), self.seed)

        def growth(scores: npt.NDArray[np.float32]) -> Growth:
            return Growth(1.0, 1.0, 1.0) if self.factor == 1 else growth_of(scores, parts, self.seed)

        with self._stage("Measuring FDEs", len(shortlist) + 1, "FDE") as bar:
            if self.workload.documents.dense is not None:
                found, scores = dense_found(self.workload, depth)
                self.measured.found.append((found, growth(scores)))
            bar.update()
            for fde, compressor in shortlist:
                grown: Growth | None = None
                made = found_by(fde, self.workload, self.storage, self.storage.fde, depth, compressor=compressor)
                for found, scores in made:
                    grown = grown or growth(scores)
                    self.measured.found.append((found, grown))
                bar.update()

    def tokens(self) -> None:
        with self._stage("Measuring tokens", len(self.workload.documents), "document") as bar:
            self.measured.scored += scored_tokens(self.workload, settings_of(self.storage, ()), bar.update)

    def cut_documents(self, shortlist: Sequence[Setting]) -> None:
        assert self.workload.documents.tokens is not None
        lengths = self.workload.documents.tokens.lengths
        cuts = [length for length in LENGTHS if (lengths > length).mean() >= LONGER]
        if not cuts or not shortlist:
            return
        middle, compressor, grown = self._middle(shortlist)
        depth = min(len(lengths), CANDIDATES[-1])
        with self._stage("Measuring cut documents", len(cuts) * (len(lengths) + 1), "document") as bar:
            settings = [each for each in settings_of(self.storage, cuts) if each.document_length]
            floats = [each for each in settings if each.dtype != "int8"]
            self.measured.scored += scored_tokens(self.workload, floats, lambda done: bar.update(done * len(cuts)))
            for length in cuts:
                made = found_by(
                    middle,
                    self.workload,
                    self.storage,
                    self.storage.fde,
                    depth,
                    document_length=length,
                    compressor=compressor,
                )
                for found, _ in made:
                    self.measured.found.append((found, grown))
                bar.update()

    def cut_queries(self, shortlist: Sequence[Setting], vectorizer: TextVectorizer) -> None:
        if not shortlist:
            return
        middle, compressor, grown = self._middle(shortlist)
        documents = len(self.workload.documents)
        depth = min(documents, CANDIDATES[-1])
        whole = [each for each in settings_of(self.storage, ()) if each.pool_factor is None]
        with self._stage("Measuring cut queries", 0, "length") as bar:
            for cut in cut_queries(self.workload, vectorizer):
                settings = [replace(each, query_length=cut.length) for each in (self.measured.scored[0].kept, *whole)]
                scored = scored_tokens(cut.workload, settings, lambda _: None)
                self.measured.scored += [replace(each, share=cut.share) for each in scored]
                made = found_by(
                    middle,
                    cut.workload,
                    self.storage,
                    self.storage.fde,
                    depth,
                    query_length=cut.length,
                    compressor=compressor,
                )
                self.measured.found += [(found, grown) for found, _ in made]
                bar.update()

    def _middle(self, shortlist: Sequence[Setting]) -> tuple[FdeConfig, Compressor, Growth]:
        middle, compressor = shortlist[len(shortlist) // 2]
        (grown,) = (g for f, g in self.measured.found if f.finder == Finder(middle, compressor.size))
        return middle, compressor, grown

    def pairs(self) -> Iterator[Pair]:
        """All that fit each other."""
        documents = len(self.workload.documents)
        top = self.workload.exact.positions[:, :WANTED]
        wanted = np.zeros((len(top), documents), np.bool_)
        rows, columns = np.nonzero(top >= 0)
        wanted[rows, top[rows, columns]] = True
        for found, growth in self.measured.found:
            for scored in self.measured.scored:
                finder, kept = found.finder, scored.kept
                if (finder.document_length, finder.query_length) == (kept.document_length, kept.query_length):
                    yield from pairs_of(found, scored, wanted, growth, self.factor)

    @contextmanager
    def _stage(self, said: str, total: int, unit: str) -> Iterator[Any]:
        begin = time.perf_counter()
        # The next stage's bar takes the place of this one: what stays is the answer.
        with tqdm(total=total, desc=said, unit=unit, disable=self.hidden) as bar:
            try:
                yield bar
            except KeyboardInterrupt:
                self.measured.interrupted = said
                raise
        self.measured.seconds[said] = time.perf_counter() - begin
