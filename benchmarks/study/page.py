"""docs/quality.md: what was measured, as tables and figures, and what follows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.markdown import table_of
from benchmarks.study.advice import choice
from benchmarks.study.figure import families
from benchmarks.study.part import Line, Part, TimedLine
from vectorplug.evaluation.report.data import Point
from vectorplug.evaluation.report.figures import front
from vectorplug.evaluation.report.theme import LIGHT
from vectorplug.evaluation.statistics import Interval

__all__ = ["write_page"]

SURE = 0.05
HEAD = """# How much every shortcut loses

Written by `make study PLAID=PYTHON`, PYTHON being that of an environment with fast-plaid; change
[benchmarks/study](../benchmarks/study), not this page. What a shortcut loses on *your* texts `vectorplug eval` and
`vectorplug tune` say; this page is about the collections at hand.

**Read this first.** {models}
Every figure is a mean over queries, with its 95 % bootstrap interval; two ways whose intervals overlap may still differ
surely, since the same queries were asked: the column *against published* is a paired test. **10R@10** and **10R@100**
are the shares of exact MaxSim's ten best documents among the first 10 and the first 100 that one inner product finds.
**nDCG@10** is of people's judgements: of the vector alone, and after exact MaxSim has ranked its first 50 or 100. Bytes
are of the vectors alone, without ids, payload or graph.
"""


def write_page(folder: Path, parts: Sequence[Part]) -> Path:
    """The page and, in `quality/` beside it, a figure of each part as SVG and PNG."""
    models = "; ".join(f"*{name}* is {encoder}" for name, encoder in {p.model: p.encoder for p in parts}.items())
    caveat = (
        f"{models}. MiniLM was never trained for late interaction: its tokens are its last hidden states, its dense "
        "vector is as good as an FDE. Of a model that was trained for MaxSim its figures say little. One that was "
        "gives as dense vector the mean of its tokens at unit norm."
    )
    lines = [HEAD.format(models=caveat)]
    lines += [choice(parts), "## Beside MUVERA as published", "", *_follows(parts), ""]
    for part in parts:
        lines += [*_part(part, folder / "quality"), ""]
    path = folder / "quality.md"
    path.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    return path


def _follows(parts: Sequence[Part]) -> Iterator[str]:
    """What is surely better than the published default on all parts, what on some, what on none."""
    verdicts: dict[str, list[str]] = {}
    for part in parts:
        for line in (part.singles or ())[1:]:
            verdicts.setdefault(line.name, []).append(_verdict(line))
    whole = {name: said for name, said in verdicts.items() if len(said) == len(parts)}
    groups = (
        ("Better than MUVERA as published on every part", [n for n, said in whole.items() if set(said) == {"better"}]),
        ("Worse on every part", [n for n, said in whole.items() if set(said) == {"worse"}]),
        ("No sure difference anywhere", [n for n, said in whole.items() if set(said) == {"same"}]),
    )
    named = set()
    for title, names in groups:
        named |= set(names)
        yield f"- **{title}** (10R@100, paired, p < {SURE}): {'; '.join(names) or 'none'}."
    mixed = [
        f"{name} ({', '.join(f'{part.collection} {part.model}: {v}' for part, v in zip(parts, said, strict=True))})"
        for name, said in whole.items()
        if name not in named
    ]
    yield f"- **Depends**: {'; '.join(mixed) or 'none'}."


def _verdict(line: Line) -> str:
    if line.p is None or line.p >= SURE:
        return "same"
    return "better" if line.change > 0 else "worse"


def _part(part: Part, folder: Path) -> Iterator[str]:
    yield f"## {part.collection}, {part.model}"
    yield ""
    yield (
        f"{part.documents:,} documents of {part.tokens:.0f} tokens of {part.dim} numbers, {part.queries:,} judged "
        f"queries. Exact MaxSim: nDCG@10 {_cell(part.exact)}."
    )
    yield ""
    yield from _singles(part.singles or ())
    yield ""
    for kind in ("svg", "png"):
        (folder / f"{part.name}.{kind}").write_bytes(families(part.singles or (), LIGHT, kind))
    yield f"![10R@100 of every vector above against its bytes.](quality/{part.name}.svg)"
    yield ""
    yield "Fewer bits or fewer tokens, all documents ranked by MaxSim of what is kept:"
    yield ""
    yield from table_of(
        ("tokens", "bytes", "10R@10", "nDCG@10"),
        (
            (each.name, _count(each.bytes), _cell(each.within_10), _cell(each.ndcg[0]))
            for each in part.tokens_kept or ()
        ),
    )
    yield ""
    yield f"Which tokens to keep, of {part.curve_documents:,} documents (overlap with the ten best of all tokens):"
    yield ""
    yield from _curve(part)
    yield ""
    yield "Two stages in memory; PLAID on the same tokens, at another time on the same shared machine:"
    yield ""
    timed = (*(part.two_stages or ()), *(part.plaid or ()))
    yield from _timed(timed)
    yield ""
    figure = front("", "bytes a document", "10R@10", [_point(each) for each in timed], None)
    for kind, content in (("svg", figure.svg(LIGHT)), ("png", figure.png(LIGHT))):
        (folder / f"{part.name}-stages.{kind}").write_bytes(content)
    yield f"![{figure.alt}](quality/{part.name}-stages.svg)"
    if part.missing is not None:
        yield f"\nPLAID is missing: {part.missing}."


def _point(timed: TimedLine) -> Point:
    share = timed.line.within_10
    name = timed.line.name.replace(", MaxSim of 100 in", " +")
    return Point(timed.line.bytes, share.mean, share.low, share.high, name)


def _singles(lines: Sequence[Line]) -> Iterator[str]:
    head = ("vector", "bytes", "10R@10", "10R@100", "against published", "nDCG@10", "of 50 reranked", "of 100 reranked")
    yield from table_of(
        head,
        (
            (
                each.name,
                _count(each.bytes),
                _cell(each.within_10),
                _cell(each.within_100),
                "" if each is lines[0] else f"{each.change:+.3f}, {_verdict(each)}",
                *(_cell(values) for values in each.ndcg),
            )
            for each in lines
        ),
    )


def _curve(part: Part) -> Iterator[str]:
    points = part.curve or ()
    methods = list(dict.fromkeys(each.method for each in points if each.method not in ("all", "mean")))
    by_method = {method: [each for each in points if each.method == method] for method in methods}
    rows = []
    for i in range(max((len(each) for each in by_method.values()), default=0)):
        row = [by_method[method][i] for method in methods]
        rows.append((f"{row[0].tokens:.0f}", *(_cell(point.overlap) for point in row)))
    yield from table_of(("tokens a document", *methods), rows)


def _timed(timed: Sequence[TimedLine]) -> Iterator[str]:
    first = timed[0].ms
    yield from table_of(
        ("search", "bytes", "10R@10", "10R@100", "nDCG@10", "time a query, exact = 1", "index, s"),
        (
            (
                each.line.name,
                _count(each.line.bytes),
                _cell(each.line.within_10),
                _cell(each.line.within_100),
                _cell(each.line.ndcg[0]),
                f"{each.ms / first:.2g}",
                f"{each.index_seconds:.0f}",
            )
            for each in timed
        ),
    )


def _cell(values: Interval) -> str:
    if values.low is None or values.high is None:
        return f"{values.mean:.3f}"
    return f"{values.mean:.3f} ({values.low:.3f}-{values.high:.3f})"


def _count(number: float) -> str:
    return f"{number:,.0f}"
