"""Tables of the page: every row, those that are missing and those that are faster than ours like the others."""

from collections.abc import Iterator

from benchmarks.markdown import table_of
from benchmarks.page.part import Curve, Row, Table, Taken

__all__ = ["number", "points_of", "rows_of"]


def rows_of(table: Table) -> Iterator[str]:
    """Of a table, its head included."""
    rounds = max((row.taken.rounds for row in table.rows if row.taken), default=0)
    head = ["", f"ms, median of {rounds} (least - most)", f"{table.unit}/s", "times ours", *table.facts]
    yield from table_of(head, (_row(table, row) for row in table.rows))


def _row(table: Table, row: Row) -> list[str]:
    if row.taken is None:
        return [row.name, row.missing or "", "", "", *[""] * len(table.facts)]
    times = table.times(row)
    said = "" if times is None else f"{times:.2f}"
    if times is not None and times < 1 and row.rival and not row.ours:
        said = f"**{said}**"
    facts = [number(row.facts[name]) if name in row.facts else "" for name in table.facts]
    return [row.name, _taken(row.taken), f"{1000 * table.items / row.taken.median:,.0f}", said, *facts]


def points_of(curve: Curve) -> Iterator[str]:
    """Of a curve, a column for each x."""
    places = sorted({point.x for line in curve.lines for point in line.points})
    rows = []
    for line in curve.lines:
        taken = {point.x: _taken(point.taken) for point in line.points}
        name = f"{line.name} ({line.missing})" if line.missing else line.name
        rows.append([name, *(taken.get(x, "") for x in places)])
    yield from table_of([f"ms, by {curve.x}", *(f"{x:,.0f}" for x in places)], rows)


def _taken(taken: Taken) -> str:
    return f"{number(taken.median)} ({number(taken.least)} - {number(taken.most)})"


def number(value: float) -> str:
    """Three digits, or whole from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
