"""The report's sections about tuning: the front, what candidates buy, and what fewer tokens cost."""

from collections.abc import Callable, Sequence

from vectorplug.evaluation.report import Figure, Point, Section, Series, Table, curve, front
from vectorplug.evaluation.statistics import Interval
from vectorplug.evaluation.token_curve import TokenCurve
from vectorplug.evaluation.tuning.results import Choice, Tuning

__all__ = ["sections", "summary"]

RECALL = "recall@10 of exact MaxSim"
# Curves of candidates that one picture can hold.
MOST_CURVES = 5


def summary(outcome: Tuning) -> list[str]:
    """What stands at the head of the page."""
    best = outcome.recommendation
    said = [f"{'Partial answer: ' if outcome.partial else ''}{best.label}. {best.why[:1].upper()}{best.why[1:]}"]
    said.append(
        f"{outcome.tried:,} configs were measured with {outcome.model} on {outcome.documents:,} documents and "
        f"{outcome.queries:,} queries, for a collection of {outcome.documents_total:,} documents."
    )
    return [*said, *outcome.notes]


def sections(outcome: Tuning, tokens: TokenCurve | None) -> list[Section]:
    """Pictures with what they rest on; without `tokens` there is no curve of them."""
    best = next(choice for choice in outcome.front if choice.config == outcome.recommendation.config)
    found = [
        Section(
            "Quality against bytes",
            "Every config that no other beats in recall, bytes and milliseconds together.",
            _front(outcome, best, "bytes of vectors a document", lambda each: each.predicted.bytes_per_document),
        ),
        Section(
            "Quality against milliseconds",
            "The same configs. " + " ".join(f"{line[:1].upper()}{line[1:]}." for line in outcome.basis),
            _front(outcome, best, "ms a query", lambda each: each.predicted.ms_per_query),
        ),
    ]
    if curves := _candidates(outcome):
        found.append(
            Section(
                "Quality against candidates",
                "How much more is found when more documents are ranked again, for the configs of the front.",
                curve("Quality against candidates", "candidates", RECALL, curves, log_x=True),
            )
        )
    if tokens is not None:
        found += _tokens(tokens)
    rows = tuple(_row(choice) for choice in outcome.front)
    columns = ("config", RECALL, "low", "high", "bytes a document", "ms a query")
    return [*found, Section("The front", "All its configs.", table=Table(columns, rows))]


def _front(outcome: Tuning, best: Choice, label: str, cost: Callable[[Choice], float]) -> Figure:
    points = {id(choice): _point(choice, cost(choice)) for choice in outcome.front}
    return front(f"Quality against {label}", label, RECALL, list(points.values()), points[id(best)])


def _point(choice: Choice, x: float) -> Point:
    told = choice.predicted
    return Point(x, told.recall_at_10, told.recall_low, told.recall_high, _short(choice))


def _short(choice: Choice) -> str:
    """Enough to tell it from its neighbours in a picture."""
    finder = choice.label.partition(",")[0]
    return f"{finder}, {choice.config['candidates']}"


def _candidates(outcome: Tuning) -> list[Series]:
    series: dict[str, list[Point]] = {}
    for choice in outcome.front:
        finder, _, tokens = (part.strip() for part in choice.label.split(";"))
        series.setdefault(f"{finder}; {tokens}", []).append(_point(choice, float(choice.config["candidates"])))
    longest = sorted((name for name in series if len(series[name]) > 1), key=lambda name: -len(series[name]))
    return [Series(name, tuple(series[name])) for name in longest[:MOST_CURVES]]


def _tokens(tokens: TokenCurve) -> list[Section]:
    said = (
        f"{tokens.documents:,} documents, {tokens.queries:,} queries. Pooled: neighbours merged. Distinct: those least "
        "like one before them. First: the start of the text. Rare: those whose characters few documents have. Mean: "
        "one vector. " + " ".join(tokens.notes)
    )
    found = [
        Section(
            "What fewer tokens cost: overlap",
            said,
            _curve(tokens, "overlap@10 with all tokens", [(p.method, p.tokens, p.overlap) for p in tokens.points]),
        )
    ]
    judged = [(p.method, p.tokens, p.ndcg) for p in tokens.points if p.ndcg is not None]
    if judged:
        text = "The same by people's judgements."
        found.append(Section("What fewer tokens cost: nDCG@10", text, _curve(tokens, "nDCG@10", judged)))
    return found


def _curve(tokens: TokenCurve, y_label: str, values: Sequence[tuple[str, float, Interval]]) -> Figure:
    (whole,) = [Point(x, y.mean, y.low, y.high) for method, x, y in values if method == "all"]
    series = []
    for name in dict.fromkeys(point.method for point in tokens.points if point.method != "all"):
        own = [Point(x, y.mean, y.low, y.high) for method, x, y in values if method == name]
        # Every way to keep fewer begins with all; the mean is one point.
        series.append(Series(name, tuple(own if name == "mean" else [whole, *own])))
    return curve(f"{y_label} against tokens kept", "tokens a document", y_label, series, log_x=True)


def _row(choice: Choice) -> tuple[str, float, float | None, float | None, float, float]:
    told = choice.predicted
    return (
        choice.label,
        told.recall_at_10,
        told.recall_low,
        told.recall_high,
        told.bytes_per_document,
        told.ms_per_query,
    )
