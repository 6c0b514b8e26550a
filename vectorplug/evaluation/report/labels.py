"""Names beside points and lines, where they cover nothing."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

__all__ = ["LINE", "beside", "short", "spread"]

# Height of a line of type, as a share of the axes' height.
LINE = 0.075
# Where a name may stand, in points from its point: left above first, where a Pareto front has nothing.
PLACES = (
    (-5, 5, "right", "bottom"),
    (5, 5, "left", "bottom"),
    (5, -5, "left", "top"),
    (-5, -5, "right", "top"),
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for labels, in the same order: as near to `wanted` as `gap` between two and [low, high] allow.

    Nearest by least squares: with the gaps taken off it is isotonic regression, by pooling adjacent violators.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    crowds: list[list[float]] = []
    for rank, i in enumerate(order):
        crowds.append([wanted[i] - rank * gap])
        while len(crowds) > 1 and fmean(crowds[-2]) > fmean(crowds[-1]):
            crowds[-2:] = [crowds[-2] + crowds[-1]]
    middles = [fmean(crowd) for crowd in crowds for _ in crowd]
    highest = high - (len(wanted) - 1) * gap
    placed = [0.0] * len(wanted)
    for rank, (i, middle) in enumerate(zip(order, middles, strict=True)):
        placed[i] = max(min(middle, highest), low) + rank * gap
    return placed


def beside(
    axes: "Axes",
    points: Sequence[tuple[float, float, str, str]],
    taken: Sequence[tuple[float, float]],
) -> None:
    """Write (x, y, name, colour) beside each point where it covers no other name, nothing at `taken`, and no axis.

    The first have the first choice; a name for which there is no room is left out (the table has it).
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # the layout decides where things are
    frame = axes.get_window_extent()
    dots = axes.transData.transform(list(taken))
    boxes: list[Bbox] = []
    for x, y, name, color in points:
        for right, up, across, along in PLACES:
            text = axes.annotate(
                name, (x, y), (right, up), textcoords="offset points", ha=across, va=along, color=color, fontsize=9
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(boxes) and not box.count_contains(dots):
                boxes.append(box)
                break
            text.remove()


def short(number: float) -> str:
    """A number in few characters: 950, 41k, 1.5M, 0.25."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
