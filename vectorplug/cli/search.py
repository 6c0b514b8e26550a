"""`vectorplug search`: ask a collection a question."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vectorplug.cli.console import print_json, results, table
from vectorplug.cli.options import Collection, Json, Store
from vectorplug.settings import settings

if TYPE_CHECKING:
    from rich.table import Table

    from vectorplug.search import Hits

__all__ = ["search"]

SNIPPET = 200


def search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    store: Store = None,
    collection: Collection = None,
    limit: Annotated[int, typer.Option(min=1, help="How many hits.")] = 10,
    candidates: Annotated[int | None, typer.Option(min=1, help="How many are ranked by exact MaxSim.")] = None,
    mode: Annotated[str | None, typer.Option(help="Another than the collection's own.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each stage found, and how long it took.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search with the model and mode that the collection was made with."""
    from vectorplug.search import open_store

    store, collection = store or settings().store, collection or settings().collection
    with open_store(store, collection=collection) as opened:
        hits = opened.search(question, limit=limit, candidates=candidates, mode=mode, explain=explain)  # type: ignore[arg-type]
    found = [asdict(hit) for hit in hits]
    if as_json:
        print_json({"hits": found, "stages": [asdict(stage) for stage in hits.stages]} if explain else found)
        return
    for rank, hit in enumerate(hits, 1):
        results.print(
            f"{rank:>3}. [bold]{escape(str(hit.id))}[/]  [dim]{hit.score:.4f}[/]  {escape(_title(hit.payload))}"
        )
        results.print(f"     {escape(_snippet(hit.payload))}", style="dim")
    if not hits:
        results.print("No hits.")
    if explain:
        results.print(_stages(hits))


def _stages(hits: "Hits") -> "Table":
    numbers = ("ms", "found", "bytes of query vectors")
    shown = table("stage", *numbers, right=numbers)
    for stage in hits.stages:
        shown.add_row(stage.name, f"{stage.milliseconds:,.1f}", f"{len(stage.candidates):,}", f"{stage.query_bytes:,}")
    return shown


def _title(payload: dict[str, Any]) -> str:
    return str(payload.get("title") or "")


def _snippet(payload: dict[str, Any]) -> str:
    text = " ".join(str(payload.get("text", "")).removeprefix(_title(payload)).split())
    return text if len(text) <= SNIPPET else text[: SNIPPET - 1].rsplit(" ", 1)[0] + "…"
