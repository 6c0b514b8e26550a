"""One HTML file that holds everything it shows: no network, no script, light and dark."""

import base64
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from vectorplug.errors import InputError
from vectorplug.evaluation.report.data import Table
from vectorplug.evaluation.report.figures import Figure
from vectorplug.evaluation.report.theme import DARK, LIGHT, THEMES, Theme

__all__ = ["Section", "document", "save", "write"]

# Rows that a page shows of a table, and those that it shows at once; its CSV has them all.
MOST_ROWS = 500
SCREEN_ROWS = 20


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs with an empty line between two, then a figure (its table folded below it) and a table."""

    title: str
    text: str = ""
    figure: Figure | None = None
    table: Table | None = None


def write(
    path: str | Path, title: str, summary: Sequence[str], sections: Sequence[Section], *, files: Path | None = None
) -> None:
    """Write the page; into the folder `files`, where given, every figure as SVG and PNG and every table as CSV.

    `figures.json` there holds all figures' data. The same input gives the same bytes. InputError where a file cannot
    be written.
    """
    lead = "".join(f"<p>{escape(line)}</p>" for line in summary)
    names = _names(sections)
    cards = "".join(_card(section, name) for section, name in zip(sections, names, strict=True))
    body = f'<header><h1>{escape(title)}</h1>{lead}</header><main class="grid">{cards}</main>'
    save(path, document(title, body))
    if files is not None:
        _write_files(files, sections, names)


def document(title: str, body: str, style: str = "") -> str:
    """A whole page around `body`; the browser is told to fetch nothing, whatever is in it."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
:root {{ {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
{STYLE}{style}</style>
</head>
<body>{body}</body>
</html>
"""


def save(path: str | Path, text: str) -> None:
    """Write a text file, complete or not at all; InputError where it cannot be written."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, "utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): name a file in a folder that exists."
        ) from error


STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 20px 16px 40px; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 8px; }
h2 { font-size: 1.1rem; line-height: 1.3; margin: 0 0 6px; }
p { margin: 0 0 8px; max-width: 46rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px;
  margin-top: 16px; align-items: start; }
section { background: var(--surface); border: 1px solid var(--grid); border-radius: 8px; padding: 14px 16px;
  min-width: 0; }
section.wide { grid-column: 1 / -1; }
figure { margin: 8px auto 0; max-width: 560px; }
img { display: block; width: 100%; height: auto; }
details { margin-top: 8px; }
summary { cursor: pointer; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 12px 3px 0; text-align: left; border-bottom: 1px solid var(--grid); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
th, td { overflow-wrap: normal; }
td:first-child { min-width: 12rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
@media (max-width: 480px) { body { padding: 14px 10px 32px; } section { padding: 12px 10px; } }
@media print { body { max-width: none; } section { break-inside: avoid; } }
"""


def _variables(theme: Theme) -> str:
    names = ("page", "surface", "text", "soft", "grid", "accent", "heat")
    return " ".join(f"--{name}: {getattr(theme, name)};" for name in names)


def _card(section: Section, name: str) -> str:
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in section.text.split("\n\n") if part.strip())
    figure = "" if section.figure is None else _figure(section.figure)
    table = "" if section.table is None else _folded(section.table)
    wide = ' class="wide"' if section.figure is None and section.table is not None else ""
    return f'<section id="{name}"{wide}><h2>{escape(section.title)}</h2>{paragraphs}{figure}{table}</section>'


def _folded(table: Table) -> str:
    """A table that is longer than a screen is opened by whoever wants it."""
    if len(table.rows) <= SCREEN_ROWS:
        return _table(table)
    return f"<details><summary>All {len(table.rows):,} rows</summary>{_table(table)}</details>"


def _figure(figure: Figure) -> str:
    light, dark = (f"data:image/svg+xml;base64,{base64.b64encode(figure.svg(each)).decode()}" for each in THEMES)
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" width="456" height="336" alt="{escape(figure.title)}. {escape(figure.alt)}"></picture>'
        f"</figure><details><summary>The figure's numbers</summary>{_table(figure.table)}</details>"
    )


def _table(table: Table) -> str:
    columns = [_column([row[i] for row in table.rows]) for i in range(len(table.columns))]
    kinds = [' class="number"' if numeric else "" for _, numeric in columns]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(table.columns, kinds, strict=True))
    rows = zip(*(cells for cells, _ in columns), strict=True)
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in itertools.islice(rows, MOST_ROWS)
    )
    rest = len(table.rows) - MOST_ROWS
    more = f"<p>And {rest:,} rows more.</p>" if rest > 0 else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _column(values: Sequence[str | float | None]) -> tuple[list[str], bool]:
    """Its cells, numbers with as many decimals as each other, and whether it holds numbers alone."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if any(isinstance(value, str) for value in values) or not numbers:
        return ["" if value is None else str(value) for value in values], False
    largest = max(abs(number) for number in numbers)
    whole = all(number == int(number) for number in numbers)
    decimals = 0 if whole or largest >= 10_000 else 4 if largest < 10 else 2
    return ["" if value is None else f"{value:,.{decimals}f}" for value in values], True


def _names(sections: Sequence[Section]) -> list[str]:
    """A file's name of each section's title, all different."""
    names: list[str] = []
    for section in sections:
        plain = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        names.append(plain if plain not in names else f"{plain}-{len(names) + 1}")
    return names


def _write_files(folder: Path, sections: Sequence[Section], names: Sequence[str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = {}
        for section, name in zip(sections, names, strict=True):
            if section.figure is not None:
                data[name] = {"title": section.figure.title, "alt": section.figure.alt, **asdict(section.figure.table)}
                for theme in THEMES:
                    (folder / f"{name}.{theme.name}.svg").write_bytes(section.figure.svg(theme))
                    (folder / f"{name}.{theme.name}.png").write_bytes(section.figure.png(theme))
                (folder / f"{name}.csv").write_text(section.figure.table.to_csv(), "utf-8")
            if section.table is not None:
                beside = "" if section.figure is None else "-table"
                (folder / f"{name}{beside}.csv").write_text(section.table.to_csv(), "utf-8")
        (folder / "figures.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written into ({error.strerror}): name another folder.") from error
