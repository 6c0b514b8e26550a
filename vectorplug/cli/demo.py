"""`vectorplug demo`: the whole road on this machine, with what every shortcut returned beside exact MaxSim."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vectorplug.cli.console import notes, results, table
from vectorplug.cli.options import make_vectorizer
from vectorplug.cli.stdlib_docs import stdlib_docs

if TYPE_CHECKING:
    from vectorplug.search import Hit, Mode, Store
    from vectorplug.vectorizer import Vectorizer

__all__ = ["demo"]

QUESTIONS = (
    "how do I read a file line by line from a zip archive",
    "run a command and capture what it prints",
    "count how often each element occurs",
    "wait for several threads to finish",
    "parse dates in ISO format",
)
MODES: "tuple[tuple[str, Mode], ...]" = (
    ("FDE alone", "fde"),
    ("FDE + rerank", "fde+rerank"),
    ("exact MaxSim", "native"),
)
SHOWN = 3


def demo(
    folder: Annotated[Path, typer.Option(help="Where the index is kept.")] = Path(".demo"),
    model: Annotated[str, typer.Option(help="Any model name.")] = "minilm",
) -> None:
    """Index the documentation of Python's standard library, then ask it a few questions in three ways."""
    from vectorplug.search import open_store

    vectorizer = make_vectorizer(model)
    names, texts = zip(*stdlib_docs(), strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(f"edge:{folder / 'index'}", collection="stdlib", vectorizer=vectorizer, mode="fde+rerank")
    with store:
        started = time.perf_counter()
        notes.print(f"{vectorizer!r}")
        notes.print(
            f"Indexing {len(texts):,} texts of the standard library's documentation into {folder / 'index'} ..."
        )
        report = store.add(texts, ids=names)
        seconds = time.perf_counter() - started
        rate = f"{report.added / seconds:.0f} texts/s" if report.added else "all of them were there already"
        notes.print(
            f"{report.added:,} indexed in {seconds:.0f} s ({rate}), {report.truncated:,} cut at the model's limit."
        )
        store.search(QUESTIONS[0])  # compile the kernels before anything is timed
        for question in QUESTIONS:
            _ask(store, vectorizer, question)
    _print_bytes(vectorizer, texts[:500])
    notes.print(f'\nAsk more: vectorplug search "..." --store edge:{folder / "index"} --collection stdlib')


def _ask(store: "Store[Any]", vectorizer: "Vectorizer", question: str) -> None:
    encoded = vectorizer.encode_query(question, show_progress_bar=False)
    found: dict[str, tuple[list[Hit], float]] = {}
    for label, mode in MODES:
        started = time.perf_counter()
        hits = store.search_encoded(encoded, limit=SHOWN, mode=mode)
        found[label] = hits, (time.perf_counter() - started) * 1000
    exact = {hit.id for hit in found["exact MaxSim"][0]}
    results.print(f"\n[bold]{escape(question)}[/]")
    listing = table("", *(f"{label} ({ms:.1f} ms)" for label, (_, ms) in found.items()))
    for rank in range(SHOWN):
        cells = (hits[rank] if rank < len(hits) else None for hits, _ in found.values())
        listing.add_row(f"{rank + 1}.", *(_cell(hit, exact) for hit in cells))
    results.print(listing)


def _cell(hit: "Hit | None", exact: set[str | int]) -> str:
    if hit is None:
        return ""
    name = escape(str(hit.id))
    return name if hit.id in exact else f"[yellow]{name} *[/]"


def _print_bytes(vectorizer: "Vectorizer", texts: tuple[str, ...]) -> None:
    """Mean bytes a document of a sample."""
    encoded = vectorizer.encode_document(texts, show_progress_bar=False)
    assert encoded.tokens is not None
    assert encoded.fde is not None
    tokens, fde = encoded.tokens.nbytes / len(texts), encoded.fde.nbytes / len(texts)
    results.print(
        f"\n[yellow]*[/] not among the exact top {SHOWN}. Bytes a document: {fde:,.0f} for the FDE (one vector of "
        f"{encoded.fde.shape[1]:,} float32), {tokens:,.0f} for the tokens (float32, for rerank and exact MaxSim)."
    )
