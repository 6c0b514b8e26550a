"""The kinds of figure that a report has, each from plain numbers, with its table and a text that says what is seen."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vectorplug.errors import InputError
from vectorplug.evaluation.report.data import Loss, Point, Series, Table, pareto_front
from vectorplug.evaluation.report.labels import LINE, beside, short, spread
from vectorplug.evaluation.report.theme import DASHES, MARKERS, Theme, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["MOST_SERIES", "Figure", "bars", "curve", "front", "losses"]

# More lines than this nobody tells apart.
MOST_SERIES = 6
# Names up to so many characters stand at their lines, longer ones in a legend.
DIRECT = 16
# Two such names stand side by side in a legend.
LEGEND_PAIR = 22
# So many points have room for their names beside each other.
FEW = 8
NAMED_LOSSES = 3
# Characters of a query across the whole width of the axes.
ACROSS = 50
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture that can be drawn for a light and for a dark page.

    `alt` says what is seen to somebody who does not see it; `table` holds every number that is drawn.
    """

    title: str
    alt: str
    table: Table
    draw: Callable[["Canvas", Theme], None]

    def svg(self, theme: Theme) -> bytes:
        """An SVG file of 456 x 336 pixels, its text as paths; the same bytes for the same numbers."""
        return drawn(self.draw, theme, "svg")

    def png(self, theme: Theme) -> bytes:
        """A PNG file of 912 x 672 pixels."""
        return drawn(self.draw, theme, "png")


def curve(
    title: str, x_label: str, y_label: str, series: Sequence[Series], *, log_x: bool = False, zero: bool = False
) -> Figure:
    """Lines of y against x, one a variant, with their intervals as bands; `zero` begins y at 0.

    InputError for no series, one without points, more than six, or an x that a logarithm does not take.
    """
    _check(title, series)
    _check_log([point for each in series for point in each.points], log_x)

    def draw(canvas: "Canvas", theme: Theme) -> None:
        axes = canvas.add_subplot(xlabel=x_label, ylabel=y_label)
        for i, each in enumerate(series):
            points = sorted(each.points, key=lambda point: point.x)
            x, y = [point.x for point in points], [point.y for point in points]
            color = theme.series[i]
            axes.plot(x, y, color=color, marker=MARKERS[i], linestyle=DASHES[i], label=each.name)
            low, high = _interval(points)
            if len(points) > 1:
                axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
            else:
                axes.vlines(x, low, high, color=color, linewidth=1.2)
        _x_axis(axes, log_x)
        _y_axis(axes, zero)
        _name_lines(axes, theme, [(each.name, max(each.points, key=lambda point: point.x).y) for each in series])

    return Figure(title, _curve_alt(x_label, y_label, series), _table(x_label, y_label, series), draw)


def front(
    title: str, x_label: str, y_label: str, points: Sequence[Point], recommended: Point | None, *, log_x: bool = True
) -> Figure:
    """Every variant as a point of cost x and quality y, the Pareto front as a line, the recommended one marked.

    Those of the front are named by their `label`, all of them where they are few. InputError for no points, or an x
    that a logarithm does not take.
    """
    _check(title, [Series(title, tuple(points))])
    best = pareto_front(points)
    shown = [*points] if recommended is None or recommended in points else [*points, recommended]
    _check_log(shown, log_x)

    def draw(canvas: "Canvas", theme: Theme) -> None:
        axes = canvas.add_subplot(xlabel=x_label, ylabel=y_label)
        rest = [point for point in shown if point not in best]
        axes.scatter([p.x for p in rest], [p.y for p in rest], s=14, color=theme.soft, alpha=0.55, linewidth=0)
        axes.step([p.x for p in best], [p.y for p in best], where="post", color=theme.series[0], linewidth=1.6)
        low, high = _interval(best)
        axes.vlines([p.x for p in best], low, high, color=theme.series[0], linewidth=1, alpha=0.6)
        axes.scatter([p.x for p in best], [p.y for p in best], s=26, color=theme.series[0], zorder=3)
        axes.margins(x=0.08)
        _x_axis(axes, log_x)
        _y_axis(axes, zero=False)
        named = [(p.x, p.y, p.label, theme.text) for p in (*best[:1], *best[-1:], *best[1:-1]) if p.label]
        if len(shown) <= FEW:
            named += [(p.x, p.y, p.label, theme.soft) for p in rest if p.label]
        if recommended is not None:
            x, y = recommended.x, recommended.y
            axes.scatter([x], [y], s=150, facecolor="none", edgecolor=theme.accent, linewidth=2.2, zorder=4)
            named = [each for each in named if each[:2] != (x, y)]
            named.insert(0, (x, y, f"recommended:\n{recommended.label or short(x)}", theme.accent))
        beside(axes, named, [(p.x, p.y) for p in shown] + _on_lines(axes, best))

    names = ", ".join(f"{p.label or '(no name)'} ({short(p.x)}, {p.y:.3f})" for p in best)
    chosen = "" if recommended is None else (
        f" Recommended: {recommended.label or '(no name)'} at {short(recommended.x)}, {recommended.y:.3f}."
    )  # fmt: skip
    alt = f"{len(shown)} variants, {y_label} against {x_label}. The Pareto front: {names}.{chosen}"
    rows = tuple(
        (p.label or "", p.x, p.y, p.low, p.high, "yes" if p in best else "", "yes" if p == recommended else "")
        for p in shown
    )
    return Figure(
        title, alt, Table(("variant", x_label, y_label, "low", "high", "on the front", "recommended"), rows), draw
    )


def losses(title: str, y_label: str, values: Sequence[Loss]) -> Figure:
    """One bar a query, sorted by what changed for it; those that lose most are named. InputError for no values."""
    if not values:
        raise InputError(f"figure {title!r} has no queries, expected at least one.")
    ordered = sorted(values, key=lambda loss: (loss.change, loss.query))
    changes = np.array([loss.change for loss in ordered])
    lost, won = int((changes < 0).sum()), int((changes > 0).sum())
    same = len(changes) - lost - won
    mean = f"{changes.mean():+.3f}".replace("-", "\N{MINUS SIGN}")

    def draw(canvas: "Canvas", theme: Theme) -> None:
        axes = canvas.add_subplot(xlabel=f"{len(changes):,} queries, sorted", ylabel=y_label)
        x = np.arange(len(changes))
        # A filled step, because a bar of less than a pixel is not drawn evenly.
        for sign, color in ((changes < 0, theme.series[1]), (changes > 0, theme.series[0])):
            height = np.where(sign, changes, 0.0)
            axes.fill_between([*x, len(x)], [*height, height[-1]], step="post", color=color, linewidth=0)
        axes.axhline(0, color=theme.soft, linewidth=1)
        axes.axhline(changes.mean(), color=theme.text, linewidth=1.2, linestyle=DASHES[1])
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.01, y=0.08)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.35 * (high - low)), max(high, 0.3 * (high - low)))
        axes.text(
            0.03, 0.97, f"{lost:,} lose, {same:,} stay, {won:,} gain\nmean {mean} (dashed)",
            transform=axes.transAxes, va="top", color=theme.text, linespacing=1.4,
        )  # fmt: skip
        _name_losses(axes, theme, ordered)

    worst = "; ".join(f"{loss.query} ({loss.change:+.3f})" for loss in ordered[:NAMED_LOSSES] if loss.change < 0)
    alt = (
        f"{y_label} of {len(changes)} queries: {lost} lose, {same} stay, {won} gain, the mean is {changes.mean():+.3f}."
    )
    alt += f" Most is lost by {worst}." if worst else ""
    rows = tuple((loss.query, loss.change) for loss in ordered)
    return Figure(title, alt, Table(("query", y_label), rows), draw)


def bars(title: str, y_label: str, series: Sequence[Series]) -> Figure:
    """Bars side by side, one a series in each group, with intervals; a point's `label` is its group.

    InputError for no series, one without points, or more than six.
    """
    _check(title, series)
    groups = list(dict.fromkeys(point.label or "" for each in series for point in each.points))
    width = 0.8 / len(series)

    def draw(canvas: "Canvas", theme: Theme) -> None:
        axes = canvas.add_subplot(ylabel=y_label)
        for i, each in enumerate(series):
            x = [groups.index(point.label or "") + (i - (len(series) - 1) / 2) * width for point in each.points]
            y = [point.y for point in each.points]
            low, high = _interval(each.points)
            axes.bar(
                x,
                y,
                width * 0.88,
                color=theme.series[i],
                label=each.name,
                hatch=HATCHES[i],
                edgecolor=theme.surface,
                linewidth=0,
            )
            axes.vlines(x, low, high, color=theme.text, linewidth=1.3)
            for place, value, top in zip(x, y, high, strict=True):
                axes.annotate(
                    f"{value:.2f}", (place, max(top, value, 0)), (0, 2), textcoords="offset points",
                    ha="center", va="bottom", fontsize=8 if len(groups) * len(series) <= 10 else 6.5,
                )  # fmt: skip
        axes.set_xticks(range(len(groups)), groups)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
        axes.axhline(0, color=theme.soft, linewidth=1)
        canvas.legend(loc="outside upper left", ncols=min(len(series), 3), handlelength=1.2, columnspacing=1.4)

    said = "; ".join(
        f"{each.name}: " + ", ".join(f"{point.label or ''} {point.y:.3f}" for point in each.points) for each in series
    )
    return Figure(title, f"{y_label}, in groups. {said}.", _table(None, y_label, series), draw)


def _check(title: str, series: Sequence[Series]) -> None:
    if not 1 <= len(series) <= MOST_SERIES:
        raise InputError(f"figure {title!r} has {len(series)} series, expected 1 to {MOST_SERIES}: make two figures.")
    for each in series:
        if not each.points:
            raise InputError(f"series {each.name!r} of figure {title!r} has no points: leave it out.")
        for point in each.points:
            if not np.isfinite([point.x, point.y, point.low or 0, point.high or 0]).all():
                raise InputError(f"series {each.name!r} of figure {title!r} has {point}, expected finite numbers.")


def _check_log(points: Sequence[Point], log_x: bool) -> None:
    wrong = next((point for point in points if point.x <= 0), None)
    if log_x and wrong is not None:
        raise InputError(f"x is {wrong.x} and the axis logarithmic: expected above 0, or log_x=False.")


def _interval(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Lower and upper ends; the value itself where there is no interval."""
    low = [point.y if point.low is None else point.low for point in points]
    high = [point.y if point.high is None else point.high for point in points]
    return low, high


def _x_axis(axes: "Axes", log_x: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    if log_x:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 1e3 else (1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _y_axis(axes: "Axes", zero: bool) -> None:
    axes.margins(y=0.1)
    if zero:
        axes.set_ylim(bottom=0)


def _on_lines(axes: "Axes", points: Sequence[Point]) -> list[tuple[float, float]]:
    """Places along a front and its intervals, near enough to each other that no name fits between two."""
    low, high = _interval(points)
    found = [
        (p.x, place) for p, a, b in zip(points, low, high, strict=True) for place in np.linspace(a, b, 10).tolist()
    ]
    for point, after in itertools.pairwise(points):
        x = np.geomspace(point.x, after.x, 40) if axes.get_xscale() == "log" else np.linspace(point.x, after.x, 40)
        found += [(place, point.y) for place in x.tolist()]
        found += [(after.x, place) for place in np.linspace(point.y, after.y, 40).tolist()]
    return found


def _name_lines(axes: "Axes", theme: Theme, ends: Sequence[tuple[str, float]]) -> None:
    """At the right of the lines where the names are short, else below all."""
    if len(ends) == 1:
        return
    if max(len(name) for name, _ in ends) > DIRECT:
        narrow = max(len(name) for name, _ in ends) <= LEGEND_PAIR
        axes.figure.legend(loc="outside lower left", ncols=1 + narrow, handlelength=2.6, columnspacing=1.2, fontsize=9)
        return
    low, high = axes.get_ylim()
    places = spread([y for _, y in ends], LINE * (high - low), low, high)
    for (name, y), place, color in zip(ends, places, theme.series, strict=False):
        axes.annotate(
            name, (1, y), (1.02, place), xycoords=("axes fraction", "data"), textcoords=("axes fraction", "data"),
            va="center", color=color, annotation_clip=False,
        )  # fmt: skip


def _name_losses(axes: "Axes", theme: Theme, ordered: Sequence[Loss]) -> None:
    """The worst by their own words, in the free room beside the bars."""
    worst = [loss for loss in ordered[:NAMED_LOSSES] if loss.change < 0]
    low, high = axes.get_ylim()
    line = LINE * (high - low)
    places = spread([loss.change for loss in worst], line, low + line / 2, -line)
    for i, (loss, place) in enumerate(zip(worst, places, strict=True)):
        beyond = sum(other.change <= place + line / 2 for other in ordered) / len(ordered)
        start = max(0.1, beyond + 0.06)
        room = int(ACROSS * (0.99 - start))
        if room < 12:
            return
        name = loss.query if len(loss.query) <= room else loss.query[: room - 1].rstrip() + "…"
        axes.annotate(
            name, (i + 0.9, loss.change), (start, place), textcoords=("axes fraction", "data"), va="center",
            fontsize=9, color=theme.text,
            arrowprops={"arrowstyle": "-", "color": theme.soft, "linewidth": 0.8, "relpos": (0, 0.5), "shrinkA": 1},
        )  # fmt: skip


def _curve_alt(x_label: str, y_label: str, series: Sequence[Series]) -> str:
    said = []
    for each in series:
        first, last = min(each.points, key=lambda p: p.x), max(each.points, key=lambda p: p.x)
        if first == last:
            said.append(f"{each.name}: {first.y:.3f} at {short(first.x)}")
        else:
            said.append(f"{each.name}: from {first.y:.3f} at {short(first.x)} to {last.y:.3f} at {short(last.x)}")
    return f"{y_label} against {x_label}. {'; '.join(said)}."


def _table(x_label: str | None, y_label: str, series: Sequence[Series]) -> Table:
    """Every point in a row; without `x_label` its group stands for x."""
    rows: tuple[tuple[Any, ...], ...] = tuple(
        (each.name, p.label or "" if x_label is None else p.x, p.y, p.low, p.high)
        for each in series
        for p in each.points
    )
    return Table(("series", x_label or "group", y_label, "low", "high"), rows)
