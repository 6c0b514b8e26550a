"""Figures of the page: how many times as long as ours, and times that grow."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.page.part import Curve, Line, Table
from vectorplug.evaluation.report.labels import short
from vectorplug.evaluation.report.theme import DASHES, MARKERS, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Draw", "growth", "ratios"]

Draw = Callable[["Figure", Theme], None]
# Inches of a bar, and of what stands above and below all bars.
BAR, AROUND, WIDTH = 0.3, 0.75, 7.0
TALL = (7.0, 4.4)


def ratios(table: Table) -> Draw:
    """A bar a row, from 1 where the first row is; longer is slower."""
    rows = [row for row in table.rows if row.taken is not None]
    first = rows[0].taken

    def draw(canvas: "Figure", theme: Theme) -> None:
        assert first is not None
        canvas.set_size_inches(WIDTH, AROUND + BAR * len(rows))
        axes = canvas.add_subplot(xlabel="times as long as the first (to the left: faster)")
        for place, row in enumerate(reversed(rows)):
            taken = row.taken
            assert taken is not None
            times = taken.median / first.median
            color = theme.soft if not row.rival else theme.series[0] if row.ours else theme.series[1]
            axes.barh(place, times - 1 or 0.004, left=1, height=0.62, color=color, linewidth=0)
            axes.hlines(place, taken.least / first.median, taken.most / first.median, color=theme.text, linewidth=1)
            right = max(times, taken.most / first.median, 1)
            axes.annotate(
                f"{times:.2f}" if times < 10 else f"{times:.0f}",
                (right, place),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_xscale("log")
        axes.axvline(1, color=theme.text, linewidth=1)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.8), max(high, 1.6) * 1.25)
        _log(axes, "x")
        axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
        axes.grid(visible=False, axis="y")

    return draw


def growth(curve: Curve) -> Draw:
    """A line a way, both axes logarithmic, with the least and the most as a band."""
    lines = [line for line in curve.lines if line.points]

    def draw(canvas: "Figure", theme: Theme) -> None:
        canvas.set_size_inches(*TALL)
        axes = canvas.add_subplot(xlabel=curve.x, ylabel="milliseconds")
        for i, line in enumerate(lines):
            _line(axes, theme, i, line)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _log(axes, "x", sorted({point.x for line in lines for point in line.points}))
        _log(axes, "y")
        canvas.legend(loc="outside lower left", ncols=2, handlelength=3.2, columnspacing=1.6, fontsize=9)

    return draw


def _line(axes: "Axes", theme: Theme, i: int, line: Line) -> None:
    x = [point.x for point in line.points]
    color = theme.series[i % len(theme.series)]
    axes.plot(
        x,
        [point.taken.median for point in line.points],
        color=color,
        marker=MARKERS[i % len(MARKERS)],
        linestyle=DASHES[i % len(DASHES)],
        label=line.name,
    )
    low, high = ([getattr(point.taken, end) for point in line.points] for end in ("least", "most"))
    axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)


def _log(axes: "Axes", name: str, places: Sequence[float] = ()) -> None:
    """Plain numbers at `places`; else at 1, 2 and 5, or powers of ten alone where those would be many."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    steps = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    axis.set_major_locator(FixedLocator(places) if places else LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
