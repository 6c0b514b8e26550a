"""How every figure looks: colours, type and lines, on a light and on a dark page."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vectorplug.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DARK", "DASHES", "LIGHT", "MARKERS", "SIZE", "THEMES", "Theme", "drawn"]

# Inches at 72 points each, which a browser shows as 96 pixels: 456 x 336 pixels.
SIZE = (4.75, 3.5)
# A series is told by its marker and its line, too, not by its colour alone.
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1)), (0, (7, 2)))


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one page; `heat` is the strongest behind text.

    `series` are told apart by people who see colours in another way, too. Source: Okabe and Ito's palette, made darker
    on white and lighter on black until text in it can be read (4.5 : 1).
    """

    name: str
    page: str
    surface: str
    text: str
    soft: str
    grid: str
    accent: str
    heat: str
    series: tuple[str, ...]


LIGHT = Theme(
    name="light",
    page="#f4f5f7",
    surface="#ffffff",
    text="#1b1f24",
    soft="#57606a",
    grid="#dde1e6",
    accent="#b3400e",
    heat="#5aa9e6",
    series=("#0063a6", "#b3400e", "#00735a", "#96418a", "#7a5c00", "#57606a"),
)
DARK = Theme(
    name="dark",
    page="#0f1318",
    surface="#181d24",
    text="#e8ebef",
    soft="#a3acb8",
    grid="#333b46",
    accent="#ff9b5e",
    heat="#1d5f96",
    series=("#62b5f2", "#ff9b5e", "#45cfa6", "#e59bd6", "#e8c84a", "#a3acb8"),
)
THEMES = (LIGHT, DARK)


def drawn(draw: Callable[["Figure", Theme], None], theme: Theme, kind: str) -> bytes:
    """One figure as "svg" or "png" (at twice the size in pixels): the same bytes for the same numbers."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"drawing figures needs the package {error.name!r}: pip install 'vectorplug[report]'."
        ) from error

    with mpl.rc_context(_settings(theme)):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure, theme)
        out = io.BytesIO()
        # Neither the day nor the version of the library: the same picture is the same file.
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(out, format=kind, metadata=metadata, dpi=192)
    return out.getvalue()


def _settings(theme: Theme) -> dict[Any, Any]:
    return {
        "axes.edgecolor": theme.soft,
        "axes.facecolor": theme.surface,
        "axes.grid": True,
        "axes.labelcolor": theme.text,
        "axes.labelsize": 10,
        "axes.axisbelow": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.unicode_minus": True,
        "figure.facecolor": theme.surface,
        "font.family": ["DejaVu Sans"],  # it comes with the library
        "font.size": 10,
        "grid.color": theme.grid,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        # As paths: a viewer's own fonts have other widths, and labels would run into each other.
        "svg.fonttype": "path",
        "svg.hashsalt": "vectorplug",
        "text.color": theme.text,
        "xtick.color": theme.soft,
        "xtick.labelcolor": theme.text,
        "ytick.color": theme.soft,
        "ytick.labelcolor": theme.text,
    }
