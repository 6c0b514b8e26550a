"""docs/benchmarks.md: what was measured, wins and losses alike, as tables and figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.markdown import table_of
from benchmarks.page.figures import Draw, growth, ratios
from benchmarks.page.markdown import number, points_of, rows_of
from benchmarks.page.part import Part
from benchmarks.page.sections.cost import TOKENS
from benchmarks.page.sheet import DOCUMENTS, modes
from vectorplug.evaluation.report.theme import DARK, LIGHT, drawn

__all__ = ["write_page"]

TITLES = {
    "maxsim": "MaxSim",
    "fde": "FDE",
    "encode": "Encoding",
    "search": "Index and search, end to end",
    "growth": "As it grows",
}
HEAD = """# Benchmarks

Written by `make bench`; change [benchmarks/page](../benchmarks/page), not this page. Real databases are in
[databases.md](databases.md), what each shortcut loses in [quality.md](quality.md), models in memory and servers in the
README.

Ours and every peer are processes of their own with the same number of threads. They take turns, in an order that is
shuffled every round, after one turn each that is not counted. Data are from fixed seeds. A cell is the median of a
table's rounds, with the least and the most. **Times ours** is how many times as long as the first row somebody takes:
below 1 (in bold) they are faster than we are. Milliseconds are of this machine on that day and differ by a fifth from
run to run: trust ratios more. A peer that is missing says how to get it.
"""
FORMULA = """
A collection of N documents of {tokens} tokens of 128 numbers, a query of 32 tokens, 100 candidates, on this machine's
{threads} threads, from pieces of work measured by themselves:

- bytes = N x (bytes of the vector a document + bytes of the tokens a document), without ids, texts and graph;
- milliseconds a query = encoding it + folding it + N x (milliseconds to score one document) + 100 candidates by MaxSim;
- milliseconds to index a document = encoding {tokens} tokens ({fast}) + folding them, without making codes of them.

The index is assumed to be **flat**: every document is scored by one machine with enough memory. 1 B documents on k such
machines take a k-th. A graph (HNSW) scores a few thousand vectors instead, adds about 132 bytes a document (m = 16) and
finds a part of what a scan finds: [databases.md](databases.md) has such searches measured, not reckoned. Codes of 8
bits and of 1 bit are scored by `FdeCodes`, which reads them where they lie: a query stays in float32, so the fewer
bytes of the documents are what it saves, in memory and in time.
"""


def write_page(folder: Path, parts: Sequence[Part]) -> Path:
    """The page and, in `benchmarks/` beside it, its figures as SVG and PNG, light and dark."""
    figures = folder / "benchmarks"
    figures.mkdir(parents=True, exist_ok=True)
    lines = [HEAD, *_follows(parts), "", *_machine(parts), ""] if parts else [HEAD, "Nothing has been measured yet."]
    for part in parts:
        if part.section in TITLES:
            lines += [*_section(part, figures), ""]
    if any(part.tables for part in parts):
        lines += [*_memory(parts), ""]
    found = {part.section: part for part in parts}
    if "cost" in found:
        lines += [*_costs(found["cost"], found.get("encode")), ""]
    path = folder / "benchmarks.md"
    path.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    return path


def _follows(parts: Sequence[Part]) -> Iterator[str]:
    """Everything that a peer is compared in, in order of how it went."""
    compared = [
        (table.times(row), f"{table.title}: {row.name}")
        for part in parts
        for table in part.tables
        if table.compared
        for row in table.rows
        if row.rival and not row.ours
    ]
    measured = sorted((times, said) for times, said in compared if times is not None)
    lost = [(times, said) for times, said in measured if times < 1]
    yield "## Won and lost"
    yield ""
    yield f"**Lost** ({len(lost)} of {len(measured)}; times ours):"
    yield ""
    yield from ([f"- **{times:.2f}** {said}" for times, said in lost] or ["- nothing"])
    yield ""
    yield f"**Won** ({len(measured) - len(lost)} of {len(measured)}; times ours):"
    yield ""
    yield from ([f"- {times:.2f} {said}" for times, said in measured[len(lost) :]] or ["- nothing"])


def _machine(parts: Sequence[Part]) -> Iterator[str]:
    yield "## The machine and the versions"
    yield ""
    for machine in dict.fromkeys(part.machine.model_dump_json() for part in parts):
        there = [part for part in parts if part.machine.model_dump_json() == machine]
        here = there[0].machine
        minutes = sum(part.seconds for part in there) / 60
        sections = ", ".join(part.section for part in there)
        yield (
            f"{sections}: {here.cpu} ({', '.join(here.features)}), {here.cores} cores, {here.memory_gb:g} GB, "
            f"{here.system}, Python {here.python}, {here.threads} threads; {minutes:.1f} min."
        )
    versions = {name: version for part in parts for name, version in part.versions.items()}
    yield ""
    yield ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + "."


def _section(part: Part, figures: Path) -> Iterator[str]:
    yield f"## {TITLES[part.section]}"
    if part.said:
        yield from ("", part.said)
    for table in part.tables:
        yield from ("", f"### {table.title}", "", *rows_of(table))
        if table.rows[0].taken and len([row for row in table.rows if row.taken]) > 1:
            yield from (
                "",
                _figure(figures, table.name, ratios(table), f"{table.title}: times as long as the first row"),
            )
    for curve in part.curves:
        yield from ("", f"### {curve.title}", "", curve.said, "", *points_of(curve), "")
        if any(line.points for line in curve.lines):
            yield _figure(figures, curve.name, growth(curve), f"{curve.title}: milliseconds, both axes logarithmic")


def _memory(parts: Sequence[Part]) -> Iterator[str]:
    """The peaks of all that was measured in tables, each once: a process does all works of its section."""
    peaks: dict[tuple[str, str], float] = {}
    for part in parts:
        for table in part.tables:
            peaks |= {(part.section, row.name): row.peak_mb for row in table.rows if row.peak_mb is not None}
    yield from (
        "## Memory",
        "",
        "The most that each process has had: Python, its libraries, the data and all works.",
        "",
    )
    yield from table_of(
        ("section", "", "peak MB"), ((TITLES[section], name, f"{mb:,.0f}") for (section, name), mb in peaks.items())
    )


def _costs(cost: Part, encode: Part | None) -> Iterator[str]:
    fast = "measured on MiniLM" if encode is not None and encode.costs else "not measured"
    yield "## Cost sheet"
    yield FORMULA.format(tokens=TOKENS, threads=cost.machine.threads, fast=fast)
    if cost.said:
        yield cost.said
    head = ["mode", "found by", "ranked by", "bytes a document", "ms to index one"]
    head += [f"{name}: GB" for name in DOCUMENTS] + [f"{name}: ms a query" for name in DOCUMENTS]
    rows = []
    for mode in modes(cost, encode):
        sizes = [f"{mode.bytes * count / 1e9:,.1f}" for count in DOCUMENTS.values()]
        times = [number(mode.query(count)) for count in DOCUMENTS.values()]
        index = "" if mode.index is None else f"{mode.index:.2f}"
        rows.append([mode.name, mode.found_by, mode.ranked_by, f"{mode.bytes:,.0f}", index, *sizes, *times])
    yield from table_of(head, rows)


def _figure(folder: Path, name: str, draw: Draw, alt: str) -> str:
    for theme, suffix in ((LIGHT, ""), (DARK, "-dark")):
        for kind in ("svg", "png"):
            (folder / f"{name}{suffix}.{kind}").write_bytes(drawn(draw, theme, kind))
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="benchmarks/{name}-dark.svg">'
    return f'<picture>{dark}<img alt="{alt}" src="benchmarks/{name}.svg"></picture>'
