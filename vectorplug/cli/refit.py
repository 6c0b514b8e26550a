"""`vectorplug refit`: FDEs of another fit for a collection, made while it is searched."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vectorplug.cli.console import notes, print_json, results
from vectorplug.cli.index import NAMED
from vectorplug.cli.options import Collection, Json, Store
from vectorplug.errors import ConfigurationError
from vectorplug.settings import settings

if TYPE_CHECKING:
    from vectorplug.compressor import Compressor
    from vectorplug.search import Store as AnyStore

__all__ = ["refit"]


def refit(
    store: Store = None,
    collection: Collection = None,
    field: Annotated[str, typer.Option("--field", help="The payload field that holds the text.")] = "text",
    compressor: Annotated[
        str | None, typer.Option("--compressor", help="Another kind of FDE: muvera, or lemur at its defaults.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a collection's FDE again and replace all of them; searches go on. The same command again goes on, too."""
    from vectorplug.search import open_store

    store, collection = store or settings().store, collection or settings().collection
    with open_store(store, collection=collection) as opened:
        report = opened.refit(_wanted(opened, compressor), field=field)
    filling = report.filling
    for name, reason in filling.failed[:NAMED]:
        notes.print(f"refused {name}: {reason}", style="yellow")
    if as_json:
        print_json(
            {
                "store": store,
                "collection": collection,
                "fde": report.fde,
                "switched": report.switched,
                "documents": filling.documents,
                "filled": filling.filled,
                "remaining": filling.remaining,
                "refused": [{"id": name, "reason": reason} for name, reason in filling.failed],
                "minutes": filling.minutes,
            }
        )
    elif report.switched:
        results.print(f"{filling.filled:,} documents have new FDEs in {filling.minutes:,.1f} minutes: {report.fde}")
    elif filling.failed or filling.remaining:
        results.print(
            f"{filling.filled:,} documents have new FDEs, {len(filling.failed) + filling.remaining:,} lack them and "
            "would not be found: the old ones are searched until these have a text, or are deleted, and it is run again"
        )
    else:
        results.print(f"the same fit came out, nothing is to be replaced: {report.fde}")
    if filling.failed or filling.remaining:
        raise typer.Exit(1)


def _wanted(store: "AnyStore[Any]", kind: str | None) -> "Compressor | None":
    """What the collection is to have; None where it is of that kind already."""
    from vectorplug.compressor import family_of
    from vectorplug.search import IndexConfig

    if kind is None or (store.info is not None and family_of(store.info.fde or "") == kind):
        return None
    if store.vectorizer.fde is None:
        raise ConfigurationError(f"collection {store.collection!r} has no FDEs: `vectorplug backfill` adds them.")
    return IndexConfig().of_family(kind).compressor(store.vectorizer.fde.dim)
