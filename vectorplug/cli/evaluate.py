"""`vectorplug eval`: how good is every mode on a collection with judgements, and how much does each lose."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vectorplug.cli.console import notes, print_json, results, table
from vectorplug.cli.options import Json, Model, make_vectorizer
from vectorplug.search.modes import VECTOR_MODES

if TYPE_CHECKING:
    from vectorplug.evaluation.runner import Evaluation

__all__ = ["evaluate"]


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="BEIR layout: corpus.jsonl, queries.jsonl, qrels.tsv.", exists=True, file_okay=False)
    ],
    model: Model = None,
    modes: Annotated[str, typer.Option(help="Which, with commas between.")] = ",".join(VECTOR_MODES),
    candidates: Annotated[int, typer.Option(min=1, help="How many exact MaxSim ranks in the +rerank modes.")] = 100,
    store: Annotated[str, typer.Option(help="memory: is exact; edge:FOLDER measures the embedded engine.")] = "memory:",
    as_json: Json = False,
) -> None:
    """Measure nDCG@10, Recall@100, the overlap with exact MaxSim, bytes and milliseconds of every mode."""
    from vectorplug.evaluation.collections import read_collection
    from vectorplug.evaluation.runner import evaluate as run

    names = [name.strip() for name in modes.split(",")]
    collection = read_collection(folder)
    outcome = run(collection, make_vectorizer(model), names, store_url=store, candidates=candidates)
    if as_json:
        print_json(outcome.model_dump(mode="json", by_alias=True))
    else:
        _print(outcome)


def _print(outcome: "Evaluation") -> None:
    results.print(
        f"[bold]{outcome.collection}[/]: {outcome.documents:,} documents, {outcome.queries:,} queries, "
        f"{outcome.model}; {outcome.documents_per_second:.0f} documents encoded a second, "
        f"{outcome.truncated:,} cut at the model's limit"
    )
    numbers = ("nDCG@10", "Recall@100", "overlap@10", "bytes a document", "ms p50", "ms p95")
    listing = table("mode", *numbers, right=numbers)
    for name, figures in outcome.modes.items():
        listing.add_row(
            name,
            f"{figures.ndcg_at_10:.4f}",
            f"{figures.recall_at_100:.4f}",
            f"{figures.overlap_at_10:.3f}",
            f"{figures.bytes_per_document:,.0f}",
            f"{figures.ms_per_query.p50:.1f}",
            f"{figures.ms_per_query.p95:.1f}",
        )
    results.print(listing)
    for note in outcome.notes:
        notes.print(f"note: {note}", style="yellow")
