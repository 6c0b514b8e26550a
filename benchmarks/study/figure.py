"""Every vector of a part as a point, its family told by colour and marker."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.study.part import Line
from vectorplug.evaluation.report.labels import beside
from vectorplug.evaluation.report.theme import MARKERS, Theme, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["families"]

FAMILIES = {"MUVERA": "MUVERA", "Lemur": "Lemur", "one vector": ""}
# The names that are written beside their points; the table has them all.
NAMED = {
    "MUVERA R20 k5 dp16, as published": "as published",
    "MUVERA without fill, documents at unit norm": "no fill, unit norm",
    "MUVERA as published, final sketch of 2,560": "final sketch",
    "Lemur 512": "512",
    "Lemur 512, 1 bit a number": "512, 1 bit",
    "Lemur 2,048": "2,048",
    "mean of the tokens": "mean",
    "mean of the tokens, documents at unit norm": "mean, unit norm",
}


def families(lines: Sequence[Line], theme: Theme, kind: str) -> bytes:
    """10R@100 against bytes a document, as "svg" or "png"."""

    def draw(canvas: "Figure", theme: Theme) -> None:
        axes = canvas.add_subplot(xlabel="bytes a document", ylabel="10R@100", xscale="log")
        names = []
        for family, color, marker in zip(FAMILIES, theme.series, MARKERS, strict=False):
            mine = [each for each in lines if _family(each) == family]
            x, y = [each.bytes for each in mine], [each.within_100.mean for each in mine]
            axes.scatter(x, y, s=24, color=color, marker=marker, alpha=0.8, linewidth=0, label=family)
            names += [
                (each.bytes, each.within_100.mean, NAMED[each.name], color) for each in mine if each.name in NAMED
            ]
        axes.margins(0.08)
        axes.legend(loc="lower left", frameon=False)
        beside(axes, names, [(each.bytes, each.within_100.mean) for each in lines])

    return drawn(draw, theme, kind)


def _family(line: Line) -> str:
    return next(name for name, begins in FAMILIES.items() if line.name.startswith(begins))
