"""The page of an evaluation: what each mode costs, which queries lose, and what the probes say."""

from collections.abc import Sequence

from vectorplug.encoded import Output
from vectorplug.evaluation.probes import ProbeResult
from vectorplug.evaluation.report import Loss, Point, Section, Series, Table, bars, front, losses
from vectorplug.evaluation.results import Evaluation

__all__ = ["sections", "summary"]


def summary(outcome: Evaluation) -> list[str]:
    """What stands at the head of the page."""
    return [
        f"{outcome.documents:,} documents, {outcome.queries:,} queries, {outcome.model}. Target: {outcome.target}.",
        *outcome.notes,
    ]


def sections(outcome: Evaluation, probes: Sequence[ProbeResult]) -> list[Section]:
    """Quality against bytes and milliseconds, the losses of each mode query by query, the probes, and all figures."""
    compared = outcome.compared
    found = []
    for what, cost in (("bytes of vectors a document", "bytes"), ("ms a query, without encoding it", "milliseconds")):
        points = []
        for name, figures in outcome.modes.items():
            quality = figures.intervals[compared]
            x = figures.bytes_per_document if cost == "bytes" else figures.ms_per_query.p50
            points.append(Point(x, quality.mean, quality.low, quality.high, name))
        title = f"{compared} against {cost}"
        found.append(Section(title, "The modes, with 95 % intervals.", front(title, what, compared, points, None)))
    for mode in outcome.losers:
        values = [
            Loss(query.text, query.figures[mode][compared] - query.figures["native"][compared])
            for query in outcome.per_query
            if "native" in query.figures
        ]
        if values:
            text = "What changes for each query against native, exact MaxSim of every document."
            found.append(Section(f"{mode}: query by query", text, losses(f"{mode}, query by query", compared, values)))
    if probes:
        found.append(_probes(probes))
    rows = tuple(
        (name, each, quality.mean, quality.low, quality.high)
        for name, figures in outcome.modes.items()
        for each, quality in figures.intervals.items()
    )
    return [*found, Section("All figures", table=Table(("mode", "figure", "mean", "low", "high"), rows))]


def _probes(probes: Sequence[ProbeResult]) -> Section:
    names: dict[Output, str] = {"tokens": "tokens (MaxSim)", "fde": "FDE", "dense": "dense"}
    series = [
        Series(
            said,
            tuple(
                Point(float(i), each.shares[name].mean, each.shares[name].low, each.shares[name].high, each.kind)
                for i, each in enumerate(probes)
            ),
        )
        for name, said in names.items()
        if all(name in each.shares for each in probes)
    ]
    text = (
        "Pairs of texts made of these documents: how often the right one scores higher than the one that looks alike. "
        "0.5 is chance. " + "; ".join(f"{each.kind}: {each.pairs} pairs" for each in probes) + "."
    )
    return Section("Probes", text, bars("Probes", "share of pairs ranked right", series))
