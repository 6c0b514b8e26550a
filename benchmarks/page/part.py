"""What was measured in one section, as it is kept in a file; the page is made of these."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from benchmarks.page.machine import Machine
from benchmarks.page.peers import OURS
from benchmarks.page.turns import Bench, Outcome

__all__ = ["Curve", "Line", "Part", "Point", "Row", "Table", "Taken"]


class Taken(BaseModel):
    """Milliseconds of a number of rounds: the median, the least and the most."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """Of single turns in seconds."""
        each = [1000 * taken for taken in seconds]
        return cls(median=statistics.median(each), least=min(each), most=max(each), rounds=len(each))


class Row(BaseModel):
    """Somebody's time, or why there is none. `facts` are further columns; a `rival` does the first row's work."""

    name: str
    peer: str
    taken: Taken | None = None
    missing: str | None = None
    peak_mb: float | None = None
    facts: dict[str, float] = {}
    rival: bool = True

    @property
    def ours(self) -> bool:
        return self.peer == OURS

    @classmethod
    def of(cls, outcome: Outcome, work: str) -> Self | None:
        """None where it took no part in the work."""
        entry = outcome.entry
        missing, peak_mb = outcome.missing, outcome.peak_mb
        row = cls(name=entry.name, peer=entry.peer, missing=missing, peak_mb=peak_mb, rival=entry.rival)
        if row.missing:
            return row
        seconds = outcome.seconds.get(work)
        return None if seconds is None else row.model_copy(update={"taken": Taken.of(seconds)})


class Table(BaseModel):
    """Rows side by side; the first is what the others are compared with. A turn does `items` of `unit`.

    `compared` is False where the others are no rivals: another dtype, or less work.
    """

    name: str
    title: str
    items: int
    unit: str
    rows: tuple[Row, ...]
    facts: tuple[str, ...] = ()
    compared: bool = True

    @classmethod
    def of(cls, name: str, title: str, items: int, unit: str, outcomes: Sequence[Outcome], work: str) -> Self:
        rows = (Row.of(each, work) for each in outcomes)
        return cls(name=name, title=title, items=items, unit=unit, rows=tuple(r for r in rows if r))

    def times(self, row: Row) -> float | None:
        """How many times as long as the first row: above 1 the first is faster."""
        first = self.rows[0].taken
        return None if first is None or row.taken is None else row.taken.median / first.median


class Point(BaseModel):
    x: float
    taken: Taken


class Line(BaseModel):
    """One way along a curve, or why it is missing."""

    name: str
    peer: str
    points: tuple[Point, ...] = ()
    missing: str | None = None

    @classmethod
    def of(cls, outcome: Outcome, works: Sequence[str]) -> Self:
        """Of works that are named by their x."""
        points = [Point(x=float(w), taken=Taken.of(outcome.seconds[w])) for w in works if w in outcome.seconds]
        return cls(name=outcome.entry.name, peer=outcome.entry.peer, points=tuple(points), missing=outcome.missing)


class Curve(BaseModel):
    """Milliseconds as something grows."""

    name: str
    title: str
    said: str
    x: str
    lines: tuple[Line, ...]


class Part(BaseModel):
    """A section; `costs` are milliseconds of one piece of work each, from which others are reckoned."""

    section: str
    machine: Machine
    versions: dict[str, str]
    seconds: float = 0.0
    said: str = ""
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    costs: dict[str, float] = {}

    @classmethod
    def of(cls, section: str, bench: Bench, outcomes: Sequence[Outcome], **measured: Any) -> Self:
        """`measured` are the other fields; `peaks` come of the outcomes."""
        versions = {name: version for each in outcomes for name, version in each.versions.items()}
        return cls(section=section, machine=Machine.here(bench.threads), versions=versions, **measured)

    @classmethod
    def read(cls, folder: Path, section: str) -> Self | None:
        path = folder / f"{section}.json"
        return cls.model_validate_json(path.read_bytes()) if path.exists() else None

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.section}.json").write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
