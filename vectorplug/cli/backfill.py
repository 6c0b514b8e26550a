"""`vectorplug backfill`: vectors for the documents of a collection that is there already."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vectorplug.cli.console import notes, print_json, results
from vectorplug.cli.index import NAMED, open_or_make
from vectorplug.cli.options import Collection, Json, Model, Store, StoredMode
from vectorplug.settings import settings

if TYPE_CHECKING:
    from vectorplug.search import BackfillReport

__all__ = ["backfill"]


def backfill(
    field: Annotated[str, typer.Option("--field", help="The payload field that holds the text.")] = "text",
    store: Store = None,
    collection: Collection = None,
    model: Model = None,
    mode: StoredMode = None,
    outputs: Annotated[
        str | None, typer.Option(help="Vectors to add, of tokens, fde and dense: what the mode needs, or with commas.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, say how much it will be.")] = False,
    as_json: Json = False,
) -> None:
    """Add vectors to what a collection holds; payloads and other vectors stay. The same command again goes on."""
    store, collection = store or settings().store, collection or settings().collection
    with open_or_make(store, collection, model, mode) as opened:
        wanted: Any = None if outputs is None else outputs.split(",")
        report = opened.backfill(field, outputs=wanted, dry_run=dry_run)
    for name, reason in report.failed[:NAMED]:
        notes.print(f"refused {name}: {reason}", style="yellow")
    if as_json:
        print_json(
            {
                "store": store,
                "collection": collection,
                "dry_run": dry_run,
                "documents": report.documents,
                "filled": report.filled,
                "remaining": report.remaining,
                "refused": [{"id": name, "reason": reason} for name, reason in report.failed],
                "bytes": report.nbytes,
                "minutes": report.minutes,
            }
        )
        return
    results.print(_expected(report) if dry_run else _done(report))


def _expected(report: "BackfillReport") -> str:
    return (
        f"{report.documents:,} documents lack vectors: about {report.nbytes / 1e6:,.0f} MB of vectors and "
        f"{report.minutes:,.1f} minutes to encode them here. Nothing was changed."
    )


def _done(report: "BackfillReport") -> str:
    left = f"; {report.remaining:,} were changed again and again: run it again" if report.remaining else ""
    return (
        f"{report.filled:,} of {report.documents:,} documents filled, {len(report.failed):,} refused, "
        f"{report.nbytes / 1e6:,.0f} MB of vectors in {report.minutes:,.1f} minutes{left}"
    )
