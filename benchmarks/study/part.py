"""What was measured on one collection with one model, as it is kept in a file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import BaseModel

from benchmarks.study.plaid import Timed
from benchmarks.study.quality import Quality, Row
from vectorplug.evaluation.statistics import Interval, interval

__all__ = ["CurveLine", "Line", "Part", "TimedLine"]


class Line(BaseModel):
    """A row of a table: shares of exact MaxSim's ten best and nDCG@10, with intervals.

    `change` is how much more (or less) of the ten best are within 100 than MUVERA's as published, and `p` of that.
    """

    name: str
    bytes: float
    within_10: Interval
    within_100: Interval
    ndcg: tuple[Interval, ...]
    change: float = 0.0
    p: float | None = None

    @classmethod
    def of(cls, row: Row, baseline: Row | None = None) -> Self:
        within_10, within_100 = row.shares
        change, p = (0.0, None) if baseline is None or row is baseline else row.against(baseline)
        kept = tuple(interval(values) for values in row.ndcg)
        return cls(
            name=row.name, bytes=row.bytes, within_10=within_10, within_100=within_100, ndcg=kept, change=change, p=p
        )


class TimedLine(BaseModel):
    """A line with milliseconds a query and seconds to make the index."""

    line: Line
    ms: float
    index_seconds: float

    @classmethod
    def of(cls, timed: Timed) -> Self:
        return cls(line=Line.of(timed.row), ms=timed.ms, index_seconds=timed.index_seconds)


class CurveLine(BaseModel):
    """A point of the curve of fewer tokens: `overlap` with exact MaxSim's ten best among ten."""

    method: str
    tokens: float
    overlap: Interval
    ndcg: Interval | None


class Part(BaseModel):
    """Everything of one collection and one model, a section None until it was measured.

    `exact` is nDCG@10 of exact MaxSim; `missing` says why PLAID's rows are not there.
    """

    collection: str
    model: str
    encoder: str
    documents: int
    queries: int
    tokens: float
    dim: int
    exact: Interval
    singles: tuple[Line, ...] | None = None
    tokens_kept: tuple[Line, ...] | None = None
    curve: tuple[CurveLine, ...] | None = None
    curve_documents: int = 0
    two_stages: tuple[TimedLine, ...] | None = None
    plaid: tuple[TimedLine, ...] | None = None
    missing: str | None = None

    @property
    def name(self) -> str:
        return f"{self.collection}-{self.model}"

    @property
    def is_whole(self) -> bool:
        """Whether every section was measured, but for PLAID, which needs an environment of its own."""
        return None not in (self.singles, self.tokens_kept, self.curve, self.two_stages)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        return cls.model_validate_json(path.read_bytes()) if path.exists() else None

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")

    @staticmethod
    def lines(rows: Iterable[Row]) -> tuple[Line, ...]:
        """The first row is what the others are compared with."""
        made = list(rows)
        return tuple(Line.of(row, made[0]) for row in made)

    @staticmethod
    def interval_of(quality: Quality) -> Interval:
        return interval(quality.exact)
