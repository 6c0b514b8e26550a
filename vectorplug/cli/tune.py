"""`vectorplug tune`: which parameters to use, on the user's own data."""

from contextlib import ExitStack
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
    Store,
    check_plots,
    encoded_cache,
    make_vectorizer,
)
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.settings import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectorplug.evaluation.tuning import Choice, Tuning
    from vectorplug.evaluation.workload import Workload
    from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["tune"]

DEFAULT_OUT = Path("tuned.toml")
# Recalls whose cheapest config is shown.
SHOWN = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1.0)


def tune(
    source: Annotated[
        str,
        typer.Argument(
            help="Texts, or BEIR's layout: corpus.jsonl, queries.jsonl. Or a collection that exists, by its store: "
            "edge:FOLDER, qdrant+http://HOST:6333."
        ),
    ],
    budget_bytes: Annotated[float | None, typer.Option(help="The most bytes of vectors a document.")] = None,
    budget_ms: Annotated[float | None, typer.Option(help="The most milliseconds a query.")] = None,
    target_recall: Annotated[
        float, typer.Option(help="The least share of exact MaxSim's ten best among the ten best found.")
    ] = 0.95,
    documents_total: Annotated[
        int | None, typer.Option(min=1, help="How many documents there will be: as many as there are.")
    ] = None,
    model: Model = None,
    store: Store = None,
    collection: Collection = None,
    queries: Queries = None,
    qrels: Qrels = None,
    documents: Annotated[int, typer.Option(min=1, help="At most so many are encoded; of more a sample.")] = 10_000,
    questions: Annotated[int, typer.Option(min=1, help="At most so many queries.")] = 200,
    field: Field = "text",
    out: Annotated[
        Path | None, typer.Option(help="Where the config is written: tuned.toml, unless it is there.", dir_okay=False)
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write this page of plots, with the curve of fewer tokens.", dir_okay=False)
    ] = None,
    plots: Plots = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Find the parameters that keep budgets and recall, and write them as a config that `index` takes.

    Everything is encoded once. Ctrl-C ends the search with the best so far; the second time at once.
    """
    from vectorplug.evaluation.tuning import Budget
    from vectorplug.evaluation.tuning import tune as run
    from vectorplug.evaluation.tuning.sources import from_folder, from_store
    from vectorplug.evaluation.workload import encode_workload
    from vectorplug.search import open_store

    budget = Budget(target_recall, budget_bytes, budget_ms)
    check_plots(plots, report)
    vectorizer: TextVectorizer
    with ExitStack() as stack:
        if Path(source).is_dir() or ":" not in source:
            given = from_folder(Path(source), queries=queries, qrels=qrels, questions=questions, seed=0)
            url, there, vectorizer = store or settings().store, len(given.documents), make_vectorizer(model)
        else:
            if model is not None or qrels is not None:
                raise ConfigurationError(
                    "a store's collection has its own model, and is tuned without judgements: leave --model and "
                    "--qrels out, or tune for a folder."
                )
            name = collection or settings().collection
            opened = stack.enter_context(open_store(source, collection=name))
            given = from_store(opened, field=field, documents=documents, queries=queries, questions=questions, seed=0)
            url, there, vectorizer = store or source, opened.count(), opened.vectorizer
        total = documents_total or there
        if total < there:
            raise InputError(f"--documents-total is {total:,}, and {there:,} documents are here already.")
        workload = encode_workload(
            given,
            vectorizer,
            cache=encoded_cache(cache),
            documents=documents,
            queries=questions,
        )
        outcome = run(workload, vectorizer, budget, store_url=url, documents_total=total)
        if report is not None:
            _report(report, plots, outcome, workload, vectorizer)
    written = _write(outcome, out)
    if as_json:
        print_json(outcome.model_dump(mode="json", by_alias=True))
    else:
        _print(outcome)
    for note in (*outcome.notes, written):
        notes.print(f"note: {escape(note)}", style="yellow")
    if outcome.partial:
        raise typer.Exit(130)


def _write(outcome: "Tuning", out: Path | None) -> str:
    """Write the config, and say where."""
    from vectorplug.search.config import IndexConfig

    if out is None and DEFAULT_OUT.exists():
        return f"{DEFAULT_OUT} is there and stays as it is: name a file for the config with --out."
    path = out or DEFAULT_OUT
    try:
        IndexConfig.of(outcome.recommendation.config).write(path)
    except OSError as error:
        raise ConfigurationError(
            f"the config cannot be written, {path}: {error.strerror}. Name another file."
        ) from error
    return f"the config is in {path}: vectorplug index PATH... --config {path}"


def _report(
    path: Path, plots: Path | None, outcome: "Tuning", workload: "Workload", vectorizer: "TextVectorizer"
) -> None:
    from vectorplug.evaluation.report import write
    from vectorplug.evaluation.token_curve import token_curve
    from vectorplug.evaluation.tuning.picturing import sections, summary

    curve = None if outcome.partial else token_curve(workload, vectorizer)
    write(path, f"Tuning {outcome.collection}", summary(outcome), sections(outcome, curve), files=plots)


def _print(outcome: "Tuning") -> None:
    best = outcome.recommendation
    results.print(
        f"[bold]{escape(outcome.collection)}[/]: {outcome.tried:,} configs on {outcome.documents:,} documents and "
        f"{outcome.queries:,} queries, for {outcome.documents_total:,} documents, {escape(outcome.model)}"
    )
    numbers = ("recall@10", "95 %", "bytes", "ms")
    listing = table(*numbers, "candidates found by; tokens that rank again", right=numbers)
    for choice in _shown(outcome):
        told = choice.predicted
        listing.add_row(
            f"{told.recall_at_10:.3f}",
            "-" if told.recall_low is None else f"{told.recall_low:.2f}-{told.recall_high:.2f}",
            f"{told.bytes_per_document:,.0f}",
            f"{told.ms_per_query:,.1f}",
            f"{'* ' if choice.config == best.config else ''}{choice.label}",
        )
    results.print(listing)
    results.print(f"[bold]{'partial answer: ' if outcome.partial else ''}{escape(best.label)}[/] (*): {best.why}")
    told = best.predicted
    graph = f", and {told.graph_bytes_per_document * outcome.documents_total / 1e6:,.0f} MB of links of the graph"
    results.print(
        f"{told.total_bytes / 1e6:,.0f} MB of vectors for {outcome.documents_total:,} documents"
        f"{graph if told.graph_bytes_per_document else ''}; {told.memory_bytes_per_document:,.0f} bytes a document are "
        "searched"
    )
    for line in outcome.basis:
        results.print(f"  {escape(line)}", style="dim")


def _shown(outcome: "Tuning") -> "Sequence[Choice]":
    """The recommended one, and of the front the cheapest (bytes x milliseconds) for each of some recalls."""
    chosen = {id(choice): choice for choice in outcome.front if choice.config == outcome.recommendation.config}
    for recall in SHOWN:
        able = [choice for choice in outcome.front if choice.predicted.recall_at_10 >= recall]
        if able:
            best = min(able, key=lambda each: each.predicted.bytes_per_document * each.predicted.ms_per_query)
            chosen[id(best)] = best
    return sorted(chosen.values(), key=lambda choice: choice.predicted.recall_at_10)
