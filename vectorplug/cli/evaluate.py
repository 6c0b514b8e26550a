"""`vectorplug eval`: how good is every mode on a collection, and how much does each lose."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from vectorplug.cli.console import notes, print_json, results, table
from vectorplug.cli.options import (
    Cache,
    Collection,
    Field,
    Json,
    Model,
    Plots,
    Qrels,
    Queries,
    check_plots,
    encoded_cache,
    make_vectorizer,
)
from vectorplug.search.modes import VECTOR_MODES
from vectorplug.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from vectorplug.evaluation.probes import ProbeResult
    from vectorplug.evaluation.results import Evaluation, Loser, Missed, ModeResult
    from vectorplug.evaluation.statistics import Interval

__all__ = ["evaluate"]

SHOWN = 2
SNIPPET = 60


def evaluate(
    folder: Annotated[
        str,
        typer.Argument(
            help="Texts (.txt, .md, .html, .csv, .jsonl), or BEIR's layout: corpus.jsonl, queries.jsonl, qrels.tsv. Or "
            "a collection that exists, by its store: edge:FOLDER, qdrant+http://HOST:6333."
        ),
    ],
    model: Model = None,
    modes: Annotated[
        str | None, typer.Option(help="Which, with commas between; by default all that there are vectors for.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="How many exact MaxSim ranks in the +rerank modes: 100.")
    ] = None,
    store: Annotated[
        str, typer.Option(help="Where a FOLDER's vectors go: memory: is exact; edge:FOLDER measures the engine.")
    ] = "memory:",
    collection: Collection = None,
    queries: Queries = None,
    qrels: Qrels = None,
    documents: Annotated[
        int | None, typer.Option(min=1, help="At most so many; of a store's, at most 10,000 are read.")
    ] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="At most so many queries.")] = None,
    field: Field = "text",
    losers: Annotated[int, typer.Option(min=0, help="How many of each mode's worst queries are told.")] = 3,
    probes: Annotated[
        bool, typer.Option("--probes", help="Also try pairs of texts: word order, names, phrases, long texts.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Also write this page of pictures.", dir_okay=False)] = None,
    plots: Plots = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure how much every mode loses: against judgements where there are any, and against exact MaxSim.

    Without queries, questions are drawn from the documents. The same command again goes on where one was stopped.
    """
    from vectorplug.evaluation.collections import read_collection, read_qrels, read_queries
    from vectorplug.evaluation.probes import ProbeResult, make_probes, probe
    from vectorplug.evaluation.runner import evaluate as run
    from vectorplug.evaluation.stored import READ, evaluate_store, read_stored
    from vectorplug.search import open_store

    check_plots(plots, report)
    tried: list[ProbeResult] = []
    kept = encoded_cache(cache)
    names = None if modes is None else [name.strip() for name in modes.split(",")]
    if Path(folder).is_dir() or ":" not in folder:
        given = read_collection(folder, queries=queries, qrels=qrels)
        own = make_vectorizer(model)
        outcome = run(
            given,
            own,
            VECTOR_MODES if names is None else names,
            store_url=store,
            candidates=candidates or 100,
            cache=kept,
            documents=documents,
            queries=questions,
            losers=losers,
        )
        if probes:
            tried = probe(make_probes(given.documents), own)
    else:
        vectorizer = None if model is None else make_vectorizer(model)
        name = collection or settings().collection
        with open_store(folder, collection=name, vectorizer=vectorizer) as opened:
            outcome = evaluate_store(
                opened,
                names,
                field=field,
                queries=None if queries is None else read_queries(queries),
                qrels=None if qrels is None else read_qrels(qrels),
                documents=documents or READ,
                questions=questions or 200,
                candidates=candidates,
                cache=kept,
                losers=losers,
            )
            if probes:
                tried = probe(make_probes(read_stored(opened, field, documents or READ).documents), opened.vectorizer)
        outcome = outcome.model_copy(update={"store": folder})
    if report is not None:
        _write(report, plots, outcome, tried)
    if as_json:
        found = outcome.model_dump(mode="json", by_alias=True)
        print_json(found | {"probes": [each.model_dump(mode="json") for each in tried]} if probes else found)
    else:
        _print(outcome)
        if tried:
            results.print(_probes(tried))


def _write(page: Path, plots: Path | None, outcome: "Evaluation", tried: "Sequence[ProbeResult]") -> None:
    from vectorplug.evaluation.picturing import sections, summary
    from vectorplug.evaluation.report import write

    write(page, f"What {outcome.collection} loses", summary(outcome), sections(outcome, tried), files=plots)
    notes.print(f"pictures: {page}", style="dim")


def _probes(tried: "Sequence[ProbeResult]") -> "Table":
    outputs = list(tried[0].shares)
    listing = table("right first", "pairs", *outputs, right=("pairs", *outputs))
    for each in tried:
        cells = [f"{share.mean:.2f}  {_short(share)}" for share in each.shares.values()]
        listing.add_row(each.kind, f"{each.pairs:,}", *cells)
    return listing


def _print(outcome: "Evaluation") -> None:
    results.print(
        f"[bold]{escape(outcome.collection)}[/]: {outcome.documents:,} documents, {outcome.queries:,} queries, "
        f"{escape(outcome.model)}; {outcome.documents_per_second:.0f} documents encoded a second, "
        f"{outcome.truncated:,} cut at the model's limit"
    )
    results.print(f"target: {outcome.target}")
    results.print(_table(outcome))
    for mode, lost in outcome.losers.items():
        for loser in lost:
            _print_loser(mode, outcome.compared, loser)
    for note in outcome.notes:
        notes.print(f"note: {escape(note)}", style="yellow")


def _table(outcome: "Evaluation") -> "Table":
    judged = outcome.compared != "overlap@10"
    first = ("nDCG@10", "95 %", "p", "R@100", "overlap") if judged else ("overlap@10", "95 %", "p", "RBO", "10R@100")
    numbers = (*first, "bytes", "ms")
    listing = table("mode", *numbers, right=numbers)
    for name, figures in outcome.modes.items():
        intervals = figures.intervals
        others = ("recall@100", "overlap@10") if judged else ("rbo", "10r@100")
        listing.add_row(
            name,
            f"{intervals[outcome.compared].mean:.4f}",
            _range(intervals[outcome.compared]),
            _probability(figures),
            *(f"{intervals[each].mean:.3f}" for each in others),
            f"{figures.bytes_per_document:,.0f}",
            f"{figures.ms_per_query.p50:.1f}",
        )
    return listing


def _range(interval: "Interval") -> str:
    return "-" if interval.low is None else f"{interval.low:.3f}-{interval.high:.3f}"


def _short(interval: "Interval") -> str:
    """With two decimals, so that three columns of them fit a terminal."""
    return "-" if interval.low is None else f"{interval.low:.2f}-{interval.high:.2f}"


def _probability(figures: "ModeResult") -> str:
    if figures.p_value is None:
        return "-"
    return "<.001" if figures.p_value < 0.001 else f"{figures.p_value:.3f}".removeprefix("0")


def _print_loser(mode: str, compared: str, loser: "Loser") -> None:
    results.print(
        f"{mode} {compared} {loser.value:.2f}, native {loser.native:.2f}: "
        f"[bold]{escape(loser.id)}[/] {escape(_cut(loser.text))}"
    )
    for missed in loser.missed[:SHOWN]:
        results.print(
            f"    missed exact {missed.rank}{_grade(missed)}: {escape(missed.id)} {escape(_cut(missed.text))}",
            style="dim",
        )


def _grade(missed: "Missed") -> str:
    return "" if missed.grade is None else f", judged {missed.grade}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SNIPPET else f"{text[: SNIPPET - 1]}…"
