"""Vectors for documents that a collection holds already, while others go on writing to it."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tqdm.auto import tqdm

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.search.hits import Id
from vectorplug.search.inflight import InFlight
from vectorplug.search.ingest import WINDOW_CHARACTERS, WINDOW_DOCUMENTS

__all__ = ["BackfillReport", "Unfilled", "estimate", "fill_all"]

# Encoded in a dry run to say how long all will take.
SAMPLE_DOCUMENTS = 64
# Whoever writes all the time leaves something to fill all the time; what the last round leaves is reported.
MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A document that lacks vectors: its key and its id, and its text; None where the field holds no str."""

    key: str
    id: Id
    text: str | None


@dataclass(slots=True)
class BackfillReport:
    """How a backfill went, or in a dry run is expected to go (`filled` is 0 then).

    `documents` lacked vectors when it began. `filled` is how many were written, those again that others changed
    meanwhile; `failed` are (id, reason) of those that cannot be. `remaining`, changed by others again and again, are
    for the next call.
    `nbytes` of vectors, in the vectorizer's dtype, took `minutes` to make and to write.
    """

    documents: int = 0
    filled: int = 0
    remaining: int = 0
    failed: list[tuple[Id, str]] = field(default_factory=list)
    nbytes: int = 0
    minutes: float = 0.0


Pages = Callable[[], Iterable[Sequence[Unfilled]]]
Encode = Callable[[Sequence[str]], Encoded]
_Work = tuple[Sequence[Unfilled], Encoded]


def fill_all(
    documents: int,
    pages: Pages,
    encode: Encode,
    fill: Callable[[Sequence[Unfilled], Encoded], None],
    *,
    at_once: int,
    show_progress_bar: bool | None,
) -> BackfillReport:
    """Read what lacks vectors, page by page, and write them, until nothing does.

    `fill` writes the vectors of those documents whose text is still the one that was encoded; the others, and what
    came meanwhile, are found in the next round.
    """
    report, started, refused = BackfillReport(documents), time.perf_counter(), set[str]()
    # tqdm's None means: quiet unless this is a terminal.
    bar = tqdm(total=documents, disable=None if show_progress_bar is None else not show_progress_bar)

    def write(work: _Work) -> _Work:
        fill(*work)
        return work

    def written(work: _Work) -> None:
        filled, encoded = work
        report.filled += len(filled)
        report.nbytes += int(encoded.nbytes().sum())
        bar.update(len(filled))

    with bar:
        bar.set_description("Filling in vectors")
        for _ in range(MOST_ROUNDS):
            before = report.filled
            with InFlight(write, at_once, written) as writing:
                for part in _parts(pages(), refused):
                    readable, encoded = _encoded(part, encode, report, refused)
                    if readable:
                        writing.submit((readable, encoded))
            if report.filled == before:
                break
        else:
            report.remaining = sum(map(len, _parts(pages(), refused)))
    report.minutes = (time.perf_counter() - started) / 60
    return report


def estimate(documents: int, pages: Pages, encode: Encode) -> BackfillReport:
    """What filling them all would be, by the first few; writing them is not in the minutes."""
    report, refused = BackfillReport(documents), set[str]()
    sample = next(_parts(pages(), refused), [])[:SAMPLE_DOCUMENTS]
    started = time.perf_counter()
    readable, encoded = _encoded(sample, encode, report, refused)
    if readable:
        report.nbytes = int(encoded.nbytes().sum()) * documents // len(sample)
        report.minutes = (time.perf_counter() - started) / 60 * documents / len(sample)
    return report


def _parts(pages: Iterable[Sequence[Unfilled]], refused: set[str]) -> Iterator[list[Unfilled]]:
    """Documents that are worth encoding at once, without those that were refused before."""
    part: list[Unfilled] = []
    characters = 0
    for each in chain.from_iterable(pages):
        if each.key in refused:
            continue
        part.append(each)
        characters += len(each.text or "")
        if len(part) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _encoded(
    part: Sequence[Unfilled], encode: Encode, report: BackfillReport, refused: set[str]
) -> tuple[list[Unfilled], Encoded]:
    """The documents that have a text which can be encoded, and their vectors; the others are named in `report`."""

    def refuse(each: Unfilled, reason: str) -> None:
        refused.add(each.key)
        report.failed.append((each.id, reason))

    readable = [each for each in part if each.text is not None]
    for each in part:
        if each.text is None:
            refuse(each, "the field holds no text")
    while readable:
        try:
            return readable, encode([each.text or "" for each in readable])
        except InputError as error:
            if error.index is None:
                raise
            refuse(readable.pop(error.index), str(error))
    return [], Encoded()
