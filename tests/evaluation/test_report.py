"""The report: figures out of plain numbers, and one page that a browser shows whole, at any width, in any light."""

import base64
import csv
import io
import itertools
import json
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import look
from hypothesis import given
from hypothesis import strategies as st

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.evaluation.report import (
    Figure,
    Loss,
    Point,
    Section,
    Series,
    Table,
    bars,
    curve,
    front,
    losses,
    pareto_front,
    write,
)
from vectorplug.evaluation.report.labels import short, spread
from vectorplug.evaluation.report.theme import DARK, LIGHT, THEMES, Theme

pytest.importorskip("matplotlib", reason="no figures without it: pip install 'vectorplug[report]'")

VARIANTS = [
    Point(512, 0.61, 0.59, 0.63, "mean pool"),
    Point(10240, 0.56, 0.54, 0.58, "R10 k4"),
    Point(1280, 0.69, 0.67, 0.71, "R20 k5, 1 bit"),
    Point(40960, 0.70, 0.68, 0.72, "R20 k5"),
    Point(40960, 0.65, None, None, "R10 k5"),
]
CURVES = [
    Series(name, tuple(Point(x, 1 - loss / x**0.5, 0.9 - loss / x**0.5, 1.0) for x in (10, 50, 100, 1000)))
    for name, loss in [("no fill", 1.0), ("unit norm", 0.9), ("published", 1.2)]
]
PROBES = [
    Series(name, tuple(Point(i, y + i / 10, y, y + 0.2, group) for i, group in enumerate(["word order", "long text"])))
    for name, y in [("dense", 0.5), ("FDE", 0.6), ("tokens", 0.7)]
]
LOSSES = [Loss(f"what is <b>number</b> {i}", change) for i, change in enumerate([0.0] * 20 + [-0.5, -1.0, 0.25, -0.1])]


def figures() -> dict[str, Figure]:
    return {
        "front": front("Bytes", "bytes a document", "recall@10", VARIANTS, VARIANTS[2]),
        "curve": curve("Candidates", "candidates", "recall@10", CURVES, log_x=True),
        "losses": losses("Losses", "change of nDCG@10", LOSSES),
        "bars": bars("Probes", "success@1", PROBES),
    }


def page(folder: Path, files: Path | None = None) -> Path:
    sections = [
        Section(name.title(), "What it says.\n\nAnd more & more.", figure) for name, figure in figures().items()
    ]
    wide = Table(("variant", *(f"column number {i}" for i in range(12))), (("R20", *([0.123456] * 12)),))
    write(
        folder / "report.html", "How <much>?", ["A summary."], [*sections, Section("Wide", "", None, wide)], files=files
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one page with its files: drawing takes the longest of all this."""
    folder = tmp_path_factory.mktemp("report")
    page(folder, folder / "files")
    return folder


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_figures_are_of_their_theme_and_their_text_is_paths(written: Path, theme: Theme) -> None:
    other = LIGHT if theme is DARK else DARK
    for kind in figures():
        image = (written / "files" / f"{kind}.{theme.name}.svg").read_text("utf-8")
        assert ET.fromstring(image).tag.endswith("svg")
        assert "<text" not in image  # no viewer's font can spoil it
        assert theme.surface in image
        assert other.surface not in image


def test_a_png_is_twice_the_size(written: Path) -> None:
    image = (written / "files" / "curve.dark.png").read_bytes()
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(image[16:20]), int.from_bytes(image[20:24])) == (912, 672)
    assert image == figures()["curve"].png(DARK)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_colour_of_text_can_be_read(theme: Theme) -> None:
    for color in (theme.text, theme.soft, theme.accent, *theme.series):
        assert contrast(color, theme.surface) >= 4.5, color
    assert contrast(theme.text, theme.page) >= 7
    assert contrast(theme.soft, theme.page) >= 4.5
    assert contrast(theme.text, theme.heat) >= 4.5


def test_a_figure_says_what_is_seen_and_holds_its_numbers() -> None:
    drawn = figures()
    assert (
        "The Pareto front: mean pool (512, 0.610), R20 k5, 1 bit (1.28k, 0.690), R20 k5 (41k, 0.700)"
        in drawn["front"].alt
    )
    assert "Recommended: R20 k5, 1 bit at 1.28k, 0.690." in drawn["front"].alt
    assert (
        "3 lose, 20 stay, 1 gain, the mean is -0.056. Most is lost by what is <b>number</b> 21 (-1.000)"
        in drawn["losses"].alt
    )
    assert "no fill: from 0.684 at 10 to 0.968 at 1k" in drawn["curve"].alt
    assert "FDE: word order 0.600, long text 0.700" in drawn["bars"].alt
    assert drawn["front"].table.rows[2] == ("R20 k5, 1 bit", 1280, 0.69, 0.67, 0.71, "yes", "yes")
    assert drawn["front"].table.rows[4] == ("R10 k5", 40960, 0.65, None, None, "", "")
    assert drawn["curve"].table.rows[0] == (
        "no fill",
        10,
        pytest.approx(0.684, abs=1e-3),
        pytest.approx(0.584, abs=1e-3),
        1.0,
    )
    assert drawn["losses"].table.rows[0] == ("what is <b>number</b> 21", -1.0)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(drawn: list[tuple[int, int]]) -> None:
    points = [Point(x, y) for x, y in drawn]
    best = pareto_front(points)
    for point in points:
        beaten = any((o.x <= point.x and o.y >= point.y) and (o.x, o.y) != (point.x, point.y) for o in points)
        assert (point in best) == (not beaten)
    assert [p.x for p in best] == sorted({p.x for p in best})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_labels_keep_apart_and_inside(wanted: list[float]) -> None:
    placed = spread(wanted, 0.1, 0.0, 1.0)
    order = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(order))
    assert min(placed) >= -1e-9
    assert max(placed) <= 1 + 1e-9
    assert sorted(range(len(wanted)), key=lambda i: (wanted[i], i)) == sorted(
        range(len(wanted)), key=lambda i: placed[i]
    )


def test_labels_with_room_stay_where_they_are() -> None:
    assert spread([0.2, 0.9, 0.5], 0.1, 0.0, 1.0) == pytest.approx([0.2, 0.9, 0.5])
    assert spread([0.5, 0.5, 0.9], 0.1, 0.0, 1.0) == pytest.approx([0.45, 0.55, 0.9])


def test_short_numbers() -> None:
    assert [short(x) for x in (0.25, 950, 1000, 41_000, 1.5e6, 2e9, 0)] == [
        "0.25",
        "950",
        "1k",
        "41k",
        "1.5M",
        "2G",
        "0",
    ]


def test_figures_of_hard_data() -> None:
    """One point, one query, no interval, equal points, many names: drawn, and no warning."""
    one = [Point(5, 0.5, None, None, "x")]
    for figure in (
        front("a", "x", "y", one * 3, None),
        front("a", "x", "y", one, Point(9, 0.4, label="elsewhere")),
        curve("a", "x", "y", [Series("alone", tuple(one))], log_x=True),
        curve("a", "x", "y", [Series(f"a name that is too long for the margin {i}", tuple(one)) for i in range(6)]),
        losses("a", "y", [Loss("only", 0.0)]),
        losses("a", "y", [Loss("q" * 200, -1.0), Loss("r", -0.9)]),
        bars("a", "y", [Series(str(i), tuple(Point(j, -0.5, label=f"g{j}") for j in range(5))) for i in range(6)]),
    ):
        ET.fromstring(figure.svg(LIGHT))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: curve("c", "x", "y", []), "0 series, expected 1 to 6"),
        (lambda: curve("c", "x", "y", CURVES * 3), "9 series, expected 1 to 6"),
        (lambda: bars("c", "y", [Series("empty", ())]), "'empty' of figure 'c' has no points"),
        (lambda: curve("c", "x", "y", [Series("s", (Point(0, 1),))], log_x=True), "x is 0 and the axis logarithmic"),
        (lambda: front("c", "x", "y", [Point(1, float("nan"))], None), "expected finite numbers"),
        (lambda: front("c", "x", "y", [], None), "no points"),
        (lambda: losses("c", "y", []), "no queries"),
    ],
)
def test_what_cannot_be_drawn(make: object, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        make()  # type: ignore[operator]


def test_without_the_library_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"vectorplug\[report\]"):
        figures()["bars"].svg(LIGHT)


class Checked(HTMLParser):
    """Every tag that is opened is closed, in order; what could fetch or run anything is remembered."""

    void = frozenset({"meta", "link", "img", "source"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspects: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        found = [value for name, value in attrs if name in ("src", "srcset", "href", "action", "data") and value]
        self.suspects += [value for value in found if not value.startswith("data:")]
        if tag in ("script", "iframe", "object", "form", "base"):
            self.suspects.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_file_and_the_same_bytes_again(written: Path, tmp_path: Path) -> None:
    text = (written / "report.html").read_text("utf-8")
    checked = Checked()
    checked.feed(text)
    assert checked.open == []
    assert checked.suspects == []
    assert "How &lt;much&gt;?" in text
    assert "number</b> 21 (" not in text  # a query's own characters are never markup
    assert "<p>What it says.</p><p>And more &amp; more.</p>" in text
    assert page(tmp_path).read_text("utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_every_figure_and_table_as_a_file(written: Path) -> None:
    there = {path.name for path in (written / "files").iterdir()}
    kinds = ("light.svg", "dark.svg", "light.png", "dark.png", "csv")
    assert there == {f"{name}.{kind}" for name in figures() for kind in kinds} | {"figures.json", "wide.csv"}
    data = json.loads((written / "files" / "figures.json").read_text("utf-8"))
    assert list(data) == ["front", "curve", "losses", "bars"]
    rows = list(csv.reader(io.StringIO((written / "files" / "front.csv").read_text("utf-8"))))
    assert rows[3] == ["R20 k5, 1 bit", "1280", "0.69", "0.67", "0.71", "yes", "yes"]
    assert rows[0] == data["front"]["columns"]
    assert data["front"]["rows"][4] == ["R10 k5", 40960, 0.65, None, None, "", ""]


def test_sections_of_one_title_are_files_of_their_own(tmp_path: Path) -> None:
    table = Table(("a",), ((1,),))
    write(tmp_path / "p.html", "t", [], [Section("Same", "", None, table)] * 3, files=tmp_path / "files")
    assert len({path.name for path in (tmp_path / "files").glob("*.csv")}) == 3


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "nowhere" / "p.html", "t", [], [])
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="cannot be written into"):
        write(tmp_path / "p.html", "t", [], [], files=tmp_path / "taken")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_in_a_browser(written: Path, tmp_path: Path, dark: bool) -> None:
    seen = look(written / "report.html", tmp_path, dark=dark)
    assert seen.console == []
    wide, narrow = seen.frames
    assert (wide["width"], narrow["width"]) == (1280, 390)
    theme = DARK if dark else LIGHT
    for frame in seen.frames:
        assert frame["requests"] == []
        assert frame["scrolled"] <= frame["width"]
        assert len(frame["images"]) == 4
        assert all(image["loaded"] and len(image["alt"]) > 40 for image in frame["images"])
        assert int(re.findall(r"\d+", frame["background"])[0]) == int(theme.page[1:3], 16)
        for image, kind in zip(frame["images"], figures(), strict=True):
            drawn = base64.b64encode((written / "files" / f"{kind}.{theme.name}.svg").read_bytes()).decode()
            assert image["source"].endswith(drawn)
    # Two columns on a desktop, one on a phone, where type of 13 pixels stays above 10.
    assert 440 <= wide["images"][0]["width"] <= 620
    assert narrow["images"][0]["width"] >= 340


def test_the_browser_would_tell(tmp_path: Path) -> None:
    """The look itself: a page that is wrong in every way is seen to be."""
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        "<html><body><p style='width:900px'>wide</p><img src='http://127.0.0.1:9/none.png'>"
        "<script>console.error('broken')</script></body></html>"
    )
    seen = look(wrong, tmp_path, widths=(390,))
    (frame,) = seen.frames
    assert any("broken" in line for line in seen.console)
    assert frame["scrolled"] > frame["width"]
    assert frame["requests"] == ["http://127.0.0.1:9/none.png"]
    assert not frame["images"][0]["loaded"]
    assert frame["images"][0]["alt"] == ""
