"""What a figure is drawn from: plain numbers with their names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Loss", "Point", "Series", "Table", "pareto_front"]


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement; `low` and `high` are its interval in y, `label` its name, or its group in a bar chart."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Measurements of one variant, under one name."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """One query and what a shortcut changed for it: below zero is lost."""

    query: str
    change: float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one length, under their columns' names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]

    def to_csv(self) -> str:
        """RFC 4180, but for its line ends; None is an empty field."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return out.getvalue()


def pareto_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other beats: each costs less (x), or is better (y), than every other. By rising x."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not found or point.y > found[-1].y:
            found.append(point)
    return tuple(found)
